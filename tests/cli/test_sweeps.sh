# test_sweeps.sh - many pictures by one command: --grid, --prompts, which goes on where it was stopped and is shared among
# processes, and --wildcards.
. "$(dirname "$0")/lib.sh"
common="-q -m $model -W 64 -H 64 --steps 1"

# A grid is the pictures that its options draw one by one.
expect 0 "" generate $common -p 'a red fox' --grid steps=1,2,3 cfg=4,7 -o grid.png
is_png grid.png 332 158
expect 0 "" generate $common -p 'a red fox' --grid steps=1,2,3 --grid cfg=4,7 -o grid2.png
same grid.png grid2.png
expect 0 "" generate $common -p 'a red fox' --grid 'sampler=euler,dpm++2m karras' -o samplers.png
expect 2 'unknown option stepz; did you mean steps' generate $common -p x --grid stepz=1 -o x.png
expect 2 'not a whole number' generate $common -p x --grid steps=1,b -o x.png
expect 2 'the same for all pictures' generate $common -p x --grid type=f32,bf16 -o x.png
expect 2 'an option and its values' generate $common -p x --grid steps -o x.png
expect 2 'one picture: not with' generate $common -p x --grid steps=1 -b 2 -o x.png
# What all pictures have in common holds for each: here the picture to begin from, and what is added to it.
expect 0 "" generate $common -p 'a red fox' -o start.png
expect 0 "" generate -q -m "$model" -p 'a red fox' -i start.png --extend 0,32,0,0 --grid steps=1,2 -o extended.png
is_png extended.png 196 90

# A list: plain lines and JSON; each picture has the bytes that it has alone.
printf 'a red fox\n\n{"prompt": "a blue fox", "seed": 7, "cfg_scale": 3.5}\n{"prompt": "x", "output": "named.png"}\r\n' >list.txt
expect 0 "" generate $common --prompts list.txt -o l_%02d.png
[ -s l_01.png ] && [ -s l_02.png ] && [ -s named.png ] || wrong "pictures of the list are missing"
expect 0 "" generate $common -p 'a blue fox' -s 7 --cfg-scale 3.5 -o alone.png
same l_02.png alone.png
# What is there is not drawn again.
echo mark >l_01.png
rm l_02.png
expect 0 '2 of 3 pictures were there' generate -m "$model" -W 64 -H 64 --steps 1 --prompts list.txt -o l_%02d.png
[ "$(cat l_01.png)" = mark ] || wrong "a picture was drawn again"
same l_02.png alone.png
# Two processes share it out.
for rank in 0 1; do
	OMPI_COMM_WORLD_RANK=$rank OMPI_COMM_WORLD_SIZE=2 "$sumi" generate $common --prompts list.txt -o r${rank}_%d.png >drawn$rank
done
[ "$(wc -l <drawn0)" = 1 ] && [ -s r0_1.png ] || wrong "process 0 drew $(cat drawn0)"
[ "$(wc -l <drawn1)" = 1 ] && [ -s r1_2.png ] || wrong "process 1 drew $(cat drawn1)"
printf '{"prompt": "x", "stepz": 3}\n' >bad.txt
expect 2 'line 1: unknown option stepz' generate $common --prompts bad.txt -o bad_%d.png
printf '{"prompt"\n' >bad.txt
expect 3 'line 1: not JSON' generate $common --prompts bad.txt -o bad_%d.png
: >bad.txt
expect 3 'no prompt' generate $common --prompts bad.txt -o bad_%d.png
expect 3 'no-such-file' generate $common --prompts no-such-file -o bad_%d.png

# Wildcards: the seed chooses; the picture's text has the words.
mkdir -p wild/sub
printf '# colours\nred\n\ngreen\nblue\n' >wild/colour.txt
printf 'a __colour__ cat\na __colour__ dog\n' >wild/sub/animal.txt
for seed in 1 2 3 4 5 6; do
	expect 0 "" generate $common -p '__sub/animal__, __colour__ sky' --wildcards wild -s $seed -o w$seed.png
	expect 0 'Prompt: a \(red\|green\|blue\) \(cat\|dog\), \(red\|green\|blue\) sky' info w$seed.png
	grep Prompt: out >>words
done
[ "$(sort -u words | wc -l)" -gt 2 ] || wrong "the seed does not choose: $(cat words)"
expect 0 "" generate $common -p '__sub/animal__, __colour__ sky' --wildcards wild -s 3 -b 2 -o wb_%d.png
same wb_1.png w3.png
same wb_2.png w4.png
# Many texts at once; a line of a list has the seed that it names.
expect 0 "" generate $common -W 32 -H 32 -p '__colour__' -n '__colour__' --wildcards wild \
	--grid seed=1,2,3,4,5,6,7,8,9 --grid cfg=1,2,3,4,5,6,7,8 -o many.png
printf 'x\n{"prompt": "__sub/animal__, __colour__ sky", "seed": 3}\n' >wild.txt
expect 0 "" generate $common --prompts wild.txt --wildcards wild -o wl_%d.png
same wl_2.png w3.png
expect 0 'seed' generate -m "$model" -W 32 -H 32 --steps 1 -p '__colour__' --wildcards wild -s -1 -o x.png
[ "$(grep -c '^seed' err)" = 1 ] || wrong "the seed is not printed once: $(grep seed err)"
expect 3 'none.txt' generate $common -p '__none__' --wildcards wild -o x.png
printf '__loop__\n' >wild/loop.txt
expect 3 'without end' generate $common -p '__loop__' --wildcards wild -o x.png
finish
