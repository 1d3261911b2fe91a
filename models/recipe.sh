#!/bin/sh
# recipe.sh - makes models/emoji.safetensors, the model that ships with Sumi, from a font and two tables: draws the
# training set, trains the autoencoder and then text encoder and denoiser, converts to bf16, and measures the result.
# What was done is not done again, and what was interrupted goes on where it stopped. `make model` runs it.
#
#     models/recipe.sh [STEP]        one of data, autoencoder, diffusion, convert, measure; default: all in this order
#
# RUN is the folder it works in (about 800 MB), SUMI and EMOJI_DATASET are the programs, THREADS computes with so many,
# CFG_SCALE measures with another guidance than the model's own.
# The packages: tools/setup model.
set -eu
models=$(cd "$(dirname "$0")" && pwd)
build=$models/../build
run=${RUN:-${XDG_CACHE_HOME:-$HOME/.cache}/sumi/emoji}
sumi=${SUMI:-$build/sumi}
dataset=${EMOJI_DATASET:-$build/emoji-dataset}
threads=${THREADS:-$(nproc)}

die() { echo "recipe: $*" >&2; exit 1; }

data() {
	[ -s "$run/data/heldout/metadata.jsonl" ] && return
	[ -x "$dataset" ] || die "$dataset is not there: tools/setup model, then cmake --preset release && cmake --build build"
	rm -rf "$run/data.part"
	"$dataset" "$models/emoji-heldout.txt" "$run/data.part"
	mv "$run/data.part" "$run/data"
}

autoencoder() {
	[ -s "$run/ae.safetensors" ] && return
	"$sumi" train autoencoder --train_data_dir "$run/data/train" --output "$run/ae.safetensors" \
		--model_config "$models/emoji.json" --resume_from_checkpoint latest --seed 1 --threads "$threads" \
		--random_flip --train_batch_size 8 --max_train_steps 6000 --logvar_init -2 \
		--learning_rate 1.5e-3 --lr_scheduler cosine --lr_warmup_steps 100 --mixed_precision bf16 \
		--use_ema --ema_decay 0.998 --reconstruction_loss l2 --kl_weight 1e-3 \
		--checkpointing_steps 500 --log_steps 50
}

diffusion() {
	[ -s "$run/dm.safetensors" ] && return
	"$sumi" train diffusion --train_data_dir "$run/data/train" --output "$run/dm.safetensors" \
		--model_config "$models/emoji.json" --vae "$run/ae.safetensors" --vocabulary_size 2000 \
		--resume_from_checkpoint latest --seed 1 --threads "$threads" \
		--train_batch_size 64 --max_train_steps 21000 --caption_dropout 0.1 \
		--timestep_sampling logit_normal --logit_mean 0.7 --logit_std 1.5 \
		--learning_rate 1e-3 --embedding_lr 1e-2 --lr_scheduler cosine --lr_warmup_steps 200 --adam_weight_decay 0.01 \
		--mixed_precision bf16 --use_ema --ema_decay 0.999 --checkpointing_steps 200 --log_steps 50
}

convert() {
	[ "$run/emoji.safetensors" -nt "$run/dm.safetensors" ] ||
		"$sumi" convert "$run/dm.safetensors" "$run/emoji.safetensors" --type bf16
	cmp -s "$run/emoji.safetensors" "$models/emoji.safetensors" || cp "$run/emoji.safetensors" "$models/"
}

measure() {
	"$sumi" eval -m "$run/emoji.safetensors" --data "$run/data/train" --heldout "$run/data/heldout" \
		--group-field base --variant-field tone --samples 2000 --steps 20 --seed 42 \
		${CFG_SCALE:+--cfg-scale "$CFG_SCALE"} --threads "$threads" --json "$run/eval.json" --grid "$run/eval.png" >"$run/eval.txt"
	cat "$run/eval.txt"
}

mkdir -p "$run"
case ${1:-all} in
data | autoencoder | diffusion | convert | measure) "$1" ;;
all) data && autoencoder && diffusion && convert && measure ;;
*) die "'$1' is not one of: data, autoencoder, diffusion, convert, measure" ;;
esac
