# test_upscale.sh - sumi upscale.
. "$(dirname "$0")/lib.sh"
net=$golden/upscale/compact_x2.safetensors
expect 0 '' generate -m "$model" -p 'a red fox' --steps 1 -W 64 -H 48 -o fox.png

expect 0 'fox_x2.png' upscale fox.png --upscale-model "$net" --type f32
is_png fox_x2.png 128 96
grep -aq 'Postprocess upscale by: 2, Postprocess upscaler: compact_x2' fox_x2.png || wrong 'the parameters do not say how it was enlarged'
grep -aq 'Steps: 1, Sampler' fox_x2.png || wrong 'the parameters of the picture are lost'
expect 0 'tiled.png' upscale fox.png tiled.png --upscale-model "$net" --type f32 --tile 16 --tile-pad 4
same fox_x2.png tiled.png
expect 0 'old.png' upscale fox.png -o old.png -m "$golden/upscale/rrdb_x4_old.safetensors" -v
is_png old.png 256 192

expect 2 'name one with --upscale-model' upscale fox.png
expect 2 'takes a picture' upscale --upscale-model "$net"
expect 2 'two outputs' upscale fox.png a.png -o b.png --upscale-model "$net"
expect 2 'tiles of 3 pixels' upscale fox.png x.png --upscale-model "$net" --tile 3
expect 3 'nowhere.png' upscale nowhere.png x.png --upscale-model "$net"
expect 3 'not an upscaler' upscale fox.png x.png --upscale-model "$model"
expect 4 'to enlarge tiles' upscale fox.png x.png --upscale-model "$net" --max-memory 1M
[ -e x.png ] && wrong 'x.png was written'
finish
