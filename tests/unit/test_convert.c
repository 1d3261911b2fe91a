/* test_convert.c - models from one file to a diffusers folder and back, and out of PyTorch's files: the same tensors,
 * to the bit. */
#include "converting.h"
#include "scratch.h"
#include "sumi.h"
#include "base/file.h"
#include "models/diffusers.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/folder.h"
#include <math.h>
#include <zlib.h>

#define MODEL GOLDEN_DIR "/sd1/model.safetensors"

static void converted(const char *from, const char *to, const char *type, const char *layout)
{
	error e = { 0 };
	if (!convert_with(from, to, NULL, 0, type, layout, false, &e)) fail_saying("%s\n", e.text);
}

/* Whether b has all that a has, but for names that hold `but`; returns how many it lacks. */
static int lacks(const char *a, const char *b, const char *but)
{
	error e = { 0 };
	weights *x = weights_open(a, &e), *y = weights_open(b, &e);
	if (!x || !y) fail_saying("%s\n", e.text);
	int lacking = 0;
	for (size_t i = 0; i < weights_count(x); i++) {
		const weight *s = weights_at(x, i), *t = weights_find(y, s->name);
		if (!t && but && !strstr(s->name, but)) fail_saying("no %s\n", s->name);
		lacking += !t;
		if (!t) continue;
		assert_int_equal(s->dtype, t->dtype);
		assert_int_equal(s->ndims, t->ndims);
		assert_memory_equal(s->shape, t->shape, sizeof(int64_t) * (size_t)s->ndims);
		assert_memory_equal(s->data, t->data, s->bytes);
	}
	weights_close(x);
	weights_close(y);
	return lacking;
}

/* The tiny Stable Diffusion 1 of the goldens has its family in a JSON file of the same name. */
static const char *golden_model(void)
{
	error e = { 0 };
	char *text = whole_file(MODEL, 1 << 26, NULL, &e),
	     *config = whole_file(GOLDEN_DIR "/sd1/config.json", 1 << 16, NULL, &e);
	assert_true(text && config);
	size_t n = 0;
	free(text);
	text = whole_file(MODEL, 1 << 26, &n, &e);
	const char *path = scratch_write("model.safetensors", text, n);
	scratch_write("config.json", config, strlen(config));
	free(text);
	free(config);
	return path;
}

static void to_a_folder_and_back(void **unused)
{
	(void)unused;
	char model[160], folder[160], path[200];
	strcpy(model, golden_model());
	strcpy(folder, scratch_path("folder"));
	converted(model, folder, NULL, "diffusers");
	static const char *const parts[] = { "unet/diffusion_pytorch_model.safetensors",
		"vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors" };
	for (int i = 0; i < 3; i++) { /* as the original's script writes it */
		char golden[300];
		snprintf(path, sizeof path, "%s/%s", folder, parts[i]);
		snprintf(golden, sizeof golden, GOLDEN_DIR "/sd1/diffusers/%s", parts[i]);
		assert_int_equal(lacks(golden, path, NULL), 0);
	}
	const char *back = scratch_path("back.safetensors");
	converted(folder, back, NULL, NULL);
	lacks(back, model, "nothing is lacking");
	int buffers = lacks(model, back, NULL); /* schedules and EMA counters, which a folder has no place for */
	assert_int_equal(buffers, 10);
	/* and again: the same bytes */
	converted(back, scratch_path("second/"), NULL, NULL);
	char command[600];
	snprintf(command, sizeof command, "diff -r '%s' '%s'", folder, scratch_path("second"));
	assert_int_equal(system(command), 0);
}

static void families_come_back(const char *json, const char *left_out)
{
	error e = { 0 };
	char config[160], model[160], folder[160];
	strcpy(config, scratch_write("x.json", json, strlen(json)));
	strcpy(model, scratch_path("model.safetensors"));
	strcpy(folder, scratch_path("folder/"));
	if (!file_init(config, 7, "f16", false, model, NULL, &e)) fail_saying("%s\n", e.text);
	converted(model, folder, NULL, NULL);
	const char *back = scratch_path("back.safetensors");
	converted(folder, back, NULL, "single");
	lacks(back, model, "nothing is lacking");
	lacks(model, back, left_out);
	checkpoint *a = checkpoint_open(model, &e), *b = checkpoint_open(back, &e), *c = checkpoint_open(folder, &e);
	if (!a || !b || !c) fail_saying("%s\n", e.text);
	const checkpoint *const others[] = { b, c };
	for (int i = 0; i < 2; i++) {
		const family *f = checkpoint_family(a), *g = checkpoint_family(others[i]);
		assert_memory_equal(&f->autoencoder, &g->autoencoder, sizeof f->autoencoder);
		assert_int_equal(f->prediction, g->prediction);
		assert_int_equal(f->size, g->size);
		assert_int_equal(f->denoiser.kind, g->denoiser.kind);
		assert_int_equal(denoiser_sizes_of(&f->denoiser).in_channels, denoiser_sizes_of(&g->denoiser).in_channels);
		assert_float_equal(f->flow_shift, g->flow_shift, 0);
		assert_int_equal(f->text[0].padding, g->text[0].padding);
		assert_int_equal(f->text[0].length, g->text[0].length);
		assert_int_equal(f->betas.zero_terminal_snr, g->betas.zero_terminal_snr);
	}
	checkpoint_close(a);
	checkpoint_close(b);
	checkpoint_close(c);
}

#define TINY(unet, text, rest)                                                                                      \
	"{\"unet\":{\"model_channels\":32,\"channel_mult\":[1,2],\"num_res_blocks\":1,\"attention_resolutions\":[1,2]," \
	"\"context_dim\":32," unet "},\"dd\":{\"ch\":32,\"ch_mult\":[1,2,2],\"num_res_blocks\":1},\"text\":{" text      \
	"}," rest ",\"size\":64}"
#define OPEN "\"width\":32,\"heads\":2,\"layers\":3,\"embed_dim\":32,\"vocab_size\":49408"
#define HUGGING                                                                                                     \
	"\"hidden_size\":32,\"intermediate_size\":64,\"num_hidden_layers\":2,\"num_attention_heads\":2,\"vocab_size\":" \
	"49408,\"hidden_act\":\"quick_gelu\""

/* OpenCLIP's fused attention is three tensors there; its last block and projection are not kept. */
static void sd2_comes_back(void **unused)
{
	(void)unused;
	families_come_back(TINY("\"num_head_channels\":16,\"use_linear_in_transformer\":true", OPEN,
	                       "\"prediction_type\":\"v_prediction\",\"rescale_betas_zero_snr\":true"),
	    "cond_stage_model.model.");
}

static void inpainting_comes_back(void **unused)
{
	(void)unused;
	families_come_back(TINY("\"in_channels\":9,\"num_heads\":4", HUGGING, "\"scale_factor\":0.13"), "nothing");
}

/* ── SDXL and Stable Diffusion 3 ── */

#define CLIP(width, act, more)                                                                               \
	"{\"hidden_size\":" width ",\"intermediate_size\":64,\"num_hidden_layers\":3,\"num_attention_heads\":2," \
	"\"vocab_size\":49408,\"final_norm\":false,\"skip\":1,\"hidden_act\":\"" act "\"" more "}"
#define BIG_G                                                                                            \
	"{\"width\":32,\"heads\":2,\"layers\":3,\"embed_dim\":32,\"vocab_size\":49408,\"final_norm\":false," \
	"\"skip\":1,\"pooled\":true}"
#define XL(unet, texts)                                                                                               \
	"{\"unet\":{\"model_channels\":32,\"channel_mult\":[1,2,2],\"num_res_blocks\":2,\"attention_resolutions\":[2,4]," \
	"\"transformer_depth\":[1,1,2],\"num_head_channels\":16,\"use_linear_in_transformer\":true,\"num_classes\":"      \
	"\"sequential\"," unet "},\"dd\":{\"ch\":32,\"ch_mult\":[1,2],\"num_res_blocks\":1},\"conditioning\":"            \
	"\"side_by_side\",\"scale_factor\":0.13025,\"size\":32," texts "}"
#define XL_TEXTS                                                                                                  \
	"\"text\":" CLIP("16", "quick_gelu", "") ",\"text_2\":" BIG_G                                                 \
	                                         ",\"text_prefix\":\"conditioner.embedders.0.transformer\",\"text_2_" \
	                                         "prefix\":\"conditioner.embedders.1.model\""
#define THREE(mmdit)                                                                                                  \
	"{\"mmdit\":{\"depth\":3,\"hidden_size\":32,\"num_heads\":2,\"pos_embed_max_size\":16,\"context_dim\":64,"        \
	"\"adm_in_channels\":48" mmdit "},\"dd\":{\"ch\":32,\"ch_mult\":[1,2],\"num_res_blocks\":1,\"z_channels\":16,"    \
	"\"quant\":false},\"text\":" CLIP("16", "quick_gelu", ",\"pooled\":true,\"projection\":16") ",\"text_2\":" CLIP(  \
	    "32", "gelu",                                                                                                 \
	    ",\"pooled\":true,\"projection\":32,\"tokenizer\":\"openclip\",\"pad_id\":0") ",\"text_3\":{\"d_model\":64,"  \
	                                                                                  "\"num_layers\":1,\"d_ff\":64," \
	                                                                                  "\"num_heads\":2,\"d_kv\":16}," \
	                                                                                  "\"text_prefix\":"              \
	                                                                                  "\"text_encoders.clip_l."       \
	                                                                                  "transformer\","                \
	                                                                                  "\"conditioning\":\"stacked\"," \
	                                                                                  "\"prediction_type\":\"flow\"," \
	                                                                                  "\"shift\":3,"                  \
	                                                                                  "\"size\":32}"

static void sdxl_comes_back(void **unused)
{
	(void)unused;
	families_come_back(XL("\"context_dim\":48,\"adm_in_channels\":1568", XL_TEXTS), "logit_scale");
	families_come_back(XL("\"context_dim\":48,\"adm_in_channels\":1568,\"in_channels\":9", XL_TEXTS), "logit_scale");
	families_come_back(XL("\"context_dim\":32,\"adm_in_channels\":1312",
	                       "\"text\":" BIG_G ",\"text_prefix\":\"conditioner.embedders.0.model\""),
	    "logit_scale"); /* the refiner */
}

/* Fewer transformers on one side, a middle of one block or none: SSD-1B, tiny-sd. */
static void distilled_come_back(void **unused)
{
	(void)unused;
	families_come_back(
	    XL("\"context_dim\":48,\"adm_in_channels\":1568,\"transformer_depth_middle\":-1,\"transformer_depth_output\":"
	       "[1,[2,1,1],[2,2,3]]",
	        XL_TEXTS),
	    "logit_scale");
	families_come_back(
	    TINY("\"num_heads\":4,\"transformer_depth_middle\":-2", HUGGING, "\"scale_factor\":0.18215"), "nothing");
}

static void sd3_comes_back(void **unused)
{
	(void)unused;
	families_come_back(THREE(""), "nothing");
	families_come_back(THREE(",\"qk_norm\":\"rms\",\"x_block_self_attn_layers\":[0,1]"), "nothing");
}

static void draw_with(sumi_model *m, unsigned char pixels[32 * 32 * 3])
{
	sumi_error e = { 0 };
	sumi_options o = sumi_defaults();
	o.prompt = "a fox";
	o.steps = 2;
	o.seed = 1;
	sumi_image *image = sumi_generate(m, &o, &e);
	if (!image) fail_saying("%s\n", e.text);
	memcpy(pixels, image->pixels, 32 * 32 * 3);
	sumi_image_free(image);
}

/* In a folder q, k and v lie apart, and shift and scale the other way round: the picture is the same, also with LoRA
 * files that name them as a single file does, or as a folder; and a folder's copy is a folder. */
static void a_folder_of_sd3_draws_the_same(void **unused)
{
	(void)unused;
	enum { LORAS = 3, RANK = 2 };
	static const struct {
		const char *module;
		int out, in;
	} changed[LORAS] = { { "lora_unet_joint_blocks_0_x_block_attn_qkv", 96, 32 },
		{ "transformer.transformer_blocks.1.attn.to_k", 32, 32 }, { "transformer.norm_out.linear", 64, 32 } };
	static float values[96 * RANK];
	static unsigned char a[32 * 32 * 3], b[32 * 32 * 3], plain[32 * 32 * 3];
	const char *json = THREE(",\"qk_norm\":\"rms\",\"x_block_self_attn_layers\":[0,1]");
	char config[160], single[160], folder[160], copy[160], changes[160];
	error e = { 0 };
	strcpy(config, scratch_write("x.json", json, strlen(json)));
	strcpy(single, scratch_path("model.safetensors"));
	strcpy(folder, scratch_path("folder/"));
	strcpy(copy, scratch_path("copy/"));
	if (!file_init(config, 7, "f32", false, single, NULL, &e)) fail_saying("%s\n", e.text);
	converted(single, folder, NULL, NULL);
	converted(folder, copy, NULL, NULL);
	for (int i = 0; i < 96 * RANK; i++) values[i] = 0.3f * sinf((float)(i * i));
	for (int k = -1; k < LORAS; k++) {
		sumi_model_options o = sumi_model_defaults();
		const char *const list[] = { changes };
		o.loras = list;
		o.lora_count = k >= 0;
		if (k >= 0) {
			char name[160];
			int64_t down[] = { RANK, changed[k].in }, up[] = { changed[k].out, RANK };
			strcpy(changes, scratch_path("lora.safetensors"));
			weights_writer *w = weights_writer_new(changes, &e);
			for (int half = 0; half < 2; half++) {
				bool dotted = strchr(changed[k].module, '.') != NULL;
				snprintf(name, sizeof name, "%s.%s.weight", changed[k].module,
				    dotted ? half ? "lora_B" : "lora_A"
				    : half ? "lora_up"
				           : "lora_down");
				assert_true(weights_writer_declare(w, name, F32, 2, half ? up : down, &e));
			}
			for (int half = 0; half < 2; half++)
				assert_true(weights_writer_append(
				    w, values, sizeof(float) * RANK * (size_t)(half ? changed[k].out : changed[k].in), &e));
			assert_true(weights_writer_finish(w, &e));
		}
		const char *const paths[] = { single, folder, copy };
		for (int i = 0; i < 3; i++) {
			sumi_error wrong = { 0 };
			sumi_model *m = sumi_open(paths[i], &o, &wrong);
			if (!m) fail_saying("%s: %s\n", paths[i], wrong.text);
			draw_with(m, i ? b : a);
			if (i) assert_memory_equal(a, b, sizeof a);
			sumi_close(m);
		}
		if (k < 0) memcpy(plain, a, sizeof a);
		if (k >= 0) assert_memory_not_equal(a, plain, sizeof a);
	}
}

/* A tensor as Hugging Face has it: its name, its axes, and what turns its values into those. */
static void write_pieces(
    weights_writer *out, const family *f, const char *prefix, const char *key, const weight *w, bool data)
{
	error e = { 0 };
	key_piece p[MAX_PIECES];
	shape s = { .n = w->ndims };
	for (int i = 0; i < s.n; i++) s.d[i] = (int)w->shape[i];
	int count = diffusers_pieces(f, TEXT_ENCODER + 1, key, s, p);
	bool other = count > 0;
	if (!other) count = one_piece(p, s);
	for (int k = 0; k < count; k++) {
		char name[512];
		int64_t axes[MAX_DIMS];
		uint16_t turned[32 * 32];
		size_t row = w->bytes / (size_t)(s.n ? s.d[0] : 1), bytes = (size_t)p[k].rows * row;
		const void *values = (const char *)w->data + (size_t)p[k].first * row;
		for (int i = 0; i < s.n; i++) axes[i] = p[k].shape.d[i];
		strcpy(name, other ? prefix : key);
		if (other) strcat(strcat(name, "."), p[k].name);
		if (strstr(key, "text_projection")) {
			assert_int_equal(bytes, sizeof turned);
			for (int i = 0; i < 32 * 32; i++) turned[i] = ((const uint16_t *)values)[i % 32 * 32 + i / 32];
			values = turned;
		}
		if (data)
			assert_true(weights_writer_append(out, values, bytes, &e));
		else
			assert_true(weights_writer_declare(out, name, w->dtype, s.n, axes, &e));
	}
}

/* A copy of `from` in which the second text encoder has Hugging Face's names. */
static void write_hugging_face(const char *from, const char *to)
{
	error e = { 0 };
	const char *key;
	checkpoint *c = checkpoint_open(from, &e);
	if (!c) fail_saying("%s\n", e.text);
	const family *f = checkpoint_family(c);
	family g = *f;
	assert_true(hugging_face_layout(&g, TEXT_ENCODER + 1));
	char *config = family_to_json(&g);
	weights_writer *out = weights_writer_new(to, &e);
	assert_true(config && out && weights_writer_metadata(out, "sumi.config", config, &e));
	for (int data = 0; data < 2; data++)
		for (size_t i = 0; i < checkpoint_count(c); i++) {
			const weight *w = checkpoint_at(c, i, &key);
			write_pieces(out, f, g.prefix[TEXT_ENCODER + 1], key, w, data);
		}
	assert_true(weights_writer_finish(out, &e));
	free(config);
	checkpoint_close(c);
}

/* Hugging Face has the projection of a pooled text with its axes in the other order. */
static void a_projection_is_transposed(void **unused)
{
	(void)unused;
	static const char json[] = TINY("\"num_head_channels\":16,\"use_linear_in_transformer\":true,\"num_classes\":"
	                                "\"sequential\",\"adm_in_channels\":1568",
	    HUGGING "},\"text_2\":{" OPEN ",\"pooled\":true",
	    "\"conditioning\":\"side_by_side\",\"text_2_prefix\":\"conditioner.embedders.1.model\"");
	char model[160], other[160];
	error e = { 0 };
	char *config = strdup(json), *context = strstr(config, "\"context_dim\":32");
	memcpy(context, "\"context_dim\":64", 16);
	const char *path = scratch_write("x.json", config, strlen(config));
	strcpy(model, scratch_path("model.safetensors"));
	if (!file_init(path, 7, "f16", false, model, NULL, &e)) fail_saying("%s\n", e.text);
	free(config);
	strcpy(other, scratch_path("other.safetensors"));
	write_hugging_face(model, other);
	const char *back = scratch_path("back.safetensors");
	converted(other, back, NULL, "single");
	assert_int_equal(lacks(model, back, NULL), 0);
	assert_int_equal(lacks(back, model, NULL), 0);
	converted(other, back, "f32", "single"); /* and as it is written in another type */
	weights *w = weights_open(model, &e), *x = weights_open(back, &e);
	assert_true(w && x);
	const char *name = "conditioner.embedders.1.model.text_projection";
	float wide[32 * 32];
	convert(wide, F32, weights_find(w, name)->data, F16, 32 * 32);
	assert_memory_equal(wide, weights_find(x, name)->data, sizeof wide);
	weights_close(w);
	weights_close(x);
}

static void refused(const char *json, const char *words)
{
	error e = { 0 }, wrong = { 0 };
	const char *config = scratch_write("x.json", json, strlen(json)), *model = scratch_path("model.safetensors");
	if (!file_init(config, 7, "f16", false, model, NULL, &e)) fail_saying("%s\n", e.text);
	assert_false(convert_with(model, scratch_path("folder"), NULL, 0, NULL, "diffusers", false, &wrong));
	assert_int_equal(wrong.status, BAD_USAGE);
	assert_says(wrong, words);
	assert_int_equal(access(scratch_path("folder"), F_OK), -1);
}

/* What a folder's configurations cannot say is not written. */
static void what_a_folder_cannot_say_is_refused(void **unused)
{
	(void)unused;
	refused(TINY("\"num_heads\":4", "\"n_embed\":32,\"n_layer\":1,\"heads\":2,\"dim_head\":16,\"vocab_size\":100",
	            "\"scale_factor\":0.2"),
	    "its text encoder is not CLIP's");
	refused(TINY("\"num_heads\":4", HUGGING ",\"skip\":1,\"final_norm\":false", "\"scale_factor\":0.2"),
	    "\"text\" cannot be expressed");
}

/* A copy of the model with one tensor more; its path. */
static const char *copy_with(const char *model, const char *file, const char *name, const float *values, int64_t count)
{
	error e = { 0 };
	weights *in = weights_open(model, &e);
	weights_writer *out = weights_writer_new(scratch_path(file), &e);
	assert_true(in && out);
	for (int write = 0; write < 2; write++) {
		for (size_t i = 0; i < weights_count(in); i++) {
			const weight *w = weights_at(in, i);
			if (!strcmp(w->name, name)) continue;
			assert_true(write ? weights_writer_append(out, w->data, w->bytes, &e)
			                  : weights_writer_declare(out, w->name, w->dtype, w->ndims, w->shape, &e));
		}
		assert_true(write ? weights_writer_append(out, values, (size_t)count * sizeof *values, &e)
		                  : weights_writer_declare(out, name, F32, 1, &count, &e));
	}
	assert_true(weights_writer_finish(out, &e));
	weights_close(in);
	return scratch_path(file);
}

/* What is too large for the type: refused with a number, or made the largest there is. */
static void counts_what_overflows(void **unused)
{
	(void)unused;
	static const float values[] = { 1, -70000, 65504, 65519, 65520, INFINITY, 1e30f, -2 };
	static const uint16_t clamped[] = { 0x3c00, 0xfbff, 0x7bff, 0x7bff, 0x7bff, 0x7c00, 0x7bff, 0xc000 };
	const int64_t count = sizeof values / sizeof *values;
	error e = { 0 }, wrong = { 0 };
	char model[160], narrow[160];
	strcpy(model, golden_model());
	strcpy(narrow, scratch_path("narrow.safetensors"));
	const char *large = copy_with(model, "large.safetensors", "large", values, count);
	assert_false(convert_with(large, narrow, NULL, 0, "f16", NULL, false, &wrong));
	assert_int_equal(wrong.status, BAD_FILE);
	assert_says(wrong, "3 values of 1 tensors");
	assert_says(wrong, "-70000 in 'large'");
	assert_int_equal(access(narrow, F_OK), -1);
	if (!convert_with(large, narrow, NULL, 0, "f16", NULL, true, &e)) fail_saying("%s\n", e.text);
	weights *a = weights_open(narrow, &e);
	const weight *w = weights_find(a, "large");
	assert_int_equal(w->dtype, F16);
	assert_memory_equal(w->data, clamped, sizeof clamped);
	weights_close(a);
	assert_true(convert_with(large, narrow, NULL, 0, "bf16", NULL, false, &e)); /* which is as wide as f32 */
}

static void take_warning(void *context, sumi_level level, const char *text)
{
	if (level == SUMI_WARNING) snprintf(context, 400, "%s", text);
}

/* Whatever the type: what draws nothing is copied, and reported. */
static void warns_of_what_is_no_number(void **unused)
{
	(void)unused;
	static const float values[] = { 1, NAN };
	static const char *const types[] = { NULL, "f16" };
	char model[160];
	strcpy(model, golden_model());
	const char *bad = copy_with(model, "bad.safetensors", "bad", values, 2);
	for (int i = 0; i < 4; i++) {
		sumi_error e = { 0 };
		char warning[400] = "";
		sumi_listener l = sumi_listener_defaults();
		sumi_convert_options o = sumi_convert_defaults();
		l.note = take_warning;
		l.context = warning;
		o.listener = &l;
		o.type = types[i % 2];
		if (!sumi_convert_as(i < 2 ? bad : model, scratch_path("copy.safetensors"), &o, &e))
			fail_saying("%s\n", e.text);
		assert_int_equal(strstr(warning, "1 of the tensors holds NaN or infinity, such as 'bad'") != NULL, i < 2);
	}
}

/* Eight bits: half the size; matrices in it, vectors in f16, and what is widened again has the values of the small
 * ones. */
static void eight_bits(void **unused)
{
	(void)unused;
	error e = { 0 };
	char model[160], small[160], wide[160];
	strcpy(model, golden_model());
	strcpy(small, scratch_path("small.safetensors"));
	strcpy(wide, scratch_path("wide.safetensors"));
	if (!convert_with(model, small, NULL, 0, "F8_E4M3", NULL, false, &e)) fail_saying("%s\n", e.text);
	if (!convert_with(small, wide, NULL, 0, "f32", NULL, false, &e)) fail_saying("%s\n", e.text);
	weights *from = weights_open(model, &e), *a = weights_open(small, &e), *b = weights_open(wide, &e);
	assert_true(from && a && b);
	int matrices = 0;
	for (size_t i = 0; i < weights_count(a); i++) {
		const weight *w = weights_at(a, i), *was = weights_find(from, w->name), *again = weights_find(b, w->name);
		if (!dtype_is_float(was->dtype) || was->dtype == F64) continue;
		assert_int_equal(w->dtype, w->ndims < 2 ? F16 : F8_E4M3);
		matrices += w->ndims > 1;
		for (size_t k = 0; k < weight_elements(w); k += 7) {
			float x = ((const float *)again->data)[k], y, size = 1;
			convert(&y, F32, (const char *)was->data + k * dtype_size(was->dtype), was->dtype, 1);
			if (w->ndims < 2) size = 0x1p-7f;
			assert_true(fabsf(x - y) <= fabsf(y) * size / 16 + 0x1p-10f);
		}
	}
	assert_true(matrices > 50);
	weights_close(from);
	weights_close(a);
	weights_close(b);
}

/* Weights that a factor in the file belongs to would draw another picture without it. */
static void scaled_weights_are_refused(void **unused)
{
	(void)unused;
	char model[160];
	strcpy(model, golden_model());
	sumi_error e = { 0 };
	const float scale = 2;
	const char *path = copy_with(model, "scaled.safetensors", "model.diffusion_model.out.2.scale_weight", &scale, 1);
	assert_null(sumi_open(path, NULL, &e));
	assert_int_equal(e.status, SUMI_BAD_FILE);
	assert_non_null(strstr(e.text, "out.2.scale_weight"));
	e = (sumi_error){ 0 };
	assert_false(sumi_convert(path, "converted.safetensors", "f32", NULL, false, NULL, &e));
	assert_non_null(strstr(e.text, "out.2.scale_weight"));
}

/* Models of EDM's form have the shapes of others, and a tensor that says what they are. */
static void models_of_edm_are_refused(void **unused)
{
	(void)unused;
	static const char *const marks[] = { "edm_mean", "edm_vpred.sigma_max" };
	char model[160];
	strcpy(model, golden_model());
	for (int i = 0; i < 2; i++) {
		sumi_error e = { 0 };
		const float value = 1;
		assert_null(sumi_open(copy_with(model, "edm.safetensors", marks[i], &value, 1), NULL, &e));
		assert_int_equal(e.status, SUMI_BAD_FILE);
		assert_says(e, marks[i]);
	}
}

/* ── with LoRA files ── */

static const char changed_weight[] = "model.diffusion_model.middle_block.1.proj_in.weight";

/* A file that adds `value` to each number of that weight. */
static const char *lora_adding(float value)
{
	error e = { 0 };
	weights *model = weights_open(golden_model(), &e);
	const weight *w = weights_find(model, changed_weight);
	weights_writer *out = weights_writer_new(scratch_path("lora.safetensors"), &e);
	assert_true(w && out);
	assert_true(
	    weights_writer_declare(out, "lora_unet_mid_block_attentions_0_proj_in.diff", F32, w->ndims, w->shape, &e));
	for (size_t i = 0; i < weight_elements(w); i++) assert_true(weights_writer_append(out, &value, sizeof value, &e));
	assert_true(weights_writer_finish(out, &e));
	weights_close(model);
	return scratch_path("lora.safetensors");
}

/* What no longer fits into the file's type is written wider, and refused only where that type is asked for. */
static void merged_weights_overflow(void **unused)
{
	(void)unused;
	error e = { 0 };
	char narrow[160], merged[160], adding[160];
	const char *loras[] = { adding };
	strcpy(narrow, scratch_path("narrow.safetensors"));
	strcpy(merged, scratch_path("merged.safetensors"));
	strcpy(adding, lora_adding(70000));
	assert_true(convert_with(golden_model(), narrow, NULL, 0, "f16", NULL, false, &e));
	assert_false(convert_with(narrow, merged, loras, 1, "f16", NULL, false, &e));
	assert_int_equal(e.status, BAD_FILE);
	assert_non_null(strstr(e.text, changed_weight));
	e = (error){ 0 };
	if (!convert_with(narrow, merged, loras, 1, NULL, NULL, false, &e)) fail_saying("%s\n", e.text);
	weights *out = weights_open(merged, &e);
	const weight *w = weights_find(out, changed_weight);
	assert_true(w && w->dtype == F32 && fabsf(*(const float *)w->data - 70000) < 100);
	weights_close(out);
}

static void merging_checks_the_weight(void **unused)
{
	(void)unused;
	error e = { 0 };
	const float one = 1;
	char model[160], merged[160], adding[160];
	const char *loras[] = { adding };
	strcpy(model, copy_with(golden_model(), "short.safetensors", changed_weight, &one, 1));
	strcpy(merged, scratch_path("merged.safetensors"));
	strcpy(adding, lora_adding(1));
	assert_false(convert_with(model, merged, loras, 1, NULL, NULL, false, &e));
	assert_int_equal(e.status, BAD_FILE);
	assert_says(e, "another shape");
}

/* ── from PyTorch's files ── */

typedef struct record {
	char name[32];
	uint32_t place, bytes, crc;
} record;

static void put(FILE *f, uint64_t n, int bytes)
{
	for (int i = 0; i < bytes; i++) fputc(i < 8 ? (int)(n >> 8 * i & 255) : 0, f);
}

static void put_record(FILE *f, const record *r, bool central)
{
	put(f, central ? 0x02014b50 : 0x04034b50, 4);
	put(f, 20, central ? 4 : 2);
	put(f, 0, 8); /* no flags, stored, no time */
	put(f, r->crc, 4);
	put(f, r->bytes, 4);
	put(f, r->bytes, 4);
	put(f, strlen(r->name), 4);
	if (central) put(f, 0, 10), put(f, r->place, 4);
	fputs(r->name, f);
}

static void add_record(FILE *f, record *r, const char *name, const void *data, size_t bytes)
{
	*r =
	    (record){ .place = (uint32_t)ftell(f), .bytes = (uint32_t)bytes, .crc = (uint32_t)crc32(0, data, (uInt)bytes) };
	strcpy(r->name, name);
	put_record(f, r, false);
	fwrite(data, 1, bytes, f);
}

static void put_integers(FILE *f, const int64_t *values, int n)
{
	fputc('(', f);
	for (int i = 0; i < n; i++) fputc('J', f), put(f, (uint64_t)values[i], 4);
	fputc('t', f);
}

/* {"state_dict": {name: tensor, …}, "epoch": 3} as torch.save() pickles it. */
static void put_pickle(FILE *f, const weights *w)
{
	fputs("\x80\2}X", f), put(f, 10, 4), fputs("state_dict}(", f);
	for (size_t i = 0; i < weights_count(w); i++) {
		const weight *t = weights_at(w, i);
		char key[24];
		int64_t stride[WEIGHT_DIMS], one = 1;
		for (int k = t->ndims - 1; k >= 0; k--) stride[k] = one, one *= t->shape[k];
		static const char *const storages[DTYPES] = { [F32] = "Float", [F16] = "Half", [I64] = "Long", [I32] = "Int" };
		snprintf(key, sizeof key, "%zu", i);
		fputc('X', f), put(f, strlen(t->name), 4), fputs(t->name, f);
		fputs("ctorch._utils\n_rebuild_tensor_v2\n((X", f), put(f, 7, 4), fputs("storage", f);
		fprintf(f, "ctorch\n%sStorage\n", storages[t->dtype]);
		fputc('X', f), put(f, strlen(key), 4), fputs(key, f);
		fputc('X', f), put(f, 3, 4), fputs("cpuJ", f), put(f, weight_elements(t), 4), fputs("tQ", f);
		fputs("K", f), put(f, 0, 1), put_integers(f, t->shape, t->ndims), put_integers(f, stride, t->ndims);
		fputs("\x89"
		      "ccollections\nOrderedDict\n)RtR",
		    f);
	}
	fputs("usX", f), put(f, 5, 4), fputs("epochK\3s.", f);
}

static void write_archive(const char *path, const weights *w)
{
	FILE *pickle = fopen(scratch_path("data.pkl"), "wb"), *f = fopen(path, "wb");
	assert_true(pickle && f);
	put_pickle(pickle, w);
	fclose(pickle);
	size_t n, count = weights_count(w);
	error e = { 0 };
	char *text = whole_file(scratch_path("data.pkl"), 1 << 24, &n, &e), name[32];
	record *r = calloc(count + 1, sizeof *r);
	assert_true(text && r);
	add_record(f, &r[count], "m/data.pkl", text, n);
	for (size_t i = 0; i < count; i++) {
		snprintf(name, sizeof name, "m/data/%zu", i);
		add_record(f, &r[i], name, weights_at(w, i)->data, weights_at(w, i)->bytes);
	}
	long begin = ftell(f);
	for (size_t i = 0; i <= count; i++) put_record(f, &r[i], true);
	long end = ftell(f);
	put(f, 0x06054b50, 8);
	put(f, count + 1, 2), put(f, count + 1, 2), put(f, (uint64_t)(end - begin), 4), put(f, (uint64_t)begin, 4);
	put(f, 0, 2);
	fclose(f);
	free(text);
	free(r);
}

static void out_of_a_checkpoint(void **unused)
{
	(void)unused;
	error e = { 0 };
	char model[160], ckpt[160];
	strcpy(model, golden_model());
	strcpy(ckpt, scratch_path("model.ckpt"));
	weights *w = weights_open(model, &e);
	write_archive(ckpt, w);
	weights_close(w);
	assert_int_equal(lacks(model, ckpt, NULL), 0);
	converted(ckpt, scratch_path("again.safetensors"), NULL, NULL);
	assert_int_equal(lacks(model, scratch_path("again.safetensors"), NULL), 0);
	converted(ckpt, scratch_path("folder"), NULL, "diffusers");
	assert_int_equal(lacks(GOLDEN_DIR "/sd1/diffusers/unet/diffusion_pytorch_model.safetensors",
	                     scratch_path("folder/unet/diffusion_pytorch_model.safetensors"), NULL),
	    0);
}

/* ── what lies side by side in a folder ── */

static void chooses_of_variants(void **unused)
{
	(void)unused;
	error e = { 0 };
	static const char *const better[] = { "pytorch_model.fp16.bin", "pytorch_model.bin", "model.fp16.safetensors",
		"model.non_ema.safetensors", "model.safetensors", "model.safetensors.index.json" };
	char *text;
	size_t n;
	text = whole_file(GOLDEN_DIR "/sd1/diffusers/vae/diffusion_pytorch_model.safetensors", 1 << 24, &n, &e);
	assert_non_null(text);
	error none = { 0 };
	assert_null(folder_weights(scratch, "", &none));
	assert_says(none, "no weights");
	for (size_t i = 0; i < sizeof better / sizeof *better; i++) {
		bool index = strstr(better[i], ".index.") != NULL;
		const char *path =
		    index ? scratch_write(better[i], "{\"weight_map\":{}}", 17) : scratch_write(better[i], text, n);
		weights *w = folder_weights(scratch, "", &e);
		if (!w) fail_saying("%s\n", e.text);
		if (i != 3) assert_string_equal(weights_path(w), path); /* without EMA: not where there is another */
		weights_close(w);
	}
	free(text);
}

/* ── shards ── */

static void convert_sharded(const char *from, const char *to, uint64_t most)
{
	sumi_error e = { 0 };
	sumi_convert_options o = sumi_convert_defaults();
	o.max_shard = most;
	if (!sumi_convert_as(from, to, &o, &e)) fail_saying("%s\n", e.text);
}

static bool is_there(const char *folder, const char *file)
{
	char path[600];
	snprintf(path, sizeof path, "%s%s", folder, file);
	return !access(path, F_OK);
}

/* The index of a part lists every tensor of its shards, of which none is larger than it may be. Gives how many. */
static int check_index(const char *folder, const char *part, uint64_t most)
{
	char path[600];
	error e = { 0 };
	json_t *entry, *seen = json_object();
	const char *key;
	snprintf(path, sizeof path, "%s%s.safetensors.index.json", folder, part);
	json_t *index = json_load_file(path, 0, NULL);
	assert_non_null(index);
	uint64_t bytes = 0;
	json_object_foreach(json_object_get(index, "weight_map"), key, entry)
	{
		if (json_object_get(seen, json_string_value(entry))) continue;
		json_object_set_new(seen, json_string_value(entry), json_true());
		snprintf(path, sizeof path, "%s%.*s/%s", folder, (int)strcspn(part, "/"), part, json_string_value(entry));
		weights *w = weights_open(path, &e);
		if (!w) fail_saying("%s\n", e.text);
		uint64_t all = 0;
		for (size_t i = 0; i < weights_count(w); i++) {
			const json_t *where = json_object_get(json_object_get(index, "weight_map"), weights_at(w, i)->name);
			assert_string_equal(json_string_value(where), json_string_value(entry));
			all += weights_at(w, i)->bytes;
		}
		assert_true(all <= most || weights_count(w) == 1);
		assert_string_equal(weights_metadata(w, "format"), "pt");
		bytes += all;
		weights_close(w);
	}
	assert_int_equal(json_integer_value(json_object_get(json_object_get(index, "metadata"), "total_size")), bytes);
	int shards = (int)json_object_size(seen);
	json_decref(index);
	json_decref(seen);
	return shards;
}

/* More shards, fewer, none: every time the folder holds this conversion alone, and gives back its tensors. */
static void shards_come_back(void **state)
{
	(void)state;
	static const uint64_t limits[] = { 1 << 20, 1 << 19, 1, 1 << 21, 10000000000 };
	static const char *const parts[] = { "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model",
		"text_encoder/model" };
	char folder[200], name[300];
	const char *model = golden_model();
	int before = 0;
	snprintf(folder, sizeof folder, "%s/", scratch_path("folder"));
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		convert_sharded(model, folder, limits[i]);
		for (int p = 0; p < 3; p++) {
			snprintf(name, sizeof name, "%s.safetensors", parts[p]);
			bool whole = is_there(folder, name);
			if (p == 0 || limits[i] == 1) assert_int_equal(whole, i == 4);
			if (i == 4) assert_true(whole);
			snprintf(name, sizeof name, "%s.safetensors.index.json", parts[p]);
			assert_int_equal(is_there(folder, name), !whole);
			int shards = whole ? 0 : check_index(folder, parts[p], limits[i]);
			if (p == 0 && before) {
				snprintf(name, sizeof name, "%s-00001-of-%05d.safetensors", parts[0], before);
				assert_int_equal(is_there(folder, name), shards == before);
			}
			if (p == 0) before = shards;
			if (p == 0 && !whole) assert_true(shards > 1);
		}
		const char *back = scratch_path("back.safetensors");
		convert_sharded(folder, back, 1);
		lacks(back, model, NULL);
		assert_true(lacks(model, back, "") < 20); /* buffers that a folder does not hold */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(shards_come_back),
		IN_SCRATCH(to_a_folder_and_back),
		IN_SCRATCH(sd2_comes_back),
		IN_SCRATCH(inpainting_comes_back),
		IN_SCRATCH(sdxl_comes_back),
		IN_SCRATCH(sd3_comes_back),
		IN_SCRATCH(distilled_come_back),
		IN_SCRATCH(a_folder_of_sd3_draws_the_same),
		IN_SCRATCH(a_projection_is_transposed),
		IN_SCRATCH(what_a_folder_cannot_say_is_refused),
		IN_SCRATCH(counts_what_overflows),
		IN_SCRATCH(warns_of_what_is_no_number),
		IN_SCRATCH(eight_bits),
		IN_SCRATCH(scaled_weights_are_refused),
		IN_SCRATCH(models_of_edm_are_refused),
		IN_SCRATCH(merged_weights_overflow),
		IN_SCRATCH(merging_checks_the_weight),
		IN_SCRATCH(out_of_a_checkpoint),
		IN_SCRATCH(chooses_of_variants),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
