/* test_folder_configs.c - the configurations of a diffusers folder: what Sumi builds otherwise than one of their fields
 * asks is refused by the field's name, and what means nothing to a picture is no obstacle. */
#include "converting.h"
#include "scratch.h"
#include "base/file.h"
#include "checkpoint/model.h"

#define SD1                                                                                                         \
	"{\"unet\":{\"model_channels\":32,\"channel_mult\":[1,2],\"num_res_blocks\":1,\"attention_resolutions\":[1,2]," \
	"\"context_dim\":32,\"num_heads\":4},\"dd\":{\"ch\":32,\"ch_mult\":[1,2],\"num_res_blocks\":1},\"text\":{"      \
	"\"hidden_size\":32,\"intermediate_size\":64,\"num_hidden_layers\":2,\"num_attention_heads\":2,\"vocab_size\":" \
	"49408,\"hidden_act\":\"quick_gelu\"},\"size\":64}"

static char original[160], folder[160];

static void make_folder(void)
{
	error e = { 0 };
	strcpy(original, scratch_path("original.safetensors"));
	strcpy(folder, scratch_path("folder"));
	if (!file_init(scratch_write("x.json", SD1, strlen(SD1)), 7, "f16", false, original, NULL, &e) ||
	    !convert_with(original, folder, NULL, 0, NULL, "diffusers", false, &e))
		fail_saying("%s\n", e.text);
}

static model *opened(const char *vae, error *e)
{
	sumi_model_options o = sumi_model_defaults();
	o.vae = vae;
	return model_open(folder, &o, e);
}

/* The configuration with another value of a field is opened; then it is as it was. */
static model *with_field(const char *part, const char *key, const char *value, error *e)
{
	char name[80];
	snprintf(name, sizeof name, "folder/%s", part);
	const char *path = scratch_path(name);
	json_t *j = json_load_file(path, 0, NULL), *changed = json_deep_copy(j);
	assert_non_null(j);
	json_object_set_new(changed, key, json_loads(value, JSON_DECODE_ANY, NULL));
	assert_int_equal(json_dump_file(changed, path, 0), 0);
	model *m = opened(NULL, e);
	assert_int_equal(json_dump_file(j, path, 0), 0);
	json_decref(j);
	json_decref(changed);
	return m;
}

static void what_is_not_built_is_refused(void **state)
{
	(void)state;
	static const char unet[] = "unet/config.json", vae[] = "vae/config.json",
	                  scheduler[] = "scheduler/scheduler_config.json";
	static const struct {
		const char *part, *key, *value;
	} all[] = { { unet, "_class_name", "\"UNetMotionModel\"" }, { unet, "act_fn", "\"gelu\"" },
		{ unet, "attention_type", "\"gated\"" }, { unet, "center_input_sample", "true" },
		{ unet, "class_embed_type", "\"timestep\"" }, { unet, "conv_in_kernel", "5" },
		{ unet, "downsample_padding", "0" }, { unet, "dual_cross_attention", "true" },
		{ unet, "encoder_hid_dim", "64" }, { unet, "flip_sin_to_cos", "false" }, { unet, "freq_shift", "1" },
		{ unet, "mid_block_scale_factor", "1.414" }, { unet, "norm_eps", "1e-6" },
		{ unet, "only_cross_attention", "[false,true]" }, { unet, "resnet_skip_time_act", "true" },
		{ unet, "time_embedding_type", "\"fourier\"" }, { unet, "timestep_post_act", "\"silu\"" },
		{ vae, "_class_name", "\"AsymmetricAutoencoderKL\"" }, { vae, "latents_mean", "[-1.66,1.89,-1.38,2.5]" },
		{ vae, "latents_std", "[8.5,5.9,6.5,5.1]" }, { vae, "mid_block_add_attention", "false" },
		{ scheduler, "_class_name", "\"EDMEulerScheduler\"" } };
	make_folder();
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		error e = { 0 };
		if (with_field(all[i].part, all[i].key, all[i].value, &e)) fail_saying("%s was accepted\n", all[i].key);
		assert_int_equal(e.status, BAD_FILE);
		assert_says(e, all[i].key);
	}
}

/* Tokens are the tokenizer's: of a text encoder's configuration these numbers mean nothing, and old files hold 0 and 2.
 */
static void what_means_nothing_is_accepted(void **state)
{
	(void)state;
	static const struct {
		const char *part, *key, *value;
	} all[] = { { "text_encoder/config.json", "bos_token_id", "0" },
		{ "text_encoder/config.json", "eos_token_id", "2" }, { "unet/config.json", "sample_size", "[16,16]" },
		{ "unet/config.json", "only_cross_attention", "[false,false]" }, { "unet/config.json", "norm_eps", "0.00001" },
		{ "unet/config.json", "upcast_attention", "true" }, { "vae/config.json", "latents_mean", "null" } };
	make_folder();
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		error e = { 0 };
		model *m = with_field(all[i].part, all[i].key, all[i].value, &e);
		if (!m) fail_saying("%s: %s\n", all[i].key, e.text);
		assert_int_equal(m->family.text[0].begin, 49406);
		assert_int_equal(m->family.text[0].end, 49407);
		model_close(m);
	}
}

/* A text that some editors write before JSON. */
static void a_byte_order_mark_is_skipped(void **state)
{
	(void)state;
	error e = { 0 };
	make_folder();
	size_t size;
	char *text = whole_file(scratch_path("folder/unet/config.json"), 1 << 20, &size, &e);
	assert_non_null(text);
	FILE *f = fopen(scratch_path("folder/unet/config.json"), "wb");
	assert_true(f && fputs("\xef\xbb\xbf", f) >= 0 && fwrite(text, 1, size, f) == size && !fclose(f));
	free(text);
	model *m = opened(NULL, &e);
	if (!m) fail_saying("%s\n", e.text);
	model_close(m);
}

/* The folder lacks a part: an autoencoder may come from elsewhere, a text encoder is named. */
static void parts_that_are_missing(void **state)
{
	(void)state;
	error e = { 0 };
	make_folder();
	assert_int_equal(
	    rename(scratch_path("folder/vae/diffusion_pytorch_model.safetensors"), scratch_path("vae.safetensors")), 0);
	assert_null(opened(NULL, &e));
	assert_says(e, "--vae FILE gives one");
	e = (error){ 0 };
	model *m = opened(scratch_path("vae.safetensors"), &e);
	if (!m) fail_saying("%s\n", e.text);
	model_close(m);
	assert_int_equal(rename(scratch_path("folder/text_encoder"), scratch_path("text_encoder")), 0);
	assert_null(opened(scratch_path("vae.safetensors"), &e));
	assert_says(e, "no text_encoder/config.json");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(what_is_not_built_is_refused),
		IN_SCRATCH(what_means_nothing_is_accepted),
		IN_SCRATCH(a_byte_order_mark_is_skipped),
		IN_SCRATCH(parts_that_are_missing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
