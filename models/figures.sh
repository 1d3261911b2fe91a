#!/bin/sh
# figures.sh - the pictures of README and the model card: 24 prompts, guidance, and the ways between prompts and seeds.
#     models/figures.sh FOLDER       MODEL names another model than the one that ships, SUMI another program
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: models/figures.sh FOLDER}
sumi=${SUMI:-$here/../build/sumi}
mkdir -p "$out"
cells=$(mktemp -d)
trap 'rm -rf "$cells"' EXIT

draw() { # draw FILE OPTIONS…
	file=$1
	shift
	"$sumi" generate -q ${MODEL:+-m "$MODEL"} --seed 42 -o "$file" "$@" >/dev/null
}

# Four by six. Four of the pairs of thing and tone were held out; the texts of the last six are in no data.
n=100
while read -r prompt; do
	n=$((n + 1))
	draw "$cells/words$n.png" -p "$prompt"
done <<'PROMPTS'
grinning face with big eyes
smiling cat with heart-eyes
red apple
sunflower
racing car
hot beverage
thumbs up: medium skin tone
woman astronaut: dark skin tone
flag: Japan
snowman
rainbow
fox
waving hand: medium skin tone
girl: dark skin tone
nail polish: medium-light skin tone
flag: Mexico
octopus
blue circle
a cat with heart eyes
a sad yellow face with glasses
a green apple
a blue heart
a purple car
a flag, red and white
PROMPTS
"$sumi" grid "$cells"/words*.png -c 6 -o "$out/words.png"

# A row for each prompt, a column for each guidance.
n=100
for prompt in 'red apple' 'cat face' 'flag: Japan' 'waving hand: medium skin tone' 'a blue heart'; do
	for scale in 1 2 4 8; do
		n=$((n + 1))
		draw "$cells/cfg$n.png" -p "$prompt" --cfg-scale $scale
	done
done
"$sumi" grid "$cells"/cfg*.png -c 4 -o "$out/guidance.png"

# From one prompt to another, and from one seed to another.
draw "$cells/between%02d.png" -p 'waving hand: light skin tone' --prompt-to 'waving hand: dark skin tone' --frames 9
draw "$cells/betwixt%02d.png" -p 'cat face' --prompt-to 'sunflower' --frames 9
"$sumi" grid "$cells"/between*.png "$cells"/betwixt*.png -c 9 -o "$out/between-prompts.png"
draw "$cells/seeds%02d.png" -p 'cat face' --variation-seed 43 --frames 9
"$sumi" grid "$cells"/seeds*.png -c 9 -o "$out/between-seeds.png"
