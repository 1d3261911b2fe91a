# test_run.sh - a training run loses nothing and hides nothing: what it would overwrite, what it leaves out, what another
# run left, how it resumes, and how it is stopped.
. "$(dirname "$0")/lib.sh"

mkdir set
for name in plain turned palette; do # any three pictures
	cp "$unit_pictures/$name.reference.png" "set/$name.png"
	echo "a picture called $name" >"set/$name.txt"
done
job="train lora --model $model --resolution 32 --network_dim 2 --threads 1 --seed 7 --log_steps 1"
run="$job --train_data_dir set"
said() { grep -q -e "$1" err || wrong "not said: $1: $(cat err)"; }
unsaid() { grep -q -e "$1" err && wrong "said: $1"; }
steps() { ls "$1" | sed -n 's/^checkpoint-\([0-9]*\)\.safetensors$/\1/p' | sort -n | tr '\n' ' '; }

# What it reads is never what it writes, by whatever name.
cp "$model" base.safetensors
ln base.safetensors hard.safetensors
ln -s base.safetensors soft.safetensors
sum=$(cksum <base.safetensors)
own="train lora --model base.safetensors --train_data_dir set --resolution 32 --max_train_steps 1 --network_dim 2"
for name in base ./base hard soft "$work/base"; do
	expect 2 'is what --model reads' $own --output "$name.safetensors"
done
expect 2 'is what --vae reads' train diffusion --model "$model" --vae hard.safetensors --train_data_dir set --output base.safetensors
expect 2 'is the training set' $own --output x.safetensors --output_dir set
mkdir shards
printf '{"weight_map": {"a": "part-1.safetensors"}}' >shards/model.safetensors.index.json
cp base.safetensors shards/part-1.safetensors
expect 2 'is what --model reads' train lora --model shards/model.safetensors.index.json --train_data_dir set --output shards/part-1.safetensors
[ "$(cksum <base.safetensors)" = "$sum" ] || wrong 'the checkpoint was overwritten'
printf '{"file_name": "plain.png", "text": "mine"}\n' >set/metadata.jsonl
expect 2 'reads' cache --model "$model" --train_data_dir set --output set
grep -q mine set/metadata.jsonl || wrong "a cache overwrote the set's own list"
rm set/metadata.jsonl

# A misspelt key of a model's shape.
echo '{"unet": {"model_channels": 32, "num_heads": 4}, "dd": {"ch": 32, "ch_mult": [1, 2]}, "predction_type": "flow"}' >slip.json
expect 3 "predction_type.*did you mean 'prediction_type'" train autoencoder --model_config slip.json --train_data_dir set --output x.safetensors

# The path of the result, its folders, the samples of a short run, and what was said before it began.
expect 0 '' $run --output new/place/a.safetensors --max_train_steps 3 --validation_prompts fox --validation_inference_steps 1
[ "$(cat out)" = new/place/a.safetensors ] || wrong "printed: $(cat out)"
is_png new/place/a.training/sample-3.png 32 32
said 'data: set: 3 pictures, all with captions; files: 3 .png'
said 'samples a step: 3.0 steps an epoch, 1 epochs in 3 steps'
said 'MB of values'
unsaid warning
[ -e new/place/a.training/run.lock ] && wrong 'the lock outlived the run'

# Captions, formats and lists.
mkdir gaps gaps/sub
cp set/plain.png gaps/1.png
cp set/plain.png gaps/2.png
cp set/plain.png gaps/sub/3.png
echo 'in capitals' >gaps/2.TXT
touch gaps/4.gif gaps/5.HEIC
expect 0 '' $job --train_data_dir gaps --output g.safetensors --max_train_steps 1
said 'warning: 2 of 3 pictures have no caption: 1.png, 3.png'
said 'warning: 2 pictures are of formats that are not read .*: 4.gif, 5.HEIC'
expect 3 '2 of 3 pictures have no caption' $job --train_data_dir gaps --output r.safetensors --require_captions
[ -e r.training ] && wrong 'a refused run left a folder'
expect 0 '' $job --train_data_dir gaps --output g.safetensors --max_train_steps 1 --instance_prompt 'a dog' --require_captions
printf '{"file_name": "1.png", "text": "one"}\n{"file_name": "./2.png"}\n' >gaps/metadata.jsonl
expect 0 '' $job --train_data_dir gaps --output g.safetensors --max_train_steps 1
said 'warning: 1 picture is not listed in metadata.jsonl, and is left out: 3.png'
unsaid 'have no caption'

# Its own samples are no training set, nor another run's.
cp -r set inside
expect 0 '' $job --train_data_dir inside --output inside/a.safetensors --max_train_steps 2 --validation_prompts fox --validation_inference_steps 1
said 'folder in the set holds the samples of a training run, and is left out: a.training'
expect 0 '3 pictures' $job --train_data_dir inside --output inside/b.safetensors --max_train_steps 1
said 'left out: a.training, b.training'

# Repeats share a latent.
mkdir 'set/200_again'
cp set/turned.png 'set/200_again/x.png'
expect 0 'encoded 4 of 4 pictures' $run --output repeats.safetensors --max_train_steps 3
said '4 pictures, with repeats 203 samples an epoch'
[ "$(wc -l <repeats.cache/metadata.jsonl)" -eq 203 ] || wrong 'the list of the cache is not as long as the epoch'
expect 0 '' $run --output uncached.safetensors --max_train_steps 3 --cache_latents false
for name in repeats uncached; do cut -d, -f1-5 $name.training/log.csv >$name.csv; done
same repeats.csv uncached.csv
rm -r set/200_again

# Two at once: the second names the first, and changes nothing.
"$sumi" $run --output both.safetensors --max_train_steps 1000000 --checkpointing_steps 1000000 >first.out 2>first.err &
first=$!
tries=0
until [ "$(wc -l 2>/dev/null <both.training/log.csv)" -gt 2 ] 2>/dev/null || [ $tries -gt 600 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
expect 3 "both.training is in use by process $first on .* since" $run --output both.safetensors --max_train_steps 1
expect 3 'both.training is in use' $run --output other.safetensors --output_dir both.training --max_train_steps 1
[ -e other.safetensors ] && wrong 'a second run wrote'
kill -KILL $first # its lock goes with it
wait $first 2>/dev/null
[ -e both.training/run.lock ] || wrong 'no lock was left by the kill: the test says nothing'
expect 0 '' $run --output both.safetensors --max_train_steps 1
"$sumi" $run --output c1.safetensors --output_dir c1 --max_train_steps 1000000 2>first.err >first.out &
first=$!
tries=0
until [ "$(wc -l 2>/dev/null <c1/log.csv)" -gt 2 ] 2>/dev/null || [ $tries -gt 600 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
expect 3 'c1.safetensors is in use' $run --output c1.safetensors --output_dir c2 --max_train_steps 1

# SIGHUP saves, and nohup's wish stays.
kill -HUP $first
wait $first
[ $? -eq 130 ] || wrong "SIGHUP: $(tail -1 first.err)"
[ -n "$(steps c1)" ] || wrong 'SIGHUP saved nothing'
expect 0 '' $run --output c1.safetensors --output_dir c1 --resume_from_checkpoint latest --max_train_steps $(($(steps c1) + 1))
(
	trap '' HUP
	exec "$sumi" $run --output n.safetensors --max_train_steps 60
) >/dev/null 2>&1 &
first=$!
tries=0
until [ -e n.training/log.csv ] || [ $tries -gt 600 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
kill -HUP $first
wait $first || wrong 'a run under nohup was stopped by SIGHUP'

# Another run's checkpoints are neither deleted nor gone on from.
expect 0 '' $run --output two.safetensors --max_train_steps 6 --checkpointing_steps 2
[ "$(steps two.training)" = '4 6 ' ] || wrong "kept: $(steps two.training)"
expect 0 '' $run --output two.safetensors --max_train_steps 3 --checkpointing_steps 1 --learning_rate 1e-5
said 'what another run left in two.training is moved to two.training/earlier-1'
[ "$(steps two.training)$(steps two.training/earlier-1)" = '2 3 4 6 ' ] || wrong "set aside: $(steps two.training/earlier-1)"
[ "$(wc -l <two.training/earlier-1/log.csv)" -eq 7 ] || wrong "the other run's log was lost"
expect 0 'at step 3' $run --output two.safetensors --max_train_steps 4 --learning_rate 1e-5 --resume_from_checkpoint LATEST
# From an earlier step of its own: what lies past it is set aside; from another's: all.
expect 0 'at step 3' $run --output two.safetensors --max_train_steps 4 --learning_rate 1e-5 --resume_from_checkpoint two.training/checkpoint-3.safetensors
[ "$(steps two.training/earlier-2)" = '4 ' ] || wrong 'a checkpoint past the resumed one stayed'
expect 0 'at step 6' $run --output two.safetensors --max_train_steps 7 --resume_from_checkpoint two.training/earlier-1/checkpoint-6.safetensors
[ "$(steps two.training)$(steps two.training/earlier-3)" = '7 3 4 ' ] || wrong "fork: $(steps two.training), $(steps two.training/earlier-3)"
cp two.training/earlier-3/checkpoint-3.safetensors two.training/
expect 2 'checkpoints of several runs' $run --output two.safetensors --max_train_steps 8 --resume_from_checkpoint latest
rm two.training/checkpoint-3.safetensors

# A resume with incompatible options is refused, with permitted changes warned of, and of a finished run reported.
again="$run --output two.safetensors --resume_from_checkpoint latest"
expect 2 'network_alpha 2, this run has 1' $again --max_train_steps 8 --network_alpha 1
expect 2 'train_batch_size 1, this run has 2' $again --max_train_steps 8 --train_batch_size 2
expect 2 'past --max_train_steps 5' $again --max_train_steps 5
expect 2 'made by sumi train lora' train embedding --model "$model" --train_data_dir set --resolution 32 --output two.safetensors \
	--placeholder_token zork --initializer_token fox --resume_from_checkpoint latest
expect 0 'the run is finished: all of its 7 steps are done' $again --max_train_steps 7 --network_alpha 2
unsaid warning
sumi_model=$model model=changed.safetensors
"$sumi" convert "$sumi_model" changed.safetensors --type bf16 >/dev/null 2>&1
expect 2 'another model than this run' train lora --model changed.safetensors --train_data_dir set --resolution 32 --network_dim 2 \
	--seed 7 --output two.safetensors --max_train_steps 8 --resume_from_checkpoint latest
model=$sumi_model
echo 'another caption' >set/plain.txt
expect 0 '' $again --max_train_steps 8 --learning_rate 1e-3 --resolution 64 --lr_scheduler Cosine
said 'learning_rate was 0.0001 and is 0.001'
said 'resolution was 32 and is 64'
said 'lr_scheduler was constant and is cosine'
said 'the pictures or captions are others'

# A kill between a checkpoint and what follows it: the sample is made, nothing half written stays, nor one too many.
sampled="$run --output late.safetensors --max_train_steps 4 --checkpointing_steps 1 --validation_prompts fox --validation_steps 2 --validation_inference_steps 1"
expect 0 '' $sampled
cp late.safetensors whole.safetensors
cp late.training/sample-4.png whole.png
rm late.safetensors late.training/sample-4.png
cp late.training/checkpoint-4.safetensors late.training/checkpoint-2.safetensors # one too many, of this run
for name in late.training/sample-4.png late.training/checkpoint-5.safetensors late.training/log.csv late.safetensors late.cache/cache-00000.safetensors; do
	echo torn >$name.tmp-4711
done
head -c 100 /dev/zero >>late.training/log.csv # what a crash of the system leaves
printf '5,1,' >>late.training/log.csv
cp late.training/log.csv torn.csv
expect 0 '' $sampled --resume_from_checkpoint latest
same whole.safetensors late.safetensors
same whole.png late.training/sample-4.png
[ "$(steps late.training)" = '3 4 ' ] || wrong "kept: $(steps late.training)"
ls late.training late.cache . | grep 'tmp-' && wrong 'half written files stay'
[ "$(wc -l <late.training/log.csv)" -eq 5 ] || wrong "the log: $(cat late.training/log.csv)"
[ "$(tr -d '\000' <late.training/log.csv | wc -c)" -eq "$(wc -c <late.training/log.csv)" ] || wrong 'the log holds NULs'
rm late.training/log.csv # not even a lost log makes a hole
expect 0 '' $sampled --resume_from_checkpoint latest
[ "$(wc -l <late.training/log.csv)" -eq 1 ] || wrong "a lost log: $(cat late.training/log.csv)"

# Numbers that are not finite have an exit code of their own, and leave the last checkpoint.
expect 5 'step [0-9]*: ' $run --output nan.safetensors --max_train_steps 50 --learning_rate 100 --max_grad_norm 0 --optimizer sgd --checkpointing_steps 1
[ -e nan.safetensors ] && wrong 'a run that diverged wrote a model'
finish
