# test_attention.sh - --attention: a heat map for each word, next to the picture, which stays as it is.
. "$(dirname "$0")/lib.sh"

draw() { expect 0 "" generate -q -m "$model" -p 'a red fox, snow' -W 64 -H 64 --steps 2 "$@"; }

draw -o plain.png
draw --attention red --attention 'Red fox' --attention snow -o fox.png
same plain.png fox.png
for name in fox.red fox.Red-fox fox.snow; do is_png $name.png 64 64; done
differ fox.red.png fox.snow.png
differ fox.red.png fox.Red-fox.png
[ "$(sed -n 2p out)" = fox.red.png ] || wrong "the paths of the maps are not printed"

# In a batch each picture has its own.
draw --attention fox -b 2 -o many.png
draw --attention fox -s 43 -o alone.png
is_png many_001.fox.png 64 64
same many_002.fox.png alone.fox.png
differ many_001.fox.png many_002.fox.png

expect 2 '"dog" is none of the words' generate -m "$model" -p 'a red fox' --attention dog -o x.png
expect 2 'no maps of --attention' generate -m "$model" -p 'a fox' --attention fox --grid steps=1,2 -o x.png
expect 2 'only the masked part' generate -m "$model" -p 'a fox' --attention fox -i plain.png \
	--mask "$unit_pictures/mask.png" --only-masked -o x.png
finish
