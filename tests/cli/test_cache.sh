# test_cache.sh - sumi cache as a user runs it, runs that read it, and one that is interrupted.
. "$(dirname "$0")/lib.sh"

pictures=$work/pictures
mkdir "$pictures" empty
for name in plain turned palette; do # any three pictures
	cp "$unit_pictures/$name.reference.png" "$pictures/$name.png"
	echo "a picture called $name" >"$pictures/$name.txt"
done
head -c 300 "$unit_pictures/plain.jpg" >"$pictures/truncated.jpg"

expect 0 '^  --cache_precision' cache --help
expect 2 'train_data_dir is missing' cache --model "$model"
expect 2 'cache_precision' cache --model "$model" --train_data_dir "$pictures" --output c --cache_precision f64
expect 2 'has no meaning' cache --learning_rate 1
expect 3 'no pictures' cache --model "$model" --train_data_dir empty --output c
expect 2 'no multiple' cache --model "$model" --train_data_dir "$pictures" --output c --resolution 33
expect 0 'truncated.jpg' cache --model "$model" --train_data_dir "$pictures" --output c --resolution 32
grep -q '3 latents and text states in c: .* 1 could not be read' err || wrong "no summary: $(cat err)"
[ "$(wc -l <c/metadata.jsonl)" -eq 3 ] || wrong 'metadata.jsonl has not three lines'

run="train diffusion --model $model --train_data_dir c --train_batch_size 2 --log_steps 1 --seed 7"
expect 0 'cached latents and text states' $run --output a.safetensors --max_train_steps 2
expect 2 'neither cropped' $run --output b.safetensors --random_flip
ls a.training/events.out.tfevents.* >/dev/null || wrong 'no events for TensorBoard'
expect 0 'the loader alone: 6 pictures' $run --output b.safetensors --benchmark_loader 3
[ -e b.safetensors ] && wrong 'a benchmark wrote a model'

# SIGINT: what is done is saved, and goes on.
"$sumi" $run --output long.safetensors --max_train_steps 1000000 2>err &
child=$!
tries=0
until [ "$(wc -l 2>/dev/null <long.training/log.csv)" -gt 2 ] 2>/dev/null || [ $tries -gt 600 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
kill -INT $child
wait $child
code=$?
[ $code -eq 130 ] || wrong "interrupted: exit code $code: $(tail -n 2 err)"
grep -q 'all is saved' err || wrong "interrupted, and no word of what is saved: $(tail -n 2 err)"
[ -e long.safetensors ] && wrong 'an interrupted run wrote a model'
saved=$(ls long.training | sed -n 's/^checkpoint-\([0-9]*\)\.safetensors$/\1/p')
expect 0 "resumed from .*checkpoint-$saved" $run --output long.safetensors --max_train_steps $((saved + 1)) \
	--resume_from_checkpoint latest
[ -s long.safetensors ] || wrong 'the resumed run wrote no model'
finish
