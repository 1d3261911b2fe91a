# test_ranks.sh SUMI GOLDEN_DIR DRIVER_DIR - sumi train on two processes with a GPU each, on the recording driver and its NCCL:
# the same bytes as over the host by MPI, whichever stream comes late, and whether each process keeps all of the optimizer's
# state or its share; no faults in the driver's books.
. "$(dirname "$0")/../cli/lib.sh"
driver=$3
command -v mpirun >/dev/null || { echo 'skipped: no mpirun (Debian: openmpi-bin)'; exit 77; }
ldd "$sumi" "$(ldd "$sumi" | awk '/libsumi/ { print $3 }')" | grep -q libmpi || { echo 'skipped: built without MPI'; exit 77; }
export LD_LIBRARY_PATH="$driver${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" SUMI_HOST_GPU_BOOKS="$work/books"
"$sumi" version -v >version
grep -q 'over the shim' version || { echo 'skipped: the recording driver is not loaded'; exit 77; }
! grep -q 'this build holds no kernels' version || { echo 'skipped: this build holds no kernels'; exit 77; }

mkdir set
for picture in noise plain.reference resize.box.40x50 resize.bicubic.40x50; do
	cp "$unit_pictures/$picture.png" set/
done
tiny_config 16 16 8 >tiny.json
tiny_config 16 56 8 >wide.json # its gradients fill more than one bucket

# ranks CONFIG OUTPUT SETTING… -- OPTIONS…: settings of the driver
ranks() {
	config=$1 output=$2
	shift 2
	settings=
	while [ "$1" != -- ]; do settings="$settings $1" && shift; done
	shift
	env SUMI_HOST_GPUS=2 $settings mpirun --allow-run-as-root --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n 2 "$sumi" \
		train autoencoder --model_config "$config.json" --train_data_dir set --output "$output.safetensors" --resolution 16 \
		--train_batch_size 1 --threads 1 --log_steps 1 --seed 5 --max_train_steps 2 --device cuda "$@" >out 2>err
}
run() { ranks "$@" || wrong "$*: $(head -c 600 err)"; }
told() { grep -q -e "$1" err || wrong "not said: \"$1\" in: $(head -c 900 err)"; }
same() { cmp "$1.safetensors" "$2.safetensors" || wrong "$1 and $2 differ"; }

run wide nccl --
told 'each of the 2 processes here has a GPU of its own'
told 'gradients are summed from GPU to GPU by NCCL 2.28.9'
run wide host SUMI_HOST_NCCL_VERSION=21500 --
told 'warning: gradients are summed over the host: NCCL is version 2.15, and 2.18 is the oldest that will do'
same nccl host
run wide late SUMI_HOST_GPU_LATE=main --
told '2 processes: 100 %'
same nccl late

run tiny whole -- --use_ema
for late in main other; do
	run tiny share SUMI_HOST_GPU_LATE=$late -- --use_ema --shard_optimizer
	same whole share
	run tiny sums SUMI_HOST_GPU_LATE=$late -- --gradient_accumulation_steps 2
	[ $late = main ] && mv sums.safetensors first.safetensors
done
same first sums

# Two processes of one GPU, which NCCL refuses; and fewer GPUs than processes.
run tiny one -- --use_ema --device cuda:0
told 'warning: gradients are summed over the host: NCCL: joining the GPUs failed: invalid usage'
same whole one
ranks tiny few SUMI_HOST_GPUS=1 -- && wrong 'trains with a GPU too few'
[ "$(grep -c '^sumi: 2 processes on this machine, and 1 GPU: each needs one of its own' err)" = 1 ] || wrong "not one line: $(cat err)"

grep -v 'alive 0 .*faults 0$' books && wrong "a driver's books do not balance"
[ "$(wc -l <books)" -ge 16 ] || wrong "books of $(wc -l <books) processes"
exit $((failures > 0))
