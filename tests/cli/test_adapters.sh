# test_adapters.sh - LoRA files and learned words as people have them: what is used changes the picture, what is not is reported.
. "$(dirname "$0")/lib.sh"
saved=$unit_pictures/../torch

draw() { # draw FILE OPTIONS…
	file=$1
	shift
	expect 0 "${file%%[.%]*}" generate -m "$model" --steps 1 -W 64 -H 64 --type f32 --disable-image-metadata -o "$file" "$@"
}

draw plain.png -p 'a red fox'
# Every kind changes the picture, and nothing of these files is left over.
for kind in loha lokr dora_out boft full; do
	draw $kind.png -p 'a red fox' --lora "$golden/lycoris/$kind.safetensors"
	differ plain.png $kind.png
	grep -q '^note' err && wrong "$kind: $(grep '^note' err)"
done
draw tag.png -p 'a red fox<lora:loha>' --lora-model-dir "$golden/lycoris"
same tag.png loha.png
draw lyco.png -p 'a red fox<lyco:loha:1>' --lora-model-dir "$golden/lycoris"
same lyco.png loha.png
# Text encoder and denoiser apart, and blocks; what is written there stands in the parameters.
draw apart.png -p 'a red fox' --lora "$golden/lycoris/loha.safetensors:te=1:unet=0"
differ apart.png plain.png
differ apart.png loha.png
draw named.png -p 'a red fox<lora:loha:1:0>' --lora-model-dir "$golden/lycoris"
same apart.png named.png
blocks=1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1
draw blocks.png -p "a red fox<lora:loha:0:1:lbw=$blocks>" --lora-model-dir "$golden/lycoris"
differ blocks.png loha.png
expect 0 '' generate -m "$model" --steps 1 -W 16 -H 16 -o kept.png -p x --lora "$golden/lycoris/loha.safetensors:0.50:te=1:lbw=$blocks"
strings -n 4 kept.png | grep -q "x <lora:loha:0.50:te=1:lbw=$blocks>$" || wrong "weights in the parameters: $(strings -n 4 kept.png | head -3)"
expect 2 "LoRA .*loha.safetensors:1:lbw=1,0: lbw= has 2 weights; .* has 17" generate -m "$model" -p '<lora:loha:1:lbw=1,0>' \
	--lora-model-dir "$golden/lycoris" -o x.png
expect 2 "'MIDD' is the name of a preset" generate -m "$model" -p x --lora "$golden/lycoris/loha.safetensors:lbw=MIDD" -o x.png
expect 2 "'strong' is no weight" generate -m "$model" -p x --lora "$golden/lycoris/loha.safetensors:strong" -o x.png
draw folder.png -p 'a red fox' --lora "$golden/lycoris/peft_dora"
draw file.png -p 'a red fox' --lora "$golden/lycoris/peft_dora/adapter_model.safetensors"
same folder.png file.png
differ plain.png folder.png
# diffusers' save_lora_weights() names its file so.
mkdir saved
cp "$golden/lycoris/loha.safetensors" saved/pytorch_lora_weights.safetensors
draw saved.png -p 'a red fox' --lora saved
same saved.png loha.png
expect 3 'without adapter_model.safetensors or pytorch_lora_weights.safetensors' generate -m "$model" -p x --lora "$golden/sd1" -o x.png
# Options that this model has no use for are reported.
draw unused.png -p 'a red fox' --shift 3 --crop 8x8 --aesthetic-score 3 --refiner-start 0.5
same unused.png plain.png
for words in 'the shift 3 is not used' 'target size are not used' 'aesthetic score is not used' "refiner's start 0.5 is not used"; do
	grep -q "note: .*$words" err || wrong "nothing of $words: $(cat err)"
done
# What the encoders will read as words is reported.
for mark in '<lora:loha' '<hypernet:anime:1>'; do
	draw mark.png -p "a fox $mark"
	grep -q "note: '$mark' in the prompt is read as plain words" err || wrong "$mark: $(cat err)"
done
draw mark.png -p 'a fox' -n '<lora:loha:1>' --lora-model-dir "$golden/lycoris"
grep -q "note: '<lora:loha:1>' in the negative prompt" err || wrong "a LoRA of the negative prompt: $(cat err)"
# What is no LoRA, or none for this model, is refused with a reason; what is not found is named.
expect 3 'not a LoRA for' generate -m "$model" -p x --lora "$golden/sd1/vae.io.safetensors" -o x.png
expect 3 'no part of a kind of LoRA' generate -m "$model" -p x --lora "$golden/lora/io.safetensors" -o x.png
expect 3 'nobody' generate -m "$model" -p '<lyco:nobody>' --lora-model-dir "$golden/lycoris" -o x.png

# Traces in the parameters, with hashes as A1111 has them: of a LoRA's data behind the header, of a word's whole file.
hash_of() { sha256sum | cut -c1-12; }
header=$(od -An -tu4 -N 4 "$golden/lycoris/loha.safetensors" | tr -d ' ')
data=$(tail -c +$((header + 9)) "$golden/lycoris/loha.safetensors" | hash_of)
mkdir words held useless
cp "$saved/parameters.pt" words/zork.pt
word=$(hash_of <words/zork.pt)
expect 0 '' generate -m "$model" --steps 2 -W 16 -H 16 -o traces.png -p 'a zork' --lora "$golden/lycoris/loha.safetensors:0.7" \
	--embd-dir words --guidance-skip-from 0.5 --guidance-skip-to 0.75
strings -n 4 traces.png >text
grep -q '^a zork <lora:loha:0.7>$' text || grep -q 'a zork <lora:loha:0.7>$' text || wrong "the prompt: $(head -3 text)"
for trace in "Lora hashes: \"loha: $data\"" "TI hashes: \"zork: $word\"" 'Guidance skip from: 0.5, Guidance skip to: 0.75'; do
	grep -q "$trace" text || wrong "no $trace in: $(grep Steps text)"
done
expect 0 '' generate -m "$model" --steps 1 -W 16 -H 16 -o tag.png -p 'a zork<lora:loha:0.7>' --lora-model-dir "$golden/lycoris"
strings -n 4 tag.png >text
grep -q "Lora hashes: \"loha: $data\"" text || wrong "no hash of a LoRA of the prompt: $(grep Steps text)"
grep -q 'TI hashes' text && wrong 'a hash of a word that was not used'
# A prompt that holds what begins another part draws what it drew, and is read as one.
draw one.png -p 'a cat Negative prompt: dog'
expect 0 '' generate -m "$model" --steps 1 -W 64 -H 64 --type f32 -o two.png -n blurry -p 'a cat
Negative prompt: dog'
strings -n 4 two.png >text
grep -q 'a cat Negative prompt: dog$' text || wrong "a prompt of two lines: $(head -4 text)"
[ "$(grep -c '^Negative prompt' text)" = 1 ] || wrong "two negative prompts: $(head -4 text)"
draw three.png -p '()Negative prompt: dog'
draw four.png -p 'Negative prompt: dog'
same three.png four.png

# Learned words: a ParameterDict is as good as a dictionary; a word whose file cannot be used is reported if the prompt names it.
cp "$saved/parameterdict.pt" held/zork.pt
cp "$golden/sd1/vae.io.safetensors" useless/zork.safetensors
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >useless/blub.bin
draw words.png -p 'a zork' --embd-dir words
draw held.png -p 'a zork' --embd-dir held
draw word.png -p 'a zork'
same words.png held.png
differ words.png word.png
draw useless.png -p 'a zork' --embd-dir useless
same useless.png word.png
grep -q "note: 'zork' is read as plain words" err || wrong "an unusable word is not reported: $(cat err)"
grep -q blub err && wrong "a word that the prompt does not hold is reported: $(cat err)"
draw lfs.png -p 'a cup' -n 'blub' --embd-dir useless
grep -q "note: 'blub' .*Git LFS pointer" err || wrong "a pointer is not reported: $(cat err)"

# Worked into the weights: the copy draws it without the file.
expect 0 'merged.safetensors' convert "$model" merged.safetensors --type f32 --lora "$golden/lycoris/loha.safetensors:0.8" \
	--lora "$golden/lycoris/boft.safetensors"
expect 0 'merged.png' generate -m merged.safetensors -p 'a red fox' --steps 1 -W 64 -H 64 --disable-image-metadata -o merged.png
differ plain.png merged.png
expect 0 'folder' convert "$model" folder/ --lora "$golden/lycoris/loha.safetensors"
expect 0 'known by' info folder
expect 3 'not a LoRA for' convert "$model" x.safetensors --lora "$golden/sd1/vae.io.safetensors"
expect 2 'weight is not between' convert "$model" x.safetensors --lora "$golden/lycoris/loha.safetensors:1000"
[ -e x.safetensors ] && wrong 'x.safetensors was written'

# The difference of two models as a LoRA again; kohya's names of the options do.
expect 2 'base is missing' lora extract -m "$model" -o x.safetensors
expect 2 'extract is what there is' lora merge
expect 2 'do what with a LoRA' lora
if "$sumi" lora extract -m "$model" --base "$model" -o x.safetensors 2>&1 | grep -q 'no LAPACK'; then
	echo 'not extracted: no LAPACK is installed'
else
	expect 0 '' convert "$model" tuned.safetensors --lora "$golden/lora/kohya.safetensors"
	expect 0 '100.0. % of their difference' lora extract --model_tuned tuned.safetensors --model_org "$model" --dim 4 --save_to difference.safetensors
	draw tuned.png -m tuned.safetensors -p 'a red fox'
	draw difference.png -p 'a red fox' --lora difference.safetensors
	differ plain.png difference.png
	expect 0 '' lora extract -q -m tuned.safetensors --base "$model" --rank 1 --network-keys peft -o small.safetensors
	[ -s err ] && wrong "extract -q: $(cat err)"
	expect 3 'do not differ' lora extract -m "$model" --base "$model" -o x.safetensors
	expect 2 'f32, f16 or bf16' lora extract -m tuned.safetensors --base "$model" --type f8_e4m3 -o x.safetensors
	expect 3 'no such file' lora extract -m tuned.safetensors --base nothing.safetensors -o x.safetensors
	[ -e x.safetensors ] && wrong 'x.safetensors was written'
fi
finish
