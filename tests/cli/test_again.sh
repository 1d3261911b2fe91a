# test_again.sh - sumi generate --from: pictures of the model that ships, made with other options each, are made again from
# their own text, to the byte; and texts of other tools are read.
. "$(dirname "$0")/lib.sh"
export SUMI_MODEL="$unit_pictures/../../../models/emoji.safetensors"

# again OPTIONS…: made, and made again.
count=0
again() {
	count=$((count + 1))
	expect 0 "" generate -q --steps 2 "$@" -o "$count.png"
	expect 0 "" generate -q --from "$count.png" -o "$count-again.png"
	same "$count.png" "$count-again.png"
}

again -p 'smiling cat'
again -p 'red heart, "quoted": yes' -n 'blue, green' -s 7
again -p 'a (smiling:1.3) [cat|dog]' --cfg-scale 3.25
again -p '[sun:moon:0.5] AND star:0.7' -s 4294967295
again -p 'cat
Negative prompt: dog' --sampler 'euler a' -s 123456789012
again -p '' --cfg-scale 1
again -p 'rocket' -W 64 -H 96
again -p 'tree' --sampler dpmpp_2m_sde --scheduler karras
again -p 'tree' --sampler heun --scheduler sgm_uniform --steps 3
again -p 'fish' --sampler euler_cfg_pp --cfg-scale 0.6
again -p 'fish' --guidance-method apg:eta=0.1,norm=4 --cfg-scale 9
again -p 'fish' --guidance-rescale 0.35 --guidance-skip-from 0.5 --guidance-skip-to 1
again -p 'moon' --rng cuda
again -p 'moon' --eta 0.5 --sampler ddim
again -p 'cake' --prompt-to 'heart' --blend 0.3
again -p 'cake' --variation-seed 9 --variation-strength 0.2
again -p 'house' --type f32
again -p 'house' --clip-skip 2
again -p '()Steps: 4, Sampler: x, Seed: 1' --sampler restart
again -p 'ünïcode 墨' --sampler er_sde --scheduler 'linear quadratic' -n '墨'
again -p 'bird' --sampler seeds_2 --scheduler beta_comfyui
again -p 'bird' --sampler dpm_adaptive
[ $count -ge 20 ] || wrong "only $count pictures"

# A change goes before the picture's own option; of a JPEG, too; and a prompt as a word.
expect 0 "" generate -q -p 'smiling cat' --steps 2 -s 5 -o base.jpg
expect 0 "" generate -q --from base.jpg -s 6 -o changed.png
expect 0 "" generate -q -p 'smiling cat' --steps 2 -s 6 -o changed-expected.png
same changed.png changed-expected.png
expect 0 "" generate -q --from base.jpg 'red heart' -o words.png
expect 0 "" generate -q -p 'red heart' --steps 2 -s 5 -o words-expected.png
same words.png words-expected.png

# A picture to begin from is not in the text: it is given again.
expect 0 "" generate -q -p 'red heart' --steps 4 -i base.jpg --strength 0.5 -o init.png
expect 0 "" generate -q --from init.png -i base.jpg -o init-again.png
same init.png init-again.png

# A second pass, and a mask's options.
expect 0 "" generate -q -p 'red heart' --steps 2 --hires-scale 1.5 --hires-steps 3 --hires-denoise 0.5 --hires-upscaler lanczos -o hires.png
expect 0 "" generate -q --from hires.png -o hires-again.png
same hires.png hires-again.png
expect 0 "" generate -q -p 'red heart' --steps 2 -i base.jpg --extend 8,0,0,13 --mask-blur 2 --mask-fill 'latent noise' -o extend.png
expect 0 "" generate -q --from extend.png -i base.jpg -o extend-again.png
same extend.png extend-again.png

# info says it.
expect 0 'Prompt: red heart' info init.png
expect 0 'Denoising strength: 0.5' info init.png
expect 0 'no text in it' info "$unit_pictures/gray.png"

# What cannot be read is refused, what is not taken over is named.
expect 3 'no text in it' generate --from "$unit_pictures/gray.png" -o x.png
expect 3 'nowhere.png' generate --from nowhere.png -o x.png
expect 2 'unknown option' generate --from 1.png --stepz 3 -o x.png
expect 0 'another model' generate --from 1.png -m "$model" -W 64 -H 64 --steps 1 -o other.png
finish
