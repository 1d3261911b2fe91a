# test_train_control.sh - sumi train controlnet: what is written is read, begins as no change at all, and learns.
. "$(dirname "$0")/lib.sh"
mkdir data hints
for i in 1 2; do
	expect 0 '' generate -m "$model" -p 'a red fox' --steps 1 -W 64 -H 64 -s $i --disable-image-metadata -o data/$i.png
	expect 0 '' generate -m "$model" -p 'lines' --steps 1 -W 64 -H 64 -s 1$i --disable-image-metadata -o hints/$i.png
	echo 'a red fox' >data/$i.txt
done

train() { # train OUTPUT OPTIONS…
	to=$1
	shift
	expect 0 "$to" train controlnet --model "$model" --train_data_dir data --conditioning_data_dir hints --output "$to" \
		--resolution 64 --train_batch_size 2 --mixed_precision no --seed 3 "$@"
}

draw() { # draw FILE OPTIONS…
	file=$1
	shift
	expect 0 "$file" generate -m "$model" -p 'a red fox' --steps 2 -W 64 -H 64 --type f32 --disable-image-metadata -o "$file" "$@"
}

# --plan says what memory it takes, and makes nothing.
before=$(ls)
for job in 'controlnet --conditioning_data_dir hints' lora; do
	expect 0 'plan: .* of trained weights' train $job --model "$model" --train_data_dir data --output planned.safetensors \
		--resolution 64 --train_batch_size 1 --plan
	[ -s out ] && wrong "a path was printed: $(head -c 300 out)"
done
[ "$(ls)" = "$before" ] || wrong "$(ls) after $before"

# Its last convolutions begin at zero: a network that has not learned changes nothing.
# Its samples: to the left of each what it follows, here the set's first two.
samples="--validation_prompts fox|lines --validation_steps 1 --validation_inference_steps 1"
train still.safetensors --max_train_steps 1 --learning_rate 0 $samples
is_png still.training/sample-1.png 512 512
draw plain.png
draw still.png --control-net still.safetensors --control-image hints/1.png
same plain.png still.png
# One that learns does, and its loss falls.
train moved.safetensors --max_train_steps 14 --learning_rate 1e-3 --log_steps 1
draw moved.png --control-net moved.safetensors --control-image hints/1.png
differ plain.png moved.png
awk -F, 'NR > 1 { if (NR <= 6) first += $2; last[NR % 5] = $2 } END { for (i in last) end += last[i]; exit !(end < first) }' \
	moved.training/log.csv || wrong 'the loss did not fall'
# It goes on from a file, and from a checkpoint to the same bytes.
train on.safetensors --max_train_steps 1 --learning_rate 0 --controlnet moved.safetensors $samples --validation_images hints/2.png
differ still.training/sample-1.png on.training/sample-1.png
draw on.png --control-net on.safetensors --control-image hints/1.png
same moved.png on.png
train whole.safetensors --max_train_steps 4 --learning_rate 1e-3 --checkpointing_steps 2 --checkpoints_total_limit 0
cp whole.safetensors before
train whole.safetensors --max_train_steps 4 --learning_rate 1e-3 --checkpointing_steps 2 --resume_from_checkpoint \
	whole.training/checkpoint-2.safetensors
same before whole.safetensors

expect 2 'conditioning_data_dir is missing' train controlnet --model "$model" --train_data_dir data --output x.safetensors
expect 2 'model is missing' train controlnet --train_data_dir data --conditioning_data_dir hints --output x.safetensors
expect 3 'not a control network' train controlnet --model "$model" --train_data_dir data --conditioning_data_dir hints \
	--output x.safetensors --controlnet "$model"
expect 3 'nowhere.png' train controlnet --model "$model" --train_data_dir data --conditioning_data_dir hints --output x.safetensors \
	--resolution 64 $samples --validation_images 'hints/1.png|nowhere.png'
expect 2 '3 --validation_images for 2 --validation_prompts' train controlnet --model "$model" --train_data_dir data \
	--conditioning_data_dir hints --output x.safetensors --resolution 64 $samples --validation_images 'hints/1.png|hints/1.png|hints/2.png'
mv hints/2.png .
expect 3 'no picture 2.png (or .jpg, .webp, .bmp) for data/2.png to follow' train controlnet --model "$model" --train_data_dir data \
	--conditioning_data_dir hints --output x.safetensors
for ending in jfif JPEG; do # every ending that a picture of a set may have, in capitals too
	cp 2.png hints/2.$ending
	expect 0 '' train controlnet --model "$model" --train_data_dir data --conditioning_data_dir hints --output x.safetensors \
		--resolution 64 --train_batch_size 1 --plan --quiet
	rm hints/2.$ending
done
expect 2 'random_flip' train controlnet --model "$model" --train_data_dir data --conditioning_data_dir hints \
	--output x.safetensors --random_flip true
[ -e x.safetensors ] && wrong 'x.safetensors was written'
finish
