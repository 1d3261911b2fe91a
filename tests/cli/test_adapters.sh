# test_adapters.sh - LoRA files and learned words as people have them: what is used draws, what is not is told.
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
draw folder.png -p 'a red fox' --lora "$golden/lycoris/peft_dora"
draw file.png -p 'a red fox' --lora "$golden/lycoris/peft_dora/adapter_model.safetensors"
same folder.png file.png
differ plain.png folder.png
# What is no LoRA, or none for this model, is refused with a reason; what is not found is named.
expect 3 'not a LoRA for' generate -m "$model" -p x --lora "$golden/sd1/vae.io.safetensors" -o x.png
expect 3 'no part of a kind of LoRA' generate -m "$model" -p x --lora "$golden/lora/io.safetensors" -o x.png
expect 3 'nobody' generate -m "$model" -p '<lyco:nobody>' --lora-model-dir "$golden/lycoris" -o x.png

# Learned words: a ParameterDict is as good as a dictionary; a word whose file cannot be used is told where it is named.
mkdir words held useless
cp "$saved/parameters.pt" words/zork.pt
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
grep -q "note: 'zork' is read as plain words" err || wrong "a word without use is not told: $(cat err)"
grep -q blub err && wrong "a word that the prompt does not hold is told: $(cat err)"
draw lfs.png -p 'a cup' -n 'blub' --embd-dir useless
grep -q "note: 'blub' .*Git LFS pointer" err || wrong "a pointer is not told: $(cat err)"
finish
