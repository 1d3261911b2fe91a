# test_explain.sh - sumi explain: one page that needs nothing else, with all its pictures.
. "$(dirname "$0")/lib.sh"
export SUMI_MODEL="$unit_pictures/../../../models/emoji.safetensors"

expect 0 'page.html' explain 'smiling <cat> & "dog"' --steps 5 -q -o page.html
[ "$(grep -c '<img src="data:image/webp;base64,' page.html)" -ge 30 ] || wrong "pictures are missing"
grep -q 'smiling &#60;cat&#62; &#38; &#34;dog&#34;' page.html || wrong "words are not escaped"
grep -qE '(src|href)="[^d]' page.html && wrong "the page needs other files"
for part in 'Words become tokens' 'cat<span class="id">657' 'The latent at five times' 'time 1000: signal 0.000, noise 1.000' \
	'time 0: signal 1.000, noise 0.000' 'Where each word is heard' 'dog: [0-9.]* % on average' 'dB from the picture' 'From noise to picture' 'What guidance does' 'How much survives noise' 'What the autoencoder loses' 'Steps: 5'; do
	grep -q "$part" page.html || wrong "no $part in the page"
done
expect 0 '' explain 'smiling <cat> & "dog"' --steps 5 -q -o again.html
same page.html again.html
# Words that no token stands for.
expect 0 '' explain '()' --steps 5 -q -o none.html
grep -q 'Where each word' none.html && wrong "a map of no word"
expect 2 'no prompt' explain -o x.html
expect 2 'at least\|between' explain x --steps 2 -o x.html
expect 3 'no-such-model' explain x -m no-such-model -o x.html
[ ! -e x.html ] && [ ! -e x.html.part ] || wrong "a page was left"
finish
