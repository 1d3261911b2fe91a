/* tiny_families.h - models of all that is trained, tiny: Stable Diffusion 1, SDXL and 3, as JSON that describes them.
 */
#ifndef SUMI_TESTS_TINY_FAMILIES_H
#define SUMI_TESTS_TINY_FAMILIES_H
#include "scratch.h"
#include "checkpoint/files.h"

/* A denoiser of one level on latents of 8×8. */
__attribute__((unused)) static const char sd1[] =
    "{\"name\":\"tiny\",\"unet\":{\"in_channels\":4,\"out_channels\":4,\"model_channels\":32,"
    "\"attention_resolutions\":[1],\"num_res_blocks\":1,\"channel_mult\":[1],\"num_heads\":2,"
    "\"use_spatial_transformer\":true,\"transformer_depth\":1,\"context_dim\":16,\"legacy\":false},"
    "\"dd\":{\"double_z\":true,\"z_channels\":4,\"resolution\":16,\"in_channels\":3,\"out_ch\":3,\"ch\":32,"
    "\"ch_mult\":[1,1],\"num_res_blocks\":1,\"attn_resolutions\":[]},"
    "\"clip\":{\"vocab_size\":49408,\"hidden_size\":16,\"intermediate_size\":32,\"num_hidden_layers\":1,"
    "\"num_attention_heads\":2,\"max_position_embeddings\":77,\"hidden_act\":\"quick_gelu\"},\"size\":16}";

#define AUTOENCODER_OF_ALL                                                                         \
	"\"dd\":{\"z_channels\":4,\"resolution\":16,\"ch\":32,\"ch_mult\":[1,1],\"num_res_blocks\":1," \
	"\"attn_resolutions\":[],\"quant\":false},\"prediction_type\":\"flow\",\"scale_factor\":0.4,\"size\":16"
#define CLIP_OF_ALL                                                                                      \
	"\"vocab_size\":49408,\"hidden_size\":16,\"intermediate_size\":32,\"num_hidden_layers\":2,"          \
	"\"num_attention_heads\":2,\"max_position_embeddings\":16,\"hidden_act\":\"quick_gelu\",\"skip\":1," \
	"\"final_norm\":false"

__attribute__((unused)) static const char xl[] =
    "{\"name\":\"tiny-xl\",\"unet\":{\"in_channels\":4,\"out_channels\":4,\"model_channels\":32,"
    "\"attention_resolutions\":[1],\"num_res_blocks\":1,\"channel_mult\":[1],\"num_head_channels\":16,"
    "\"use_spatial_transformer\":true,\"use_linear_in_transformer\":true,\"transformer_depth\":1,"
    "\"context_dim\":48,\"num_classes\":\"sequential\",\"adm_in_channels\":1568},\"text\":{" CLIP_OF_ALL "},"
    "\"text_2\":{\"vocab_size\":49408,\"width\":32,\"heads\":2,\"layers\":2,\"embed_dim\":32,"
    "\"context_length\":16,\"skip\":1,\"final_norm\":false,\"pooled\":true},\"conditioning\":\"side_by_side\","
    "\"text_prefix\":\"conditioner.embedders.0.transformer\",\"text_2_prefix\":\"conditioner.embedders.1.model\"," //
    AUTOENCODER_OF_ALL "}";

/* Of two levels, which a diffusers folder can say. */
__attribute__((unused)) static const char xl_2[] =
    "{\"name\":\"tiny-xl-2\",\"unet\":{\"in_channels\":4,\"out_channels\":4,\"model_channels\":32,"
    "\"attention_resolutions\":[2],\"num_res_blocks\":1,\"channel_mult\":[1,2],\"num_head_channels\":16,"
    "\"use_spatial_transformer\":true,\"use_linear_in_transformer\":true,\"transformer_depth\":[0,1],"
    "\"context_dim\":48,\"num_classes\":\"sequential\",\"adm_in_channels\":1568},\"text\":{" CLIP_OF_ALL "},"
    "\"text_2\":{\"vocab_size\":49408,\"width\":32,\"heads\":2,\"layers\":2,\"embed_dim\":32,"
    "\"context_length\":16,\"skip\":1,\"final_norm\":false,\"pooled\":true},\"conditioning\":\"side_by_side\","
    "\"text_prefix\":\"conditioner.embedders.0.transformer\",\"text_2_prefix\":\"conditioner.embedders.1.model\"," //
    AUTOENCODER_OF_ALL "}";

__attribute__((unused)) static const char sd3[] =
    "{\"name\":\"tiny-3\",\"mmdit\":{\"in_channels\":4,\"patch_size\":2,\"depth\":2,\"hidden_size\":64,"
    "\"num_heads\":4,\"pos_embed_max_size\":8,\"context_dim\":64,\"adm_in_channels\":48,\"qk_norm\":\"rms\","
    "\"x_block_self_attn_layers\":[0]},\"text\":{" CLIP_OF_ALL ",\"projection\":16,\"pooled\":true},"
    "\"text_2\":{\"vocab_size\":49408,\"hidden_size\":32,\"intermediate_size\":64,\"num_hidden_layers\":2,"
    "\"num_attention_heads\":2,\"max_position_embeddings\":16,\"hidden_act\":\"gelu\",\"projection\":32,"
    "\"tokenizer\":\"openclip\",\"skip\":1,\"final_norm\":false,\"pooled\":true},"
    "\"text_3\":{\"d_model\":64,\"num_layers\":1,\"d_ff\":64,\"num_heads\":2,\"d_kv\":16,\"vocab_size\":32128,"
    "\"length\":16},"
    "\"conditioning\":\"stacked\",\"shift\":3,\"text_prefix\":\"text_encoders.clip_l.transformer\","
    "\"text_2_prefix\":\"text_encoders.clip_g.transformer\",\"text_3_prefix\":\"text_encoders.t5xxl.transformer\"," //
    AUTOENCODER_OF_ALL "}";

/* NAME.json, and NAME-new.safetensors with random weights; zeros: as training begins. */
__attribute__((unused)) static void init_model(const char *name, const char *json, bool zeros)
{
	error e = { 0 };
	char config[40], file[40];
	snprintf(config, sizeof config, "%s.json", name);
	snprintf(file, sizeof file, "%s-new.safetensors", name);
	if (!file_init(scratch_write(config, json, strlen(json)), 1, NULL, zeros, scratch_path(file), NULL, &e))
		fail_saying("%s\n", e.text);
}

#endif
