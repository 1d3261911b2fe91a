# test_train.sh - sumi train as a user runs it: help, refusals, a run that is stopped and goes on, and what comes out.
. "$(dirname "$0")/lib.sh"

pictures=$work/pictures
mkdir "$pictures"
for name in plain turned palette; do # any three pictures
	cp "$unit_pictures/$name.reference.png" "$pictures/$name.png"
	echo "a picture called $name" >"$pictures/$name.txt"
done

for job in autoencoder diffusion lora embedding; do
	expect 0 '^  --learning_rate' train $job --help
	grep -q '^DreamBooth:' out
	[ $? -eq 0 ] && [ $job = autoencoder ] && wrong 'headings of other jobs in the help of autoencoder'
done
expect 0 '^  embedding' train --help
expect 2 'did you mean lora' train lorra
expect 2 'did you mean --network_dim' train lora --networkdim 4
expect 2 'model is missing' train lora --train_data_dir "$pictures" --output x.safetensors
expect 2 'network_dropout is 2' train lora --network_dropout 2
expect 2 'save_precision' train lora --model "$model" --train_data_dir "$pictures" --output x.safetensors --save_precision f64
expect 2 'placeholder_token is missing' train embedding --model "$model" --train_data_dir "$pictures" --output x.safetensors
expect 2 'has no meaning' train diffusion --network_dim 4
expect 3 'no such file' train lora --model none.safetensors --train_data_dir "$pictures" --output x.safetensors

train() { # train JOB OUTPUT OPTIONS…
	job=$1 file=$2
	shift 2
	expect 0 '' train $job --model "$model" --train_data_dir "$pictures" --output "$file" --resolution 32 \
		--train_batch_size 1 --log_steps 1 --seed 7 "$@"
	[ -s "$file" ] || wrong "train $job wrote no $file"
}

# A LoRA: the same in one piece and resumed, from a file and from a folder; its names match; it changes the picture.
train lora whole.safetensors --max_train_steps 4 --network_dim 4 --network_conv --train_text_encoder \
	--network_dropout 0.2 --learning_rate 1e-1 --validation_prompts 'a fox|a cat|a dog' --validation_steps 4 \
	--validation_inference_steps 1
is_png whole.training/sample-4.png 64 64
train lora pieces.safetensors --max_train_steps 4 --network_dim 4 --network_conv --train_text_encoder \
	--network_dropout 0.2 --learning_rate 1e-1 --checkpointing_steps 2
rm pieces.safetensors pieces.training/checkpoint-4.safetensors
train lora pieces.safetensors --max_train_steps 4 --network_dim 4 --network_conv --train_text_encoder \
	--network_dropout 0.2 --learning_rate 1e-1 --resume_from_checkpoint latest
tail -c 100000 whole.safetensors >a
tail -c 100000 pieces.safetensors >b
same a b
expect 0 'changes [1-9]' generate -m "$model" -p 'a fox' -W 32 -H 32 --steps 1 --lora whole.safetensors:1 -v -o with.png
grep -q 'not used' err && wrong "names of the LoRA: $(grep 'not used' err)"
expect 0 '' generate -m "$model" -p 'a fox' -W 32 -H 32 --steps 1 -o without.png
differ with.png without.png

# A new word: used where the prompt has it, and only there.
mkdir words
train embedding words/zork.safetensors --max_train_steps 3 --placeholder_token zork --initializer_token fox \
	--num_vectors 2 --learning_rate 1
expect 0 '1 learned words' generate -m "$model" -p 'a zork' -W 32 -H 32 --steps 2 --embd-dir words -v -o zork.png
expect 0 '' generate -m "$model" -p 'a zork' -W 32 -H 32 --steps 2 -o plain.png
expect 0 '' generate -m "$model" -p 'a fox' -W 32 -H 32 --steps 1 --embd-dir words -o other.png
differ zork.png plain.png
same other.png without.png

# A checkpoint, from one and from a folder.
train diffusion tuned.safetensors --max_train_steps 2 --gradient_checkpointing --optimizer adamw8bit
expect 0 '' info tuned.safetensors
expect 0 '' generate -m tuned.safetensors -p 'a fox' -W 32 -H 32 --steps 1 -o tuned.png
is_png tuned.png 32 32
finish
