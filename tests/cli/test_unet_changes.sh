# test_unet_changes.sh - what is changed in a U-Net while it draws: perturbed attention, FreeU and DeepCache.
. "$(dirname "$0")/lib.sh"

draw() { expect 0 "" generate -q -m "$model" -p 'a red fox' -W 64 -H 64 --steps 2 "$@"; }

draw -o plain.png
draw --pag-scale 3 -o pag.png
differ plain.png pag.png
draw --pag-scale 3 --pag-layers mid -o mid.png
draw --pag-scale 3 --pag-layers down_2,mid,up_1 -o more.png
differ pag.png more.png
draw --freeu 1.3,1.4,0.9,0.2 -o free.png
differ plain.png free.png
draw --freeu v2:1.3,1.4,0.9,0.2 -o free2.png
differ free.png free2.png
draw --freeu 1,1,1,1 -o same.png
draw --steps 4 -o four.png
draw --steps 4 --deep-cache 2 -o cached.png
draw --steps 4 --deep-cache 3:2 -o cached2.png
differ four.png cached.png
differ cached.png cached2.png
# From a picture's own text, to the byte; and in a batch.
for name in pag more free free2 cached cached2; do
	expect 0 "" generate -q -m "$model" --from $name.png -o again.png
	same $name.png again.png
done
draw --pag-scale 2 --freeu blocks:1.2,1.4,0.9,0.2 -b 2 -o batch_%d.png
draw --pag-scale 2 --freeu blocks:1.2,1.4,0.9,0.2 -s 43 -o alone.png
same batch_2.png alone.png

expect 2 'mid, down_0' generate -m "$model" -p x --pag-scale 1 --pag-layers middle -o x.png
expect 2 'b1,b2,s1,s2' generate -m "$model" -p x --freeu 1,2,3 -o x.png
expect 2 'b1,b2,s1,s2' generate -m "$model" -p x --freeu v3:1,1,1,1 -o x.png
expect 2 'the branch 0 to 11' generate -m "$model" -p x --deep-cache 2:12 -o x.png
expect 2 'between' generate -m "$model" -p x --pag-scale -1 -o x.png
finish
