# test_batch.sh - several pictures in one command: each is that of its seed alone, whatever the threads, and one that
# cannot be written does not keep the others from it.
. "$(dirname "$0")/lib.sh"

draw() { # CODE PATTERN OPTIONS…
	code=$1 pattern=$2
	shift 2
	expect "$code" "$pattern" generate -q -m "$model" -p 'a red fox' -W 64 -H 64 --steps 2 "$@"
}

for seed in 42 43 44 45; do draw 0 "" -s $seed -o alone-$seed.png; done
for threads in 1 2 4; do
	draw 0 "" -b 4 -t $threads -o "together-%d.png"
	for i in 1 2 3 4; do same together-$i.png alone-$((41 + i)).png; done
done
[ "$(tail -n 4 out)" = "$(printf 'together-%d.png\n' 1 2 3 4)" ] || wrong "the paths are not printed in their order"
draw 0 "" -b 3 -t 2 -o "three-%d.png" # not as many for each thread
for i in 1 2 3; do same three-$i.png alone-$((41 + i)).png; done

mkdir some-2.png
draw 3 'some-2.png' -b 4 -o "some-%d.png"
[ "$(cat out)" = "$(printf 'some-%d.png\n' 1 3 4)" ] || wrong "others than those that were written are printed"
same some-4.png alone-45.png
finish
