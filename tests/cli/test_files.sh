# test_files.sh - files that are not what they should be get one clear line and exit code 3; convert and init keep bits.
. "$(dirname "$0")/lib.sh"

# broken NAME PATTERN: this file is refused, by info and by generate.
broken() {
	expect 3 "$2" info "$1"
	expect 3 "$2" generate -m "$1" -p x -W 16 -H 16 --steps 1
}
cp "$golden/sd1/config.json" .
size=$(wc -c <"$model")

head -c 100000 "$model" >header-cut.safetensors
broken header-cut.safetensors header-cut
head -c $((size - 1000)) "$model" >data-cut.safetensors
broken data-cut.safetensors data-cut
{ printf '\377\377\377\377\377\377\377\177' && tail -c +9 "$model"; } >length.safetensors
broken length.safetensors length.safetensors
{ printf '\000\000\000\001\000\000\000\000' && tail -c +9 "$model"; } >length-end.safetensors
broken length-end.safetensors 'length-end.*cut short'
sed 's/time_embed\.0\.weight/time_embed.0.weighx/' "$model" >missing.safetensors
broken missing.safetensors 'time_embed.0.weight'
sed 's/"shape":\[128,32\]/"shape":[32,128]/' "$model" >shape.safetensors
broken shape.safetensors 'time_embed.0.weight'
sed 's/"dtype":"F16","shape":\[128,32\]/"dtype":"I16","shape":[128,32]/' "$model" >dtype.safetensors
broken dtype.safetensors 'time_embed.0.weight\|dtype'
sed 's/"data_offsets":\[0,8192\]/"data_offsets":[9,8201]/' "$model" >overlap.safetensors
broken overlap.safetensors overlap
sed 's/"data_offsets":\[0,8192\]/"data_offsets":[0,9192]/' "$model" >long.safetensors
broken long.safetensors long
crafted() { # crafted FILE TENSOR: this tensor and 8 bytes of data
	header="{\"a\":{$2}}"
	printf "$(printf '\\%03o' ${#header})\\000\\000\\000\\000\\000\\000\\000%s12345678" "$header" >"$1"
}
crafted fine.safetensors '"dtype":"F32","shape":[2],"data_offsets":[0,8]'
broken fine.safetensors 'family\|fine.safetensors'
crafted overflow.safetensors '"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551624]'
broken overflow.safetensors 'overflow.safetensors.*too big'
crafted far.safetensors '"dtype":"F32","shape":[2],"data_offsets":[9223372036854775799,9223372036854775807]'
broken far.safetensors 'far.safetensors.*belong to none'
crafted shape-overflow.safetensors '"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]'
broken shape-overflow.safetensors 'no number of bytes'
crafted negative.safetensors '"dtype":"F32","shape":[-2],"data_offsets":[0,8]'
broken negative.safetensors 'not a size'
sed 's/"data_offsets":\[0,8192\]/"data_offsets":[8192,0]/' "$model" >order.safetensors
broken order.safetensors order
: >empty.safetensors
broken empty.safetensors empty
head -c 5000 /dev/urandom >noise.safetensors
broken noise.safetensors noise
printf 'hello, this is not a model at all\n' >text.safetensors
broken text.safetensors text
mkdir empty-folder
broken empty-folder empty-folder
printf '\200\002cos\nsystem\nq\000U\004echoq\001\205q\002Rq\003.' >system.ckpt
broken system.ckpt 'asks for os.system, which is no part of a model'
printf 'PK\003\004 and nothing more of an archive' >cut.pt
broken cut.pt 'without its directory'

expect 0 'known by' info "$model"
expect 0 'parameters' info "$golden/sd1/diffusers"

# To another layout and back: the same tensors, so the same picture.
picture() { expect 0 "$2" generate -m "$1" -p 'a red fox' -W 32 -H 32 --steps 2 -o "$2" --disable-image-metadata; }
picture "$model" a.png
expect 0 '' convert "$model" wide.safetensors --type f32
picture wide.safetensors d.png
same a.png d.png
expect 0 '' convert wide.safetensors narrow.safetensors --type f16
picture narrow.safetensors e.png
same a.png e.png
# A disk that is full: one line, and nothing is left.
(
	ulimit -f 1000
	expect 3 'full\.safetensors' convert "$model" full.safetensors --type f32
	expect 3 'full\.safetensors' init sd1 -o full.safetensors
	finish
) || failures=1
[ -n "$(find . -name '*full.safetensors*')" ] && wrong 'a piece of a model was left'
expect 3 'device' init sd1 -o /dev/full
expect 0 'folder' convert "$model" folder --to diffusers
picture folder f.png
same a.png f.png
expect 0 '' convert folder single.safetensors
picture single.safetensors g.png
same a.png g.png
expect 0 '' convert "$golden/sd1/diffusers" half/ --type f16
picture half h.png
same a.png h.png
expect 2 'neither single nor diffusers' convert "$model" x --to zip

# Another autoencoder: in any of its layouts; but a whole one.
decode() { expect 0 "$1" generate -m "$model" -p 'a red fox' -W 32 -H 32 --steps 2 -o "$1" --disable-image-metadata --vae "$2"; }
for vae in "$model" "$golden/sd1/diffusers" "$golden/sd1/diffusers/vae/diffusion_pytorch_model.safetensors" folder/vae; do
	decode vae.png "$vae"
	same a.png vae.png
done
printf '{"unet":{"model_channels":32,"channel_mult":[1],"num_heads":2,"context_dim":32},"dd":{"ch":32,"ch_mult":[1,1,1,2],
"num_res_blocks":2},"size":64}' >other.json
expect 0 'other.safetensors' init other.json -s 7
decode other.png other.safetensors
differ a.png other.png
expect 3 'not an autoencoder for' generate -m "$model" -p x --vae "$golden/lora/kohya.safetensors" -o x.png
expect 0 'taesd.png' generate -m "$model" -p 'a red fox' -W 32 -H 32 --steps 2 -o taesd.png --taesd "$golden/taesd/weights/random4_decoder.safetensors"
is_png taesd.png 32 32
differ a.png taesd.png
expect 3 'not a decoder of TAESD' generate -m "$model" -p x --taesd "$model" -o x.png

expect 3 'no-such' convert no-such-file x.safetensors
expect 3 "plain.reference.png" convert "$model" "$unit_pictures/plain.reference.png/x.safetensors"
finish
