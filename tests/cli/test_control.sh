# test_control.sh - ControlNet from the command line.
. "$(dirname "$0")/lib.sh"
net=$golden/controlnet/sd1.safetensors

draw() { # draw FILE OPTIONS…
	file=$1
	shift
	expect 0 "${file%%[.%]*}" generate -m "$model" -p 'a red fox' --steps 2 -W 64 -H 64 --type f32 --disable-image-metadata -o "$file" "$@"
}

draw plain.png
draw one.png --control-net "$net" --control-image plain.png
differ plain.png one.png
draw none.png --control-net "$net:0" --control-image plain.png
same plain.png none.png
draw again.png --control-net "$net:1:0:1" --control-image plain.png --control-mode balanced
same one.png again.png
draw edges.png --control-net "$net" --control-image canny:plain.png
draw edges2.png --control-net "$net" --control-image canny:100:200:plain.png
same edges.png edges2.png
differ one.png edges.png
draw two.png --control-net "$net:0.5" --control-image plain.png --control-net "$net:0.5" --control-image canny:plain.png --control-mode prompt
differ one.png two.png
# The picture that is begun from is the hint where there is no other; pictures of a batch have what each has alone.
draw init.png --init-img plain.png --control-net "$net"
draw init2.png --init-img plain.png --control-net "$net" --control-image plain.png
same init.png init2.png
draw many_%d.png -b 2 --control-net "$net" --control-image plain.png
same many_1.png one.png

expect 2 'each network reads one picture' generate -m "$model" -p x --control-net "$net" -o x.png
expect 2 'each network reads one picture' generate -m "$model" -p x --control-image plain.png -o x.png
expect 2 'FILE:STRENGTH:FROM:TO' generate -m "$model" -p x --control-net "$net:1:0.5" --control-image plain.png -o x.png
expect 2 'control strength 11' generate -m "$model" -p x --control-net "$net:11" --control-image plain.png -o x.png
expect 2 "control mode 'strong'" generate -m "$model" -p x --control-net "$net" --control-image plain.png --control-mode strong -o x.png
expect 3 'nowhere.png' generate -m "$model" -p x --control-net "$net" --control-image canny:nowhere.png -o x.png
expect 3 'nowhere.png' generate -m "$model" -p x --control-net "$net" --init-img nowhere.png -o x.png
expect 3 'not a control network for' generate -m "$model" -p x --control-net "$model" --control-image plain.png -o x.png
# IP-Adapters: what is missing, and what is none.
expect 2 'ip-image 0 times: a picture for each, or one for all' generate -m "$model" -p x --ip-adapter "$net" -o x.png
expect 2 'ip-image without an --ip-adapter' generate -m "$model" -p x --ip-image plain.png -o x.png
expect 2 'ip-mask without an --ip-adapter' generate -m "$model" -p x --ip-mask plain.png -o x.png
expect 2 'ip-mask 3 times: a mask for each' generate -m "$model" -p x --ip-adapter "$net" --ip-adapter "$net" --ip-image plain.png \
	--clip-vision v --ip-mask '' --ip-mask '' --ip-mask '' -o x.png
expect 2 'at most 16 pictures' generate -m "$model" -p x --ip-adapter "$net" --clip-vision v -o x.png \
	--ip-image plain.png,plain.png,plain.png,plain.png,plain.png,plain.png,plain.png,plain.png,plain.png,plain.png,plain.png \
	--ip-image plain.png,plain.png,plain.png,plain.png,plain.png,plain.png
expect 3 'nowhere.png' generate -m "$model" -p x --ip-adapter "$net" --ip-image plain.png,nowhere.png --clip-vision v -o x.png
expect 3 'nowhere.png' generate -m "$model" -p x --ip-adapter "$net" --ip-image plain.png --ip-mask nowhere.png --clip-vision v -o x.png
expect 2 'vision tower' generate -m "$model" -p x --ip-adapter "$net" --ip-image plain.png -o x.png
expect 2 'ip-adapter .*: FILE, FILE:STRENGTH' generate -m "$model" -p x --ip-adapter "$net:1:0.5" --ip-image plain.png --clip-vision v -o x.png
expect 3 'nowhere.png' generate -m "$model" -p x --ip-adapter "$net" --ip-image nowhere.png --clip-vision v -o x.png
expect 3 'not an IP-Adapter' generate -m "$model" -p x --ip-adapter "$net" --ip-image plain.png --clip-vision v -o x.png
[ -e x.png ] && wrong 'x.png was written'
finish
