# test_families.sh - every kind of family draws from a small model of its own, and a folder of it draws the same.
. "$(dirname "$0")/lib.sh"

unet='"model_channels":32,"channel_mult":[1,2],"num_res_blocks":1,"attention_resolutions":[1,2],"context_dim":32'
clip='"hidden_size":32,"intermediate_size":64,"num_hidden_layers":2,"num_attention_heads":2,"vocab_size":49408'
open='"width":32,"heads":2,"layers":3,"embed_dim":32,"vocab_size":49408'
bert='"n_embed":32,"n_layer":2,"heads":2,"dim_head":16,"vocab_size":30522'

family() { # family NAME UNET TEXT REST
	printf '{"unet":{%s,%s},"dd":{"ch":32,"ch_mult":[1,1,2,2],"num_res_blocks":1},"text":{%s},%s"size":64}' \
		"$unet" "$2" "$3" "$4" >"$1.json"
	expect 0 "$1.safetensors" init "$1.json" --type f16
}
draw() { # draw FILE MODEL OPTIONS…
	file=$1 from=$2
	shift 2
	expect 0 "$file" generate -m "$from" -o "$file" -p 'a red fox' --steps 2 --disable-image-metadata "$@"
	is_png "$file" 64 64
}

family sd1 '"num_heads":4' "$clip" ''
family sd2 '"num_head_channels":16,"use_linear_in_transformer":true' "$open" '"prediction_type":"v_prediction",'
family inpainting '"num_heads":4,"in_channels":9' "$clip" ''
family lcm '"num_heads":4,"time_cond_proj_dim":64' "$clip" ''
family ldm '"num_heads":4' "$bert" ''
family pooled '"num_heads":4,"pooled_context":true,"use_scale_shift_norm":true,"norm_num_groups":8' "$bert" '"prediction_type":"flow",'
for name in sd1 sd2 inpainting lcm ldm pooled; do
	draw $name.png $name.safetensors
	draw words.png $name.safetensors -p 'a blue fox'
	differ $name.png words.png
	draw guided.png $name.safetensors --cfg-scale 2
	differ $name.png guided.png
	case $name in ldm | pooled) continue ;; esac
	expect 0 '' convert $name.safetensors $name/
	draw folder.png $name
	same $name.png folder.png
	expect 0 '' convert $name again.safetensors
	draw again.png again.safetensors
	same $name.png again.png
done
expect 2 "its text encoder is not CLIP's" convert ldm.safetensors ldm/

# Stable Diffusion 3's kind, and text encoders from other files.
encoder() { # encoder WIDTH REST
	printf '{"hidden_size":%d,"intermediate_size":64,"num_hidden_layers":2,"num_attention_heads":2,"vocab_size":49408,' "$1"
	printf '"pooled":true,"final_norm":false,"skip":1,"projection":%d,%s}' "$1" "$2"
}
printf '{"mmdit":{"depth":2,"hidden_size":32,"num_heads":2,"pos_embed_max_size":32,"context_dim":64,"adm_in_channels":48},
"dd":{"ch":32,"ch_mult":[1,1,1,1],"num_res_blocks":1,"z_channels":16,"quant":false},"text":%s,"text_2":%s,
"text_3":{"d_model":64,"num_layers":1,"d_ff":64,"num_heads":2,"d_kv":16},"text_prefix":"text_encoders.clip_l.transformer",
"conditioning":"stacked","prediction_type":"flow","shift":3,"size":64}' "$(encoder 16 '"hidden_act":"quick_gelu"')" \
	"$(encoder 32 '"hidden_act":"gelu","tokenizer":"openclip","pad_id":0')" >sd3.json
expect 0 sd3.safetensors init sd3.json --type f16
expect 0 sd3-other.safetensors init sd3.json --type f16 -s 7 -o sd3-other.safetensors
draw sd3.png sd3.safetensors
draw own.png sd3.safetensors --clip_l sd3.safetensors --clip_g sd3.safetensors --t5xxl sd3.safetensors
same sd3.png own.png
for option in clip_l clip_g t5xxl; do
	draw changed.png sd3.safetensors --$option sd3-other.safetensors
	differ sd3.png changed.png
done
expect 2 'no such text encoder' generate -m sd1.safetensors --t5xxl sd3.safetensors -p x
# What does not go together is said in one line.
expect 2 'width 40 is not a multiple of 16' generate -m sd3.safetensors -p x -W 40
long='a red fox on a hill, a red fox on a hill, a red fox on a hill, a red fox on a hill, a red fox on a hill, a red fox on a
hill, a red fox on a hill, a red fox on a hill, a red fox on a hill, a red fox on a hill, a red fox on a hill, a red fox'
expect 0 '' convert sd3.safetensors sd3/
draw folder.png sd3
same sd3.png folder.png
rm sd3/text_encoder_3/model.safetensors
draw without.png sd3
differ sd3.png without.png
grep -q 'no t5xxl text encoder' err || wrong 'T5 is missing, and nothing says so'
grep -q 'longer than the 75 tokens' err && wrong 'a short prompt needs no T5'
draw without.png sd3 -p "$long"
grep -q 'longer than the 75 tokens' err || wrong 'a long prompt needs T5, and nothing says so'
draw given.png sd3 --t5xxl sd3.safetensors
same sd3.png given.png
rm sd3/text_encoder/model.safetensors sd3/text_encoder_2/model.safetensors
expect 3 'without text encoders.*--clip_l FILE' generate -m sd3 -p x
expect 3 'latents with 4 channels' generate -m sd3.safetensors --vae sd1.safetensors -p x

# Velocity and noise are not the same.
sed 's/"prediction_type": "v_prediction"/"prediction_type": "epsilon"/' sd2/scheduler/scheduler_config.json >changed
cp changed sd2/scheduler/scheduler_config.json
draw noise.png sd2
differ noise.png sd2.png
sed 's/DDIMScheduler/ZigzagScheduler/' changed >sd2/scheduler/scheduler_config.json
expect 3 'ZigzagScheduler' generate -m sd2 -p x --steps 1 --sampling-method model -o x.png

# A distilled model reads the guidance scale as an input and takes no negative prompt.
draw a.png lcm.safetensors -n 'blurry'
same a.png lcm.png

# An inpainting model reads the masked picture and the mask with the latent, also if the latent is all noise.
draw around.png inpainting.safetensors -i sd1.png --mask words.png --strength 1
draw other.png inpainting.safetensors -i lcm.png --mask words.png --strength 1
differ around.png other.png
draw bare.png inpainting.safetensors -i sd1.png --strength 1
differ around.png bare.png
finish
