/* test_dialects.c - one model under every published way to name its tensors: each opens, complete and with nothing
 * unknown, holds the same values, and converts to the same single file. */
#include "scratch.h"
#include "converting.h"
#include "checkpoint/model.h"
#include "tiny_families.h"

#define TINY(unet, text, rest)                                                                                      \
	"{\"unet\":{\"model_channels\":32,\"channel_mult\":[1,2],\"num_res_blocks\":1,\"attention_resolutions\":[1,2]," \
	"\"context_dim\":32," unet "},\"dd\":{\"ch\":32,\"ch_mult\":[1,2,2],\"num_res_blocks\":1},\"text\":{" text      \
	"}," rest "\"size\":64}"
#define OPEN "\"width\":32,\"heads\":2,\"layers\":3,\"embed_dim\":32,\"vocab_size\":49408"
#define HUGGING                                                                                                     \
	"\"hidden_size\":32,\"intermediate_size\":64,\"num_hidden_layers\":2,\"num_attention_heads\":2,\"vocab_size\":" \
	"49408,\"hidden_act\":\"quick_gelu\""
#define FIRST TINY("\"num_heads\":4", HUGGING, "")
#define SECOND TINY("\"num_head_channels\":16,\"use_linear_in_transformer\":true", OPEN, "")

typedef struct rewriting { /* of one part of a name; to NULL: the tensor is left out */
	const char *from, *to;
} rewriting;
enum { MOST_REWRITINGS = 20 };

static const char *new_model(const char *json, const char *name)
{
	error e = { 0 };
	char config[160];
	strcpy(config, scratch_write("x.json", json, strlen(json)));
	if (!file_init(config, 7, "f16", false, scratch_path(name), NULL, &e)) fail_saying("%s\n", e.text);
	return scratch_path(name);
}

/* False: it is left out. */
static bool rewritten(const char *name, const rewriting *rules, char *out, size_t size)
{
	snprintf(out, size, "%s", name);
	for (; rules->from; rules++) {
		char before[256], *at = strstr(out, rules->from);
		if (!at) continue;
		if (!rules->to) return false;
		strcpy(before, out);
		snprintf(out, size, "%.*s%s%s", (int)(at - out), before, rules->to, before + (at - out) + strlen(rules->from));
	}
	return true;
}

/* The files' tensors under other names, in one file. */
static void rewrite(const char *const *from, int files, const rewriting rules[][MOST_REWRITINGS], const char *to)
{
	error e = { 0 };
	weights *in[3];
	char name[512];
	weights_writer *out = weights_writer_new(to, &e);
	assert_non_null(out);
	for (int k = 0; k < files; k++) {
		if (!(in[k] = weights_open(from[k], &e))) fail_saying("%s\n", e.text);
		const char *config = weights_metadata(in[k], "sumi.config");
		if (config) assert_true(weights_writer_metadata(out, "sumi.config", config, &e));
	}
	for (int write = 0; write < 2; write++)
		for (int k = 0; k < files; k++)
			for (size_t i = 0; i < weights_count(in[k]); i++) {
				const weight *w = weights_at(in[k], i);
				if (!rewritten(w->name, rules[k], name, sizeof name)) continue;
				assert_true(write ? weights_writer_append(out, w->data, w->bytes, &e)
				                  : weights_writer_declare(out, name, w->dtype, w->ndims, w->shape, &e));
			}
	assert_true(weights_writer_finish(out, &e));
	for (int k = 0; k < files; k++) weights_close(in[k]);
}

static void no_flaw(void *context, flaw f, const char *text)
{
	(void)context, (void)f;
	fail_saying("%s\n", text);
}

/* Whatever `path` has of the original has the same values; returns how many tensors it lacks. */
static int compare(const char *original, const char *path)
{
	error e = { 0 };
	int lacking = 0;
	uint64_t parameters;
	checkpoint *a = checkpoint_open(original, &e), *b = checkpoint_open(path, &e);
	if (!a || !b) fail_saying("%s\n", e.text);
	assert_true(checkpoint_check(b, no_flaw, NULL, &parameters, &e));
	for (size_t i = 0; i < checkpoint_count(a); i++) {
		const char *key;
		const weight *x = checkpoint_at(a, i, &key), *y = checkpoint_find(b, key);
		lacking += !y;
		if (!y) continue;
		assert_int_equal(x->bytes, y->bytes);
		assert_memory_equal(x->data, y->data, x->bytes);
	}
	checkpoint_close(a);
	checkpoint_close(b);
	return lacking;
}

/* What the file has not is named in `but`, parts of names. */
static void same_single_file(const char *original, const char *path, const char *const *but)
{
	error e = { 0 };
	char again[160];
	strcpy(again, scratch_path("again.safetensors"));
	if (!convert_with(path, again, NULL, 0, NULL, "single", false, &e)) fail_saying("%s\n", e.text);
	weights *a = weights_open(original, &e), *b = weights_open(again, &e);
	assert_true(a && b);
	for (size_t i = 0; i < weights_count(a); i++) {
		const weight *x = weights_at(a, i), *y = weights_find(b, x->name);
		bool lacks = false;
		for (int k = 0; but && but[k]; k++) lacks |= strstr(x->name, but[k]) != NULL;
		if (!y && lacks) continue;
		if (!y) fail_saying("no %s\n", x->name);
		assert_int_equal(x->ndims, y->ndims);
		assert_memory_equal(x->shape, y->shape, sizeof *x->shape * (size_t)x->ndims);
		assert_memory_equal(x->data, y->data, x->bytes);
	}
	weights_close(a);
	weights_close(b);
}

static void spelled(const char *json, const rewriting *rules)
{
	char original[160], other[160];
	const char *from[] = { original };
	rewriting all[1][MOST_REWRITINGS] = { { { NULL, NULL } } };
	for (int i = 0; rules[i].from; i++) all[0][i] = rules[i];
	strcpy(original, new_model(json, "original.safetensors"));
	strcpy(other, scratch_path("other.safetensors"));
	rewrite(from, 1, (const rewriting(*)[MOST_REWRITINGS])all, other);
	assert_int_equal(compare(original, other), 0);
	same_single_file(original, other, NULL);
}

static void single_files(void **unused)
{
	(void)unused;
	static const struct {
		const char *json;
		rewriting rules[MOST_REWRITINGS];
	} all[] = {
		{ FIRST, { { "cond_stage_model.", "conditioner.embedders.0." } } },
		{ SECOND, { { "cond_stage_model.", "conditioner.embedders.0." } } },
		{ FIRST, { { "transformer.text_model.", "transformer." } } },
		{ FIRST, { { "cond_stage_model.transformer.text_model.", "" } } },
		{ SECOND, { { "cond_stage_model.model.", "text_encoder." } } },
		{ FIRST, { { "cond_stage_model.transformer.", "text_encoders.clip_l.transformer." } } },
		{ FIRST, { { "model.diffusion_model.", "diffusion_model." } } },
		{ FIRST, { { "model.diffusion_model.", "" }, { "first_stage_model.", "vae." },
		             { "cond_stage_model.transformer.", "te." } } },
		{ SECOND, { { "model.diffusion_model.", "unet." }, { "first_stage_model.", "" } } },
		{ FIRST, { { ".q.", ".to_q." }, { ".k.", ".to_k." }, { ".v.", ".to_v." },
		             { "attn_1.proj_out.", "attn_1.to_out.0." } } },
		{ FIRST, { { ".q.", ".query." }, { ".k.", ".key." }, { ".v.", ".value." },
		             { "attn_1.proj_out.", "attn_1.proj_attn." }, { "attn_1.norm.", "attn_1.group_norm." } } },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) spelled(all[i].json, all[i].rules);
}

/* A folder's files in one, each behind its folder's name; a JSON file of the same name gives the family. */
static void folder_names_in_one_file(void **unused)
{
	(void)unused;
	static const char *const models[] = { FIRST, SECOND };
	static const char *const folders_lack[] = { "logit_scale", "text_projection", "resblocks.2.", NULL };
	static const rewriting rules[3][MOST_REWRITINGS] = {
		{ { "down_blocks", "unet.down_blocks" }, { "up_blocks", "unet.up_blocks" }, { "mid_block", "unet.mid_block" },
		    { "time_embedding", "unet.time_embedding" }, { "conv_in.", "unet.conv_in." },
		    { "conv_norm_out", "unet.conv_norm_out" }, { "conv_out.", "unet.conv_out." } },
		{ { "encoder.", "vae.encoder." }, { "decoder.", "vae.decoder." }, { "quant_conv", "vae.quant_conv" },
		    { "post_vae.", "vae.post_" } },
		{ { "text_model.", "text_encoder.text_model." } },
	};
	for (int i = 0; i < 2; i++) {
		error e = { 0 };
		char original[160], folder[160], other[160], paths[3][240];
		strcpy(original, new_model(models[i], "original.safetensors"));
		strcpy(folder, scratch_path("folder"));
		if (!convert_with(original, folder, NULL, 0, NULL, "diffusers", false, &e)) fail_saying("%s\n", e.text);
		snprintf(paths[0], sizeof paths[0], "%s/unet/diffusion_pytorch_model.safetensors", folder);
		snprintf(paths[1], sizeof paths[1], "%s/vae/diffusion_pytorch_model.safetensors", folder);
		snprintf(paths[2], sizeof paths[2], "%s/text_encoder/model.safetensors", folder);
		const char *from[] = { paths[0], paths[1], paths[2] };
		strcpy(other, scratch_path("other.safetensors"));
		rewrite(from, 3, rules, other);
		scratch_write("other.json", models[i], strlen(models[i]));
		compare(original, other);
		same_single_file(original, other, folders_lack);
	}
}

static model *opened(const char *path, const char *vae, error *e)
{
	sumi_model_options o = sumi_model_defaults();
	o.vae = vae;
	return model_open(path, &o, e);
}

/* What no picture depends on may be missing; what one does, not. */
static void without_what_is_not_needed(void **unused)
{
	(void)unused;
	static const struct {
		const char *json, *without;
		bool needed;
	} all[] = {
		{ FIRST, "position_ids", false },
		{ SECOND, "logit_scale", false },
		{ SECOND, "text_projection", false },
		{ SECOND, "resblocks.2.", false },
		{ SECOND, "resblocks.1.ln_1.bias", true },
		{ SECOND, "ln_final.weight", true },
		{ FIRST, "out.2.bias", true },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		error e = { 0 };
		char original[160], other[160];
		const char *from[] = { original };
		const rewriting rules[1][MOST_REWRITINGS] = { { { all[i].without, NULL } } };
		strcpy(original, new_model(all[i].json, "original.safetensors"));
		strcpy(other, scratch_path("other.safetensors"));
		rewrite(from, 1, rules, other);
		model *m = opened(other, NULL, &e);
		if (!m != all[i].needed) fail_saying("%s: %s\n", all[i].without, e.text);
		if (!m) assert_says(e, all[i].without);
		model_close(m);
	}
}

static void without_an_autoencoder(void **unused)
{
	(void)unused;
	char original[160], other[160], vae[160];
	const char *from[] = { original };
	static const rewriting left_out[1][MOST_REWRITINGS] = { { { "first_stage_model.", NULL } } };
	static const rewriting alone[1][MOST_REWRITINGS] = { { { "model.diffusion_model.", NULL },
		{ "cond_stage_model.", NULL }, { "first_stage_model.", "" }, { ".q.", ".query." } } };
	strcpy(original, new_model(FIRST, "original.safetensors"));
	strcpy(other, scratch_path("other.safetensors"));
	strcpy(vae, scratch_path("vae.safetensors"));
	rewrite(from, 1, left_out, other);
	rewrite(from, 1, alone, vae);
	error e = { 0 }, wrong = { 0 };
	assert_null(opened(other, NULL, &wrong));
	assert_says(wrong, "--vae");
	model *m = opened(other, vae, &e);
	if (!m) fail_saying("%s\n", e.text);
	model_close(m);
	wrong = (error){ 0 };
	assert_null(opened(other, other, &wrong));
	assert_says(wrong, "not an autoencoder");
}

/* ── stable-diffusion.cpp's GGUF of SDXL ── */

static const rewriting ggml_clip[] = { { "logit_scale", NULL },
	{ "conditioner.embedders.1.model.", "cond_stage_model.1.transformer.text_model." },
	{ "conditioner.embedders.0.", "cond_stage_model." },
	{ "text_model.token_embedding.", "text_model.embeddings.token_embedding." },
	{ "text_model.positional_embedding", "text_model.embeddings.position_embedding.weight" },
	{ "ln_final.", "final_layer_norm." }, { "transformer.resblocks.", "encoder.layers." },
	{ ".attn.out_proj.", ".self_attn.out_proj." }, { "ln_1.", "layer_norm1." }, { "ln_2.", "layer_norm2." },
	{ "mlp.c_fc.", "mlp.fc1." }, { "mlp.c_proj.", "mlp.fc2." }, { NULL, NULL } };

/* Rows of a weight, under the name that the rules make of it; ggml drops axes of length 1 at the front. */
static void put_rows(weights_writer *out, const char *name, const weight *w, int part, int parts, bool write)
{
	error e = { 0 };
	char renamed[512];
	int64_t axes[WEIGHT_DIMS];
	int first = 0, n = 0;
	while (first + 1 < w->ndims && w->shape[first] == 1) first++;
	for (int i = first; i < w->ndims; i++) axes[n++] = w->shape[i];
	axes[0] /= parts;
	size_t bytes = w->bytes / (size_t)parts;
	if (!rewritten(name, ggml_clip, renamed, sizeof renamed)) return;
	bool fine = write ? weights_writer_append(out, (const char *)w->data + (size_t)part * bytes, bytes, &e)
	                  : weights_writer_declare(out, renamed, w->dtype, n, axes, &e);
	if (!fine) fail_saying("%s\n", e.text);
}

static void put_weight(weights_writer *out, const weight *w, bool write)
{
	const char *fused = strstr(w->name, "attn.in_proj_");
	char name[512];
	if (!fused) put_rows(out, w->name, w, 0, 1, write);
	for (int i = 0; fused && i < 3; i++) {
		snprintf(name, sizeof name, "%.*sself_attn.%c_proj.%s", (int)(fused - w->name), w->name, "qkv"[i], fused + 13);
		put_rows(out, name, w, i, 3, write);
	}
}

static void names_of_stable_diffusion_cpp(void **unused)
{
	(void)unused;
	static const char *const left_out[] = { "logit_scale", NULL };
	error e = { 0 };
	char original[160], other[160];
	strcpy(original, new_model(xl, "original.safetensors"));
	strcpy(other, scratch_path("other.gguf"));
	weights *in = weights_open(original, &e);
	weights_writer *out = weights_writer_new(other, &e);
	assert_true(in && out && weights_writer_metadata(out, "sumi.config", weights_metadata(in, "sumi.config"), &e));
	for (int write = 0; write < 2; write++)
		for (size_t i = 0; i < weights_count(in); i++) put_weight(out, weights_at(in, i), write);
	if (!weights_writer_finish(out, &e)) fail_saying("%s\n", e.text);
	weights_close(in);
	same_single_file(original, other, left_out);
	model *m = opened(other, NULL, &e);
	if (!m) fail_saying("%s\n", e.text);
	assert_true(m->family.text[1].clip.fused && m->family.text[1].clip.projection == 32);
	assert_int_equal(m->components[TEXT_ENCODER + 1].dialect.names, GGML_CLIP_NAMES);
	model_close(m);
}

/* ── text encoders in files of their own ── */

#define TINY_CLIP(width, more)                                                                               \
	"{\"hidden_size\":" width ",\"intermediate_size\":64,\"num_hidden_layers\":2,\"num_attention_heads\":2," \
	"\"vocab_size\":49408,\"pooled\":true,\"final_norm\":false,\"skip\":1,\"projection\":" width "," more "}"
/* Its encoders are of widths 16, 32 and 64. */
#define THIRD                                                                                                      \
	"{\"mmdit\":{\"depth\":2,\"hidden_size\":32,\"num_heads\":2,\"pos_embed_max_size\":8,\"context_dim\":64,"      \
	"\"adm_in_channels\":48},\"dd\":{\"ch\":32,\"ch_mult\":[1,2],\"num_res_blocks\":1,\"z_channels\":16,"          \
	"\"quant\":false},\"text\":" TINY_CLIP("16", "\"hidden_act\":\"quick_gelu\"") ",\"text_2\":" TINY_CLIP("32",   \
	    "\"hidden_act\":\"gelu\",\"tokenizer\":\"openclip\",\"pad_id\":0") ",\"text_3\":"                          \
	                                                                       "{\"d_model\":64,\"num_layers\":1,\"d_" \
	                                                                       "ff\":64,\"num_heads\":2,\"d_kv\":16}," \
	                                                                       "\"text_prefix\":"                      \
	                                                                       "\"text_encoders.clip_l.transformer\"," \
	                                                                       "\"conditioning\":\"stacked\","         \
	                                                                       "\"prediction_type\":\"flow\",\"size\":16}"

typedef struct texts { /* paths; NULL: not given */
	const char *clip_l, *clip_g, *t5xxl;
} texts;

static model *opened_with(const char *path, texts t, sumi_listener *l, error *e)
{
	sumi_model_options o = sumi_model_defaults();
	o.clip_l = t.clip_l;
	o.clip_g = t.clip_g;
	o.t5xxl = t.t5xxl;
	o.listener = l;
	return model_open(path, &o, e);
}

static bool same_weight(model *a, model *b, const char *name, shape s)
{
	error e = { 0 };
	dtype d;
	const void *x, *y;
	if (!model_bind(a, name, s, &d, &x, &e) || !model_bind(b, name, s, &d, &y, &e)) fail_saying("%s\n", e.text);
	return !memcmp(x, y, shape_count(s) * dtype_size(d));
}

static void count_warnings(void *context, sumi_level level, const char *text)
{
	char *all = context;
	if (level == SUMI_WARNING) snprintf(all + strlen(all), 1000 - strlen(all), "%s\n", text);
}

/* A model without text encoders, and its encoders in the namings that are published. */
static void separate_text_encoders(void **unused)
{
	(void)unused;
	static const struct {
		int encoder;
		rewriting rules[MOST_REWRITINGS];
	} all[] = {
		{ 0, { { "text_encoders.clip_l.transformer.", "" } } },
		{ 0, { { "text_encoders.clip_l.transformer.text_model.", "" } } },
		{ 0, { { "text_encoders.clip_l.", "text_encoders.clip_l." } } },
		{ 0, { { "text_encoders.clip_l.transformer.", "clip_l." } } },
		{ 1, { { "text_encoders.clip_g.transformer.", "" } } },
		{ 1, { { "text_encoders.clip_g.transformer.", "text_encoder_2." } } },
		{ 2, { { "text_encoders.t5xxl.transformer.", "" } } },
		{ 2, { { "text_encoders.t5xxl.transformer.shared", NULL }, { "text_encoders.t5xxl.transformer.", "" } } },
		{ 2, { { "encoder.embed_tokens", NULL }, { "text_encoders.t5xxl.transformer.", "text_encoder_3." } } },
		/* llama.cpp's */
		{ 2, { { "encoder.embed_tokens", NULL }, { "text_encoders.t5xxl.transformer.shared.", "token_embd." },
		         { "text_encoders.t5xxl.transformer.encoder.final_layer_norm.", "enc.output_norm." },
		         { "text_encoders.t5xxl.transformer.encoder.block.", "enc.blk." },
		         { "layer.0.SelfAttention.q.", "attn_q." }, { "layer.0.SelfAttention.k.", "attn_k." },
		         { "layer.0.SelfAttention.v.", "attn_v." }, { "layer.0.SelfAttention.o.", "attn_o." },
		         { "layer.0.SelfAttention.relative_attention_bias.", "attn_rel_b." },
		         { "layer.0.layer_norm.", "attn_norm." }, { "layer.1.layer_norm.", "ffn_norm." },
		         { "layer.1.DenseReluDense.wi_0.", "ffn_gate." }, { "layer.1.DenseReluDense.wi_1.", "ffn_up." },
		         { "layer.1.DenseReluDense.wo.", "ffn_down." } } },
	};
	static const char *const read[] = { "text_encoders.clip_l.transformer.text_model.final_layer_norm.bias",
		"text_encoders.clip_g.transformer.text_projection.weight",
		"text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q.weight" };
	const shape shapes[] = { shape1(16), shape2(32, 32), shape2(32, 64) };
	static const rewriting bare[1][MOST_REWRITINGS] = { { { "text_encoders.", NULL } } };
	char original[160], without[160], other[160];
	const char *from[] = { original };
	error e = { 0 }, wrong = { 0 };
	strcpy(original, new_model(THIRD, "original.safetensors"));
	strcpy(without, scratch_path("without.safetensors"));
	strcpy(other, scratch_path("other.safetensors"));
	rewrite(from, 1, bare, without);
	model *whole = opened_with(original, (texts){ 0 }, NULL, &e);
	if (!whole) fail_saying("%s\n", e.text);
	assert_null(opened_with(without, (texts){ 0 }, NULL, &wrong));
	assert_says(wrong, "--clip_l FILE, --clip_g FILE, --t5xxl FILE");
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		static const char *const options[] = { "--clip_l", "--clip_g", "--t5xxl" };
		int k = all[i].encoder;
		char warnings[1000] = "";
		sumi_listener l = sumi_listener_defaults();
		l.note = count_warnings;
		l.context = warnings;
		rewriting rules[1][MOST_REWRITINGS];
		memcpy(rules[0], all[i].rules, sizeof rules[0]);
		for (int n = 0, left = 0; n < MOST_REWRITINGS && left < 1; n++)
			if (!rules[0][n].from) { /* of the other networks nothing */
				rules[0][n] = (rewriting){ "model.diffusion_model.", NULL };
				rules[0][n + 1] = (rewriting){ "first_stage_model.", NULL };
				rules[0][n + 2] = (rewriting){ k == 0 ? "clip_g" : "clip_l", NULL };
				rules[0][n + 3] = (rewriting){ k == 2 ? "clip_g" : "t5xxl", NULL };
				left = 1;
			}
		rewrite(from, 1, (const rewriting(*)[MOST_REWRITINGS])rules, other);
		texts t = { k == 0 ? other : NULL, k == 1 ? other : NULL, k == 2 ? other : NULL };
		model *m = opened_with(without, t, &l, &e);
		if (!m) fail_saying("%zu: %s\n", i, e.text);
		assert_true(same_weight(whole, m, read[k], shapes[k]));
		for (int n = 0; n < 3; n++) assert_int_equal(strstr(warnings, options[n]) != NULL, n != k);
		model_close(m);
	}
	model_close(whole);
}

/* OpenCLIP's layout of an encoder that a family has in Hugging Face's names; a projection that is left out. */
static void other_layouts_of_encoders(void **unused)
{
	(void)unused;
	error e = { 0 };
	char original[160], clip[160];
	const char *from[] = { original };
	static const rewriting squared[1][MOST_REWRITINGS] = { { { "text_projection", NULL } } };
	strcpy(original, new_model(THIRD, "original.safetensors"));
	strcpy(clip,
	    new_model("{\"unet\":{\"model_channels\":32,\"channel_mult\":[1],\"num_heads\":4},\"dd\":{\"ch\":32,"
	              "\"ch_mult\":[1]},\"text\":{\"width\":32,\"heads\":2,\"layers\":2,\"inner\":64,\"embed_dim\":32,"
	              "\"vocab_size\":49408}}",
	        "open.safetensors"));
	model *m = opened_with(original, (texts){ .clip_g = clip }, NULL, &e);
	if (!m) fail_saying("%s\n", e.text);
	assert_true(m->family.text[1].clip.fused);
	model_close(m);
	rewrite(from, 1, squared, clip);
	m = opened_with(original, (texts){ .clip_g = clip }, NULL, &e);
	if (!m) fail_saying("%s\n", e.text);
	assert_int_equal(m->family.text[1].clip.projection, 0);
	assert_int_equal(m->family.text[0].clip.projection, 16);
	assert_int_equal(family_vector_width(&m->family), 48);
	model_close(m);
}

static void refused_encoders(void **unused)
{
	(void)unused;
	char original[160], first[160];
	error e = { 0 };
	strcpy(original, new_model(THIRD, "original.safetensors"));
	strcpy(first, new_model(FIRST, "first.safetensors"));
	assert_null(opened_with(original, (texts){ .clip_l = first }, NULL, &e)); /* of another width */
	assert_says(e, "not a text encoder");
	e = (error){ 0 };
	assert_null(opened_with(first, (texts){ .t5xxl = original }, NULL, &e));
	assert_int_equal(e.status, BAD_USAGE);
	assert_says(e, "no such text encoder");
	e = (error){ 0 };
	assert_null(opened(original, first, &e));
	assert_says(e, "4 channels");
}

/* Weights of a type that is not computed with are refused by its name. */
static void types_that_are_not_computed_with(void **unused)
{
	(void)unused;
	char original[160], t5[160];
	error e = { 0 };
	strcpy(original, new_model(THIRD, "original.safetensors"));
	static const char header[] = "{\"shared.weight\":{\"dtype\":\"F8_E8M0\",\"shape\":[32128,64],\"data_offsets\":[0,"
	                             "2056192]}}";
	const uint64_t length = sizeof header - 1;
	char *bytes = calloc(1, 8 + sizeof header - 1 + 2056192);
	assert_non_null(bytes);
	memcpy(bytes, &length, 8);
	memcpy(bytes + 8, header, sizeof header - 1);
	strcpy(t5, scratch_write("t5.safetensors", bytes, 8 + sizeof header - 1 + 2056192));
	free(bytes);
	assert_null(opened_with(original, (texts){ .t5xxl = t5 }, NULL, &e));
	assert_says(e, "F8_E8M0");
}

/* A tensor that a file holds under two names: the original one is read, and the other said not to be used. */
static void under_two_names(void **unused)
{
	(void)unused;
	error e = { 0 };
	char original[160], twice[160], notes[1000] = "";
	strcpy(original, new_model(FIRST, "original.safetensors"));
	strcpy(twice, scratch_path("twice.safetensors"));
	weights *in = weights_open(original, &e);
	weights_writer *out = weights_writer_new(twice, &e);
	assert_true(in && out && weights_writer_metadata(out, "sumi.config", weights_metadata(in, "sumi.config"), &e));
	const char *key = "model.diffusion_model.out.2.bias", *other = "unet.conv_out.bias";
	const weight *w = weights_find(in, key);
	char *zeros = calloc(1, w->bytes);
	assert_true(weights_writer_declare(out, other, w->dtype, w->ndims, w->shape, &e));
	for (size_t i = 0; i < weights_count(in); i++) {
		const weight *x = weights_at(in, i);
		assert_true(weights_writer_declare(out, x->name, x->dtype, x->ndims, x->shape, &e));
	}
	assert_true(weights_writer_append(out, zeros, w->bytes, &e));
	for (size_t i = 0; i < weights_count(in); i++)
		assert_true(weights_writer_append(out, weights_at(in, i)->data, weights_at(in, i)->bytes, &e));
	assert_true(weights_writer_finish(out, &e));
	free(zeros);
	checkpoint *c = checkpoint_open(twice, &e);
	if (!c) fail_saying("%s\n", e.text);
	assert_string_equal(checkpoint_find(c, key)->name, key);
	checkpoint_close(c);
	sumi_listener l = sumi_listener_defaults();
	l.note = count_warnings;
	l.context = notes;
	model *m = opened_with(twice, (texts){ 0 }, &l, &e);
	assert_non_null(m);
	assert_non_null(strstr(notes, other));
	model_close(m);
	weights_close(in);
}

/* Empty tensors by which tools mark what shapes cannot show. */
static void markers(void **unused)
{
	(void)unused;
	error e = { 0 };
	char original[160], marked[160];
	strcpy(original, new_model(FIRST, "original.safetensors"));
	strcpy(marked, scratch_path("marked.safetensors"));
	weights *in = weights_open(original, &e);
	weights_writer *out = weights_writer_new(marked, &e);
	assert_true(in && out && weights_writer_metadata(out, "sumi.config", weights_metadata(in, "sumi.config"), &e));
	const int64_t none = 0;
	for (size_t i = 0; i < weights_count(in); i++) {
		const weight *w = weights_at(in, i);
		assert_true(weights_writer_declare(out, w->name, w->dtype, w->ndims, w->shape, &e));
	}
	assert_true(weights_writer_declare(out, "v_pred", F32, 1, &none, &e));
	assert_true(weights_writer_declare(out, "ztsnr", F32, 1, &none, &e));
	for (size_t i = 0; i < weights_count(in); i++)
		assert_true(weights_writer_append(out, weights_at(in, i)->data, weights_at(in, i)->bytes, &e));
	assert_true(weights_writer_finish(out, &e));
	assert_int_equal(compare(original, marked), 0);
	checkpoint *a = checkpoint_open(original, &e), *b = checkpoint_open(marked, &e);
	assert_int_equal(checkpoint_family(a)->prediction, PREDICT_NOISE);
	assert_false(checkpoint_family(a)->betas.zero_terminal_snr);
	assert_int_equal(checkpoint_family(b)->prediction, PREDICT_VELOCITY);
	assert_true(checkpoint_family(b)->betas.zero_terminal_snr);
	checkpoint_close(a);
	checkpoint_close(b);
	weights_close(in);
}

static void prediction_by_hand(void **unused)
{
	(void)unused;
	error e = { 0 }, wrong = { 0 };
	char original[160];
	strcpy(original, new_model(FIRST, "original.safetensors"));
	sumi_model_options o = sumi_model_defaults();
	o.prediction = "v";
	model *m = model_open(original, &o, &e);
	assert_non_null(m);
	assert_int_equal(m->family.prediction, PREDICT_VELOCITY);
	model_close(m);
	o.prediction = "guess";
	assert_null(model_open(original, &o, &wrong));
	assert_int_equal(wrong.status, BAD_USAGE);
	assert_says(wrong, "guess");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(single_files),
		IN_SCRATCH(folder_names_in_one_file),
		IN_SCRATCH(without_what_is_not_needed),
		IN_SCRATCH(without_an_autoencoder),
		IN_SCRATCH(names_of_stable_diffusion_cpp),
		IN_SCRATCH(separate_text_encoders),
		IN_SCRATCH(other_layouts_of_encoders),
		IN_SCRATCH(refused_encoders),
		IN_SCRATCH(types_that_are_not_computed_with),
		IN_SCRATCH(under_two_names),
		IN_SCRATCH(markers),
		IN_SCRATCH(prediction_by_hand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
