# test_ranks.sh - sumi train on two processes: equal to one with batches twice as large (as are sums of batches), whether each keeps all of the
# optimizer's state or its share; killed and resumed; stopped by a signal that reaches one of them.
. "$(dirname "$0")/lib.sh"
command -v mpirun >/dev/null || { echo 'skipped: no mpirun (Debian: openmpi-bin)'; exit 77; }
ldd "$sumi" "$(ldd "$sumi" | awk '/libsumi/ { print $3 }')" | grep -q libmpi || { echo 'skipped: built without MPI'; exit 77; }

mkdir set
for picture in noise plain.reference resize.box.40x50 resize.bicubic.40x50; do
	cp "$unit_pictures/$picture.png" set/
	echo "a picture of $picture" >"set/$picture.txt"
done
tiny_config 16 16 8 >tiny.json
tiny_config 64 16 8 >wide.json # its gradients fill more than one bucket

# ranks N JOB OUTPUT BATCH OPTIONS…
ranks() {
	n=$1 job=$2 output=$3 batch=$4
	shift 4
	start=
	[ "$n" -gt 1 ] && start="mpirun --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n $n"
	exec $start "$sumi" train "$job" --model_config $config --train_data_dir set --output "$output.safetensors" \
		--resolution 16 --train_batch_size "$batch" --threads 1 --log_steps 1 --seed 5 --use_ema --max_train_steps 6 \
		--gradient_accumulation_steps 2 "$@" >out 2>err
}
run() { (ranks "$@") || wrong "$*: $(cat err)"; }

# near A B: the same names and shapes, and values that differ by no more than rounding; and so do the losses.
near() {
	python3 - "$1" "$2" <<'END' || wrong "$1 and $2: $(cat difference)"
import array, json, struct, sys
def read(name):
    data = open(name + ".safetensors", "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    return {k: array.array("f", data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]])
            for k, v in head.items() if k != "__metadata__" and v["dtype"] == "F32"}
a, b = read(sys.argv[1]), read(sys.argv[2])
def losses(name):
    return [float(line.split(",")[1]) for line in open(name + ".training/log.csv").readlines()[1:]]
worst = max((abs(x - y), k) for k in a for x, y in zip(a[k], b[k]))
loss = max(abs(x - y) for x, y in zip(losses(sys.argv[1]), losses(sys.argv[2])))
open("difference", "w").write("weights differ by %g (%s), losses by %g" % (*worst, loss))
sys.exit(not (a.keys() == b.keys() and 0 < worst[0] < 2e-6 and loss < 1e-5))
END
	echo "$1 and $2: $(cat difference)"
}

# sgd: Adam's first steps turn the rounding of a gradient that is 0 into whole steps.
config=tiny.json
flags='--optimizer sgd --learning_rate 0.01'
run 1 autoencoder one 4 $flags --random_crop --crop 8
run 2 autoencoder two 2 $flags --random_crop --crop 8
near one two
run 1 autoencoder sums 2 $flags --random_crop --crop 8 --gradient_accumulation_steps 4
near one sums
config=wide.json
run 1 diffusion words 4 $flags --vae one.safetensors
run 2 diffusion words-2 2 $flags --vae one.safetensors
near words words-2
grep -q '2 processes: [1-9][0-9]* %' err || wrong "no sum arrived before the backward pass ended: $(cat err)"
[ "$(grep -c 'parameters' err)" -eq 1 ] || wrong 'more than one process talks'
[ "$(cat out)" = words-2.safetensors ] || wrong "not exactly one process printed the result's path: $(cat out)"

config=tiny.json

# Shares of the optimizer's state: the same file, and each process holds about half.
run 2 diffusion whole 2 --vae one.safetensors --checkpointing_steps 2
whole=$(sed -n 's/.* \([0-9]*\) MB of weights and optimizer/\1/p' err)
run 2 diffusion share 2 --vae one.safetensors --checkpointing_steps 2 --shard_optimizer
share=$(sed -n 's/.* \([0-9]*\) MB of weights and optimizer/\1/p' err)
same whole.safetensors share.safetensors
for run in whole share; do tail -c 500000 "$run.training/checkpoint-6.safetensors" >"$run.tail"; done
same whole.tail share.tail
[ "$share" -lt "$whole" ] || wrong "shared: $share MB, whole: $whole MB"
# From the middle again, and from a file that was not shared.
rm "share.training/checkpoint-6.safetensors" share.safetensors
run 2 diffusion share 2 --vae one.safetensors --checkpointing_steps 2 \
	--shard_optimizer --resume_from_checkpoint "whole.training/checkpoint-4.safetensors"
same whole.safetensors share.safetensors

# A signal to one process: all save together and leave; what follows is as if nothing had happened.
long='--vae one.safetensors --max_train_steps 24 --checkpointing_steps 1000'
run 2 diffusion steady 2 $long
(ranks 2 diffusion stopped 2 $long) &
job=$!
while [ "$(cat stopped.training/log.csv 2>/dev/null | wc -l)" -lt 4 ] && kill -0 $job 2>/dev/null; do sleep 0.02; done
one=$(ps -e -o pid,args | awk '/[s]umi train diffusion.*stopped/ && !/mpirun/ { pid = $1 } END { print pid }')
kill -TERM "$one"
wait $job
[ $? -eq 130 ] || wrong "stopped: code $?: $(cat err)"
[ -e stopped.safetensors ] && wrong 'stopped: came to its end'
ls stopped.training | grep -q '^checkpoint-' || wrong 'stopped: no checkpoint was saved'
run 2 diffusion stopped 2 $long --resume_from_checkpoint latest
same steady.safetensors stopped.safetensors

# Killed: likewise.
(ranks 2 diffusion killed 2 $long --checkpointing_steps 3 --shard_optimizer) &
job=$!
while [ ! -e killed.training/checkpoint-3.safetensors ] && kill -0 $job 2>/dev/null; do sleep 0.02; done
kill -KILL $(ps -e -o pid,args | awk '/[s]umi train diffusion.*killed/ && !/mpirun/ { print $1 }')
wait $job
[ -e killed.safetensors ] && wrong 'killed: came to its end'
run 2 diffusion killed 2 $long --resume_from_checkpoint latest --shard_optimizer
same steady.safetensors killed.safetensors

# One process that cannot go on ends all.
(ranks 2 diffusion broken 2 --vae absent.safetensors) && wrong 'an autoencoder that is not there: no failure'
grep -q 'absent.safetensors' err || wrong "broken: $(cat err)"
finish
