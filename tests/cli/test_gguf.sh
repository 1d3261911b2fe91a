# test_gguf.sh - GGUF files do what safetensors files do: drawn from, asked about, converted, merged with LoRAs, trained on.
. "$(dirname "$0")/lib.sh"

draw() { # draw FILE MODEL OPTIONS…
	file=$1 from=$2
	shift 2
	expect 0 "$file" generate -m "$from" -o "$file" -p 'a red fox' -W 64 -H 64 --steps 2 --disable-image-metadata "$@"
	is_png "$file" 64 64
}
lora=$golden/lora/kohya.safetensors

draw plain.png "$model"
for type in q8_0 q5_1 q5_0 q4_1 q4_0 f16; do
	expect 0 $type.gguf convert "$model" $type.gguf --type $type
	expect 0 'missing     0' info $type.gguf
	expect 0 '' convert $type.gguf wide.safetensors --type f32
	draw $type.png $type.gguf
	draw wide.png wide.safetensors
	same $type.png wide.png
	expect 0 '' convert $type.gguf again.gguf
	same $type.gguf again.gguf
done
same f16.png plain.png
differ q8_0.png plain.png
expect 0 '150 Q8_0' info q8_0.gguf
expect 0 '830 F16' info q8_0.gguf # convolutions and vectors
expect 0 '' convert q8_0.gguf plain.safetensors
expect 0 '980 F16' info plain.safetensors

# The parameters' text has the file's hash.
expect 0 '' generate -m q8_0.gguf -o told.png -p fox -W 64 -H 64 --steps 1
expect 0 "Model hash: $(sha256sum q8_0.gguf | cut -c 1-10)" info told.png
expect 0 'Model: q8_0' info told.png

# LoRA: the picture of the widened weights, to the bit; and in the file.
expect 0 '' convert q8_0.gguf wide.safetensors --type f32
draw lora.png q8_0.gguf --lora "$lora"
draw wide.png wide.safetensors --lora "$lora"
same lora.png wide.png
differ lora.png q8_0.png
expect 0 '' convert q8_0.gguf merged.gguf --lora "$lora"
expect 0 '22 Q8_0' info merged.gguf # what the LoRA does not change
expect 0 '' convert q8_0.gguf merged.gguf --lora "$lora" --type q8_0
expect 0 '150 Q8_0' info merged.gguf
draw merged.png merged.gguf
differ merged.png q8_0.png

# Parts of other files.
draw vae.png "$model" --vae f16.gguf
same vae.png plain.png

# Training on it.
mkdir pictures
cp plain.png pictures/fox.png
echo 'a red fox' >pictures/fox.txt
train() { # train JOB MODEL OUTPUT OPTIONS…
	job=$1 from=$2 to=$3
	shift 3
	expect 0 '' train $job --model $from --train_data_dir pictures --resolution 64 --max_train_steps 1 --seed 1 --output $to "$@"
}
train lora q8_0.gguf lora.safetensors --network_dim 2
draw trained.png q8_0.gguf --lora lora.safetensors
printf '{"unet":{"model_channels":32,"channel_mult":[1],"num_res_blocks":1,"attention_resolutions":[1],"num_heads":4,
"context_dim":32},"dd":{"ch":32,"ch_mult":[1,1,2,2],"num_res_blocks":1},"text":{"hidden_size":32,"intermediate_size":64,
"num_hidden_layers":2,"num_attention_heads":2,"vocab_size":49408},"size":64}' >tiny.json
expect 0 '' init tiny.json --type f16
expect 0 '' convert tiny.safetensors tiny.gguf --type q8_0
train diffusion tiny.gguf trained.safetensors
expect 0 'missing     0' info trained.safetensors # the frozen text encoder is f16 again
draw all.png trained.safetensors
train lora tiny.gguf lora.safetensors --network_dim 2 --train_text_encoder
draw of-all.png tiny.gguf --lora lora.safetensors
train embedding tiny.gguf word.safetensors --placeholder_token '<fox>' --initializer_token fox

# What cannot be is said in one line.
expect 2 'type q8_0 is GGUF.s: give the file a name that ends in .gguf' convert "$model" x.safetensors --type q8_0
expect 2 'type q8_0 is GGUF.s' convert "$model" x/ --type q8_0
expect 2 'type Q4_K is read, and not written' convert "$model" x.gguf --type Q4_K
expect 2 'type f8_e4m3: GGUF has f32, f16' convert "$model" x.gguf --type f8_e4m3
head -c 3000000 q8_0.gguf >cut.gguf
expect 3 'cut.gguf: is cut short: the tensor' info cut.gguf
expect 3 'foreign.gguf: not a model that Sumi knows' info "$golden/gguf/foreign.gguf"
finish
