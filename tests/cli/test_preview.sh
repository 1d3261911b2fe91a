# test_preview.sh - previews in files and in the terminal: there in time, in each protocol, and no bit of the picture is
# another.
. "$(dirname "$0")/lib.sh"

draw() { expect 0 "" generate -q -m "$model" -p 'a red fox' -W 64 -H 64 --steps 6 "$@"; }

draw -o plain.png
draw -o seen.png --preview 2
same plain.png seen.png
is_png seen-preview.png 256 256
draw -o a.png --preview 2:step_%02d.png
for step in 02 04; do is_png step_$step.png 256 256; done
[ ! -e step_06.png ] || wrong "a preview after the last step"
draw -o b.png --preview 3:decoded.png --preview-by decoder
is_png decoded.png 256 256
same plain.png b.png

# Without a terminal nothing is shown, unless it is said as what.
draw -o c.png --show
[ ! -s err ] || wrong "--show without a terminal: $(head -c 100 err)"
draw -o d.png --show-as blocks
grep -q '▀' err || wrong "no half blocks"
draw -o e.png --show-as kitty
grep -q '_Ga=T,f=100' err || wrong "not kitty's protocol"
draw -o f.png --show-as iterm2
grep -q '1337;File=inline=1' err || wrong "not iTerm2's protocol"
draw -o g.png --show-as sixel
grep -q 'P0;1;0q"1;1;' err || wrong "no sixels"
same plain.png g.png

expect 2 'every how many steps' generate -m "$model" -p x --preview 0 -o x.png
expect 2 'every how many steps' generate -m "$model" -p x --preview 2: -o x.png
expect 2 'kitty, iterm2, sixel or blocks' generate -m "$model" -p x --show-as vt100 -o x.png
finish
