# test_kill.sh - a training run that is killed (SIGKILL) at random moments and resumed each time ends with the same
# bytes as one that was never stopped: the model, the last checkpoint, and the log but for its clocks. With other words
# or another scale than then it is not resumed.
. "$(dirname "$0")/lib.sh"
kills=0 torn=0

mkdir set
for picture in noise plain.reference resize.box.40x50 resize.bicubic.40x50; do
	cp "$unit_pictures/$picture.png" set/
	echo "a picture of $picture" >"set/$picture.txt"
done
tiny_config 8 8 4 >tiny.json

# A checkpoint after every step, so that many kills meet one being written; sums of two batches; averages; crops.
# In a shell of its own, which becomes the program: so a kill meets it.
train() { # train JOB OUTPUT OPTIONS…
	job=$1 output=$2
	shift 2
	exec "$sumi" train "$job" --model_config tiny.json --train_data_dir set --output "$output.safetensors" --resolution 16 \
		--crop 8 --train_batch_size 1 --gradient_accumulation_steps 2 --max_train_steps 20 --checkpointing_steps 1 \
		--use_ema --lr_warmup_steps 5 --lr_scheduler cosine --log_steps 3 --seed 3 --threads 1 "$@" >out 2>err
}

# moment RUN KILL: waits for a time up to half of what a whole run takes; each third time, for a file being written.
# `whole` is measured once, perhaps while others used the machine: it shrinks with each run that ended before its kill.
moment() {
	if [ $(($2 % 3)) -eq 2 ]; then
		while kill -0 $process 2>/dev/null; do
			for file in "$1".training/*.tmp-*; do [ -e "$file" ] && return; done
		done
	else
		sleep "$(od -An -N2 -tu2 /dev/urandom | awk -v whole="$whole" '{ printf "%.3f", 0.02 + $1 / 65535 * 0.5 * whole }')"
	fi
}

# killed JOB ROUND KILLS OPTIONS…: is killed up to so often and resumed each time, until a run ends by itself: a kill
# may come when the model is written and the lock is not yet removed, and then the next run removes it.
killed() {
	kind=$1 name=$1-$2 wanted=$3
	shift 3
	here=0 code=137
	while [ $code -eq 137 ]; do
		train "$kind" "$name" --resume_from_checkpoint latest "$@" &
		process=$!
		moment "$name" $here
		sent=false
		[ $here -lt "$wanted" ] && kill -KILL $process 2>/dev/null && sent=true
		wait $process 2>/dev/null
		code=$?
		if [ $code -eq 137 ] && $sent; then
			here=$((here + 1))
			ls "$name.training" 2>/dev/null | grep -q '\.tmp-' && torn=$((torn + 1))
		elif [ $code -ne 0 ]; then
			wrong "$name: exit code $code: $(cat err)"
			return
		fi
	done
	[ $here -lt "$wanted" ] && whole=$(echo "$whole" | awk '{ print 0.7 * $1 }')
	kills=$((kills + here))
	same "$name.safetensors" "$kind.safetensors"
	same_run "$name.training" "$kind.training"
}

# same_run A B: the last checkpoint's arrays, and what the logs say but for their clocks; nothing else lies there.
same_run() {
	for run in "$1" "$2"; do
		ls "$run" | grep -v tfevents >"$run.list" # each piece of a run begins a file of events
		cut -d, -f1-5 "$run/log.csv" >"$run.csv"
		tail -c 40000 "$run/checkpoint-20.safetensors" >"$run.tail"
	done
	same "$1.list" "$2.list"
	same "$1.csv" "$2.csv"
	same "$1.tail" "$2.tail"
}

# rounds JOB OPTIONS…: until there were enough kills in all.
rounds() {
	kind=$1 before=$kills round=0
	shift
	began=$(date +%s.%N)
	(train "$kind" "$kind" "$@") || wrong "$kind: $(cat err)"
	whole=$(date +%s.%N | awk -v began="$began" '{ print $1 - began }')
	[ "$(wc -l <"$kind.training/log.csv")" -eq 7 ] || wrong "$kind: the log is not as long as the run"
	while [ $((kills - before)) -lt 10 ] && [ $round -lt 40 ] && [ $failures -eq 0 ]; do
		round=$((round + 1))
		killed "$kind" $round 10 "$@"
	done
}

# The discriminator begins to play in the middle of the run.
rounds autoencoder --random_crop --random_flip --disc_weight 0.5 --disc_start 8 --disc_channels 8 --disc_layers 1
mv autoencoder.safetensors vae.safetensors
rounds diffusion --vae vae.safetensors --optimizer adamw8bit --caption_dropout 0.1
echo "$kills kills, $torn of them while a file was being written"
[ $kills -ge 20 ] || wrong "only $kills kills met a run"
[ $torn -ge 1 ] || wrong 'no kill met a checkpoint being written'

# Captions that changed since make another vocabulary, by which rows of the embedding would be other words.
echo 'zigzag zebra, quilted' >set/noise.txt
set -- diffusion diffusion --vae vae.safetensors --optimizer adamw8bit --resume_from_checkpoint latest
(train "$@")
[ $? -eq 2 ] && grep -q 'another vocabulary' err || wrong "another vocabulary was not refused: $(cat err)"
set -- "$@" --vocabulary diffusion.training/checkpoint-20.safetensors
(train "$@") || wrong "the vocabulary of a checkpoint: $(cat err)"

# Other pictures have latents of another scale.
cp set/plain.reference.png set/noise.png
(train "$@")
[ $? -eq 2 ] && grep -q 'latents scaled by' err || wrong "another scale was not refused: $(cat err)"
(train "$@" --latent_scale "$(sed -n 's/.*--latent_scale \([^ ]*\) .*/\1/p' err)") || wrong "the scale it asked for: $(cat err)"
finish
