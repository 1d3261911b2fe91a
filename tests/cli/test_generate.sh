# test_generate.sh - sumi generate on a tiny model: the same bytes where they are promised, every size, every prompt.
. "$(dirname "$0")/lib.sh"

draw() { # draw FILE OPTIONS…
	file=$1
	shift
	expect 0 "${file%%[.%]*}" generate -m "$model" --steps 2 -o "$file" "$@"
}

draw a.png -p 'a red fox' -W 64 -H 64
draw b.png -p 'a red fox' -W 64 -H 64
is_png a.png 64 64
same a.png b.png
draw one.png -p 'a red fox' -W 64 -H 64 -t 1
same a.png one.png
# Large enough that steps are shared among threads; three do not divide what there is.
for type in f32 bf16; do
	for threads in 1 2 3; do draw "$type-$threads.png" -p 'a red fox' -W 192 -H 128 -t $threads --type $type --steps 1; done
	same "$type-1.png" "$type-2.png"
	same "$type-1.png" "$type-3.png"
done
draw c.png -p 'a red fox' -W 64 -H 64 -s 43
differ a.png c.png
draw d.png -p 'a blue fox' -W 64 -H 64
differ a.png d.png

# Sizes: from one latent place on, not square, halving to odd sizes.
draw tiny.png -p x -W 8 -H 8
is_png tiny.png 8 8
draw wide.png -p x -W 152 -H 72
is_png wide.png 152 72
draw tall.png -p x -W 24 -H 128
is_png tall.png 24 128

# Many: seeds one apart, numbered names.
draw many.png -p 'a red fox' -W 64 -H 64 -b 2 
is_png many_001.png 64 64
same many_001.png a.png
same many_002.png c.png
draw 'n%02d.jpg' -p x -W 16 -H 16
[ -s n01.jpg ] || wrong 'n01.jpg was not written'
draw x.webp -p x -W 16 -H 16
[ -s x.webp ] || wrong 'x.webp was not written'
draw random.png -p x -W 16 -H 16 -s -1
grep -q '^seed [0-9]' err || wrong 'the random seed was not printed'

# How it was made, in the form that other tools read.
draw text.png -p 'a red fox, at dawn' -n 'blurry' -W 64 -H 64 --cfg-scale 7.5 --sampling-method k_euler_a --scheduler karras
strings -n 4 text.png >text
grep -q 'a red fox, at dawn' text || wrong 'no prompt in the picture'
grep -q '^Negative prompt: blurry$' text || wrong 'no negative prompt in the picture'
hash=$(sha256sum "$model" | cut -c1-10)
grep -q "^Steps: 2, Sampler: Euler a, Schedule type: Karras, CFG scale: 7.5, Seed: 42, Size: 64x64, Model hash: $hash, Model: model" text ||
	wrong "parameters: $(grep Steps text)"

# Every sampler draws.
for sampler in ddim plms euler euler_a 'dpm++2m' 'DPM++ 2M Karras' heun lcm 'DPM++ SDE' 'dpmpp_3m_sde' restart; do
	draw sampler.png -p x -W 16 -H 16 --steps 3 --sampling-method "$sampler"
done

# Prompts: from stdin, empty, huge, not UTF-8, with all of the syntax.
printf 'a red fox\n' | "$sumi" generate -m "$model" --steps 2 -W 64 -H 64 -o stdin.png --prompt-file - >/dev/null 2>&1
same a.png stdin.png
draw empty.png -p '' -W 16 -H 16
awk 'BEGIN { for (i = 0; i < 50000; i++) printf "fox %d ", i % 10 }' >huge
draw huge.png --prompt-file huge -W 16 -H 16
expect 2 'UTF-8' generate -m "$model" -p "$(printf 'caf\351 \377\376')" -W 16 -H 16 --steps 1
draw syntax.png -p '((a)) [b] (c:1.3) [d:e:0.5] [f|g] \( BREAK h AND i:0.5 (((' -W 16 -H 16 --steps 4

# The syntax changes the picture as it says; what was asked for stands in the file, so it is left out to compare.
draw plain.png -p 'a red fox' -W 64 -H 64 --disable-image-metadata
draw stress.png -p 'a red (fox:1.4)' -W 64 -H 64
differ a.png stress.png
draw escaped.png -p 'a (red:1) fox' -W 64 -H 64
differ stress.png escaped.png
draw late.png -p 'a [blue:red:0] fox' -W 64 -H 64 --disable-image-metadata
same plain.png late.png
draw turns.png -p 'a [red|blue] fox' -W 64 -H 64
differ a.png turns.png
draw both.png -p 'a red fox AND snow:0.5' -W 64 -H 64
differ a.png both.png
draw lora.png -p 'a red fox<lora:kohya:1>' --lora-model-dir "$golden/lora" -W 64 -H 64
differ a.png lora.png
draw none.png -p 'a red fox<lora:kohya:0>' --lora-model-dir "$golden/lora" -W 64 -H 64 --disable-image-metadata
same plain.png none.png
expect 3 'kohya.safetensors' generate -m "$model" -p '<lora:kohya:1>' -W 16 -H 16
expect 2 'no path' generate -m "$model" -p '<lora:../lora/kohya:1>' -W 16 -H 16

# From a picture.
draw again.png -p 'a red fox' -i a.png --strength 0.5 -W 64 -H 64
is_png again.png 64 64
differ again.png a.png
# A mask drawn on a transparent layer is the same as one on black.
draw masked.png -p 'a blue cup' -i a.png --mask "$unit_pictures/mask.png" -W 64 -H 64 --disable-image-metadata
draw layer.png -p 'a blue cup' -i a.png --mask "$unit_pictures/mask-transparent.png" -W 64 -H 64 --disable-image-metadata
same masked.png layer.png
draw kept.png -p 'a red fox' -i a.png --strength 0 -W 64 -H 64
is_png kept.png 64 64

# In between: the ends are the pictures of both prompts and both seeds, and frames go from one to the other.
plain() { draw "$@" -W 64 -H 64 --disable-image-metadata; }
plain fox.png -p 'a red fox'
plain cup.png -p 'a blue cup'
plain fox43.png -p 'a red fox' -s 43
plain 'way%d.png' -p 'a red fox' --prompt-to 'a blue cup' --frames 3
same way1.png fox.png
same way3.png cup.png
differ way2.png fox.png
differ way2.png cup.png
plain half.png -p 'a red fox' --prompt-to 'a blue cup'
same half.png way2.png
plain 'turn%d.png' -p 'a red fox' --variation-seed 43 --frames 3
same turn1.png fox.png
same turn3.png fox43.png
differ turn2.png fox.png
plain turned.png -p 'a red fox' --subseed 43 --subseed-strength 0.5
same turned.png turn2.png
expect 2 'where to go' generate -m "$model" -p x --frames 3
expect 2 'blend' generate -m "$model" -p x --prompt-to y --blend 1.5
expect 0 'strip.png' grid way1.png way2.png way3.png -o strip.png --gap 2
is_png strip.png 196 64
expect 0 'two.png' grid way1.png way2.png tiny.png -c 2 -o two.png
is_png two.png 132 132
expect 2 'no pictures' grid
expect 3 'nowhere.png' grid nowhere.png

# A diffusers folder holds the same model.
draw bare.png -p 'a red fox' -W 64 -H 64 --disable-image-metadata
draw folder.png -m "$golden/sd1/diffusers" -p 'a red fox' -W 64 -H 64 --disable-image-metadata
same bare.png folder.png
draw own.png -m "$golden/sd1/diffusers" -p 'a red fox' -W 16 -H 16 --steps 4 --sampling-method model
draw plms.png -p 'a red fox' -W 16 -H 16 --steps 4 --sampling-method plms
differ own.png plms.png # PNDM as diffusers has it, and as CompVis has it
expect 2 'no scheduler of its own' generate -m "$model" -p x --sampling-method model
# A schedule that a sampler has no use for is refused, not written into the picture.
expect 2 "schedule 'Karras': DDIM has steps of its own" generate -m "$model" -p x --sampling-method ddim --scheduler karras
expect 2 "schedule 'Exponential': Restart" generate -m "$model" -p x --sampling-method 'Restart Exponential'
expect 2 "folder's scheduler has its own" generate -m "$golden/sd1/diffusers" -p x --sampling-method model --scheduler karras
draw ddim.png -p x -W 16 -H 16 --sampling-method ddim --scheduler uniform

# Memory that is not there is refused; a disk that is full leaves nothing behind.
expect 4 'memory' generate -m "$model" -p x -W 64 -H 64 --max-memory 2M
expect 0 'peak' generate -m "$model" -p x -W 256 -H 256 --steps 1 -v -o v.png
# What was planned is what was taken, within 5 %.
sed -n 's/.*peak \([0-9]*\)\.[0-9]* MiB planned, \([0-9]*\)\.[0-9]* MiB measured.*/\1 \2/p' err >peaks
read -r planned measured <peaks || wrong "no peak was measured: $(cat err)"
[ $((measured * 100)) -le $((planned * 105)) ] && [ $((measured * 105)) -ge $((planned * 100)) ] ||
	wrong "$planned MiB were planned, $measured taken"
(
	ulimit -f 1
	"$sumi" generate -m "$model" -p x --steps 1 -W 128 -H 128 -o full.png >out 2>err
	[ $? -eq 3 ] || wrong "full disk: $(cat err)"
	finish
) || failures=1
[ -e full.png ] && wrong 'a picture that is not whole was left'
[ -n "$(find . -name '*full.png*')" ] && wrong 'a piece of a picture was left'

# Interrupted.
"$sumi" generate -m "$model" -p x --steps 900 -W 64 -H 64 -o stopped.png >out 2>err &
job=$!
sleep 1
kill -INT $job
wait $job
[ $? -eq 130 ] || wrong "interrupted: $(cat err)"
[ -e stopped.png ] && wrong 'a picture was written though it was interrupted'
finish
