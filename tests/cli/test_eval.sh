# test_eval.sh - sumi eval, on an autoencoder alone, on a whole model, and asked for what cannot be.
. "$(dirname "$0")/lib.sh"

# A set of pictures, one of them held out.
mkdir seen held
n=0
for word in fox cup owl hat; do
	n=$((n + 1))
	expect 0 "$word.png" generate -q -m "$model" -t 1 -p "$word" -s $n --steps 1 -W 32 -H 32 -o "seen/$word.png"
	echo "{\"file_name\": \"$word.png\", \"text\": \"$word\", \"kind\": \"thing\", \"color\": \"red\"}" >>seen/metadata.jsonl
done
cp seen/fox.png held/hen.png
echo '{"file_name": "hen.png", "text": "hen", "kind": "thing", "color": "blue"}' >held/metadata.jsonl

# The smallest model that there can be, autoencoder first.
cat >tiny.json <<'J'
{"name": "tiny", "unet": {"model_channels": 8, "channel_mult": [1], "num_res_blocks": 1, "attention_resolutions": [1],
 "num_heads": 1, "context_dim": 8, "norm_num_groups": 4},
 "dd": {"ch": 8, "ch_mult": [1, 1, 1], "num_res_blocks": 1, "z_channels": 4, "norm_num_groups": 4},
 "text": {"vocab_size": 400, "n_embed": 8, "n_layer": 1, "heads": 1, "dim_head": 8, "max_seq_len": 8, "logits": false},
 "prediction_type": "v_prediction", "size": 32}
J
expect 0 '' train autoencoder --model_config tiny.json --train_data_dir seen --output ae.safetensors \
	--max_train_steps 2 --train_batch_size 2 --threads 1 --quiet
expect 3 'No such file' eval -t 1 -m ae.safetensors --autoencoder-only -d seen --json none/ae.txt
expect 3 'is a folder' eval -t 1 -m ae.safetensors --autoencoder-only -d seen --json seen
expect 0 'PSNR' eval -t 1 -m ae.safetensors --autoencoder-only -d seen --heldout held --json ae.txt
grep -q '"psnr"' ae.txt || wrong 'no PSNR in the JSON file'
expect 3 'ae.safetensors' eval -t 1 -m ae.safetensors -d seen
expect 0 '' train diffusion --model_config tiny.json --vae ae.safetensors --train_data_dir seen --output m.safetensors \
	--max_train_steps 2 --train_batch_size 2 --threads 1 --quiet
measure() {
	expect 0 'Fréchet' eval -t 1 -m m.safetensors -d seen --heldout held --group-field kind --variant-field color -n 5 \
		--steps 2 "$@"
}
measure --json a.json --grid a.png
measure --json b.json --grid b.png
same a.json b.json
same a.png b.png
is_png a.png 428 68 # four times a row: drawn, nearest, wanted
grep -q '"heldout_variant"' a.json || wrong 'the held-out variant was not judged'
measure -s 43 --json c.json
differ a.json c.json

expect 2 'data' eval -t 1 -m m.safetensors
expect 3 'nowhere/metadata.jsonl' eval -t 1 -m m.safetensors -d nowhere
expect 2 'smell' eval -t 1 -m m.safetensors -d seen --space smell
echo '{"file_name": "gone.png", "text": "gone"}' >>held/metadata.jsonl
expect 3 'gone.png' eval -t 1 -m m.safetensors -d seen --heldout held --steps 1 -n 1
finish
