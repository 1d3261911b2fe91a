# test_usage.sh - what is typed wrongly gets one clear line and exit code 2, before any work.
. "$(dirname "$0")/lib.sh"

draw="generate -m $model -p x"
expect 2 '500.*not a multiple of 8.*496.*504' $draw --width 500
expect 2 'multiple of 8; nearest are 8 and 16' $draw -H 12
expect 2 'between 8 and' $draw -W 0
expect 2 'between 8 and' $draw -W -64
expect 2 '--steps 0: between 1 and' $draw --steps 0
expect 2 'between 1 and' $draw --steps 99999999999999999999999
expect 2 'not a whole number' $draw --steps 2.5
expect 2 'not a whole number' $draw --steps ''
expect 2 'between 0 and 1000' $draw --cfg-scale nan
expect 2 'between 0 and 1000' $draw --cfg-scale inf
expect 2 'between 0 and 1000' $draw --cfg-scale=-1
expect 2 'between 0 and 1000' $draw --cfg-scale 1e999
expect 2 'not a number' $draw --cfg-scale seven
expect 2 'strength 1.5: between 0 and 1' $draw --strength 1.5
expect 2 '-1' $draw --seed -2
expect 2 'seed' $draw --seed 18446744073709551616
expect 2 'needs a value' generate -p
expect 2 'did you mean --cfg-scale' $draw --cfgscale 5
expect 2 'unknown option' $draw --nothing-like-it-at-all 5
expect 2 'unknown option' $draw -Z
expect 2 'no prompt' generate -m "$model"
expect 2 'unexpected' $draw one two
expect 2 'unexpected "two"' $draw two
expect 2 'init-img' $draw --mask mask.png
expect 2 'did you mean generate' generte -p x
expect 2 'unknown command' frobnicate
expect 2 'one family' init
expect 2 'not a size' $draw --max-memory lots
expect 2 'Euler a' $draw --steps 1 --sampling-method 'eulr a'
expect 2 'Karras' $draw --steps 1 --scheduler karas
expect 2 'f32' $draw --steps 1 --type int8
expect 2 'rng' $draw --steps 1 --rng dice
expect 2 'sd1' init sd9 -o x.safetensors

mkdir folder
touch file
expect 2 'ends in .png' $draw -o folder
mkdir x.png
expect 3 'x.png' $draw -o x.png
expect 3 'no model\|such' generate -m no-such-model.safetensors -p x
expect 3 'such' $draw -i no-such-picture.png
expect 3 'such' $draw --mask no-such-picture.png -i no-such-picture.png
# Found before the work: no stage has begun.
expect 3 'file' $draw -o file/x.png
grep -q 'encode\|denoise' err && wrong 'an output that cannot be written was found after the work'
[ -e output.png ] && wrong 'something was written'

expect 0 'generate' help
expect 0 'generate' --help
expect 0 'cfg-scale' generate --help
expect 0 'DPM++ 2M' help generate
expect 0 'sd1' init --help
expect 0 'sumi [0-9]' version

# What opens a model takes its other files.
for command in generate eval dump explain serve; do
	"$sumi" $command --help >help.txt
	for option in vae taesd clip_l clip_g t5xxl prediction lora lora-model-dir embd-dir device threads type max-memory; do
		grep -q -e "--$option " help.txt || wrong "sumi $command has no --$option"
	done
done
expect 3 'none.safetensors' dump -m "$model" --clip_l none.safetensors
expect 3 'none.safetensors' explain x -m "$model" --vae none.safetensors
expect 3 'none.safetensors' eval -d . -m "$model" --lora none.safetensors

# A device that is not there is one line, whatever would be computed on it.
mkdir pictures
cp "$unit_pictures/plain.reference.png" pictures/
for job in autoencoder diffusion lora; do
	expect 2 'no GPU' train $job --model "$model" --train_data_dir pictures --resolution 32 --output no.safetensors --device cuda:99
	expect 2 "'gpu' is not one: auto, cpu, cuda or cuda:N" train $job --model "$model" --train_data_dir pictures --resolution 32 \
		--output no.safetensors --device gpu
done
expect 2 'no GPU' cache --model "$model" --train_data_dir pictures --output no.cache --device cuda:99
expect 2 'no GPU' generate -m "$model" 'a bird' --device cuda:99
# An option is no other's value, and near names are near.
expect 2 'output needs a value' $draw --output --steps 4
[ -e ./--steps ] && wrong 'an option was taken for a path'
expect 2 'did you mean --seed' $draw --sed 3
expect 2 'unknown option --zzz; --help' $draw --zzz --steps 4
expect 2 'true or false' $draw --quiet=perhaps
# Missing folders of what is written are made; not where nothing is written.
expect 0 '' $draw --steps 1 -W 32 -H 32 -o new/folder/x.png
is_png new/folder/x.png 32 32
expect 3 'such' generate -m none.safetensors -p x -o other/folder/x.png
[ -e other ] && wrong 'a folder was left behind by a failure'

# Flag > environment > file > default.
mkdir -p config/sumi
printf '# mine\nsteps = 0\n' >config/sumi/config
expect 2 'config.*0: between 1' $draw
SUMI_STEPS=zero expect 2 'config' $draw
printf 'steps = 3\n' >config/sumi/config
SUMI_STEPS=zero expect 2 'SUMI_STEPS zero' $draw
# A long one is read to its end.
seq 4000 | sed 's/^/# remark /' >config/sumi/config
echo 'steps = 0' >>config/sumi/config
expect 2 'config.*0: between 1' $draw
head -c 1048576 /dev/zero | tr '\0' '#' >config/sumi/config
expect 3 'more than 1048575 bytes' $draw
printf 'prompt = a cup\n' >config/sumi/config
expect 0 '' generate -m "$model" 'a bird' -W 32 -H 32 --steps 1 -o bird.png # a word beats what is configured
finish
