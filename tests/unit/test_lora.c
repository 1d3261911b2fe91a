/* test_lora.c - adapters: names of modules and parts, what is not used and why, alphas that no tensor says, and the
 * kinds where the goldens' small layers do not reach: many blocks of rows, and rows of a fused weight. */
#include "scratch.h"
#include "backend/backend.h"
#include "checkpoint/adapters.h"
#include "models/lora_names.h"
#include "nn/lora.h"
#include <math.h>

static void names_of_lora_modules(void **state)
{
	(void)state;
	const family *f = family_by_name("sd2.1", NULL);
	error e = { 0 };
	lora_names *n = lora_names_new(f, &e);
	assert_non_null(n);
	const char *whole = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0.weight";
	static const char *const same[] = { "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0",
		"lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_out_0",
		"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
		"base_model.model.unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
		"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out",
		"down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out",
		"down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
		"base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
		"lora_transformer_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0",
		"lycoris_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0",
		"diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0",
		"model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_out.0", "unet:3" };
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		lora_target t = lora_names_find(n, same[i]);
		assert_non_null(t.weight);
		assert_string_equal(t.weight, whole);
	}
	lora_target k = lora_names_find(n, "lora_te_text_model_encoder_layers_0_self_attn_k_proj");
	assert_string_equal(k.weight, "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight");
	assert_int_equal(k.first, 1024);
	static const char *const words[] = { "text_encoder.text_model.encoder.layers.0.self_attn.k_proj",
		"text_encoder.text_model.encoder.layers.0.self_attn.to_k",
		"base_model.model.text_model.encoder.layers.0.self_attn.k_proj",
		"text_encoder.encoder.layers.0.self_attn.k_proj", "text_model.encoder.layers.0.self_attn.k_proj" };
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		lora_target t = lora_names_find(n, words[i]);
		assert_non_null(t.weight);
		assert_string_equal(t.weight, k.weight);
		assert_int_equal(t.first, 1024);
	}
	assert_true(k.bias);
	assert_false(lora_names_find(n, "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q").bias);
	assert_true(lora_names_find(n, "unet.down_blocks.0.resnets.0.norm1").bias);
	assert_null(lora_names_find(n, "lora_unet_nothing").weight);
	assert_null(lora_names_find(n, "unet:99999").weight);
	key_piece modules[MAX_PIECES];
	assert_int_equal(lora_modules_of(f, k.weight, k.shape, KOHYA_NAMES, modules), 3);
	assert_string_equal(modules[1].name, "lora_te_text_model_encoder_layers_0_self_attn_k_proj");
	assert_int_equal(lora_modules_of(f, whole, shape2(320, 320), KOHYA_NAMES, modules), 1);
	assert_string_equal(modules[0].name, same[0]);
	const char *last = "cond_stage_model.model.transformer.resblocks.22.mlp.c_fc.weight";
	const char *skipped = "cond_stage_model.model.transformer.resblocks.23.mlp.c_fc.weight";
	assert_int_equal(lora_modules_of(f, last, shape2(4096, 1024), KOHYA_NAMES, modules), 1);
	assert_int_equal(lora_modules_of(f, skipped, shape2(4096, 1024), KOHYA_NAMES, modules), 0);
	lora_names_free(n);
}

static void lora_reports_what_matches_nothing(void **state)
{
	(void)state;
	const family *f = family_by_name("sd1", NULL);
	error e = { 0 };
	static const float data[4 * 768];
	lora_names *n = lora_names_new(f, &e);
	lora *l = lora_new();
#define TE "lora_te_text_model_encoder_layers_0_mlp_fc1"
	assert_true(lora_add(l, TE ".lora_down.weight", F32, shape2(4, 768), data, &e));
	assert_true(lora_add(l, TE ".lora_up.weight", F32, shape2(3072, 4), data, &e));
	assert_true(lora_add(l, "lora_unet_who.lora_down.weight", F32, shape2(4, 768), data, &e));
	assert_true(lora_add(l, "lora_unet_who.lora_up.weight", F32, shape2(320, 4), data, &e));
	assert_true(
	    lora_add(l, "lora_te_text_model_encoder_layers_1_mlp_fc1.lora_down.weight", F32, shape2(4, 768), data, &e));
	assert_true(
	    lora_add(l, "lora_te_text_model_encoder_layers_2_mlp_fc1.lora_down.weight", F32, shape2(4, 8), data, &e));
	assert_true(lora_add(l, "lora_te_text_model_encoder_layers_2_mlp_fc1.lora_up.weight", F32, shape2(9, 4), data, &e));
	assert_true(lora_add(l, "something.else", F32, shape1(1), data, &e));
	assert_false(lora_add(l, "x.lora_down.weight", I64, shape2(4, 8), data, &e));
	assert_int_equal(e.status, BAD_FILE);
	e = (error){ 0 };
	assert_true(lora_resolve(l, lora_names_find, n, &e));
	assert_int_equal(lora_matched(l), 1);
	assert_int_equal(lora_unmatched(l), 4); /* unknown, incomplete, misshaped, not a factor */
	lora_free(l);
	lora_names_free(n);
}

/* ── keys ── */

static lora_target any_layer(void *context, const char *module)
{
	(void)module;
	return *(const lora_target *)context;
}

/* Every way to write the two factors of a layer is one adapter. */
static void parts_in_every_spelling(void **state)
{
	(void)state;
	static const char *const ends[][2] = { { ".lora_down.weight", ".lora_up.weight" },
		{ ".lora_A.weight", ".lora_B.weight" }, { ".lora_A.default.weight", ".lora_B.default.weight" },
		{ ".lora_A.my-style_2.weight", ".lora_B.my-style_2.weight" }, { ".lora.down.weight", ".lora.up.weight" },
		{ "_lora.down.weight", "_lora.up.weight" },
		{ ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight" }, { ":down", ":up" } };
	static const float data[8];
	lora_target layer = { "x.weight", shape2(4, 3), 0, 0, false, false };
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		error e = { 0 };
		lora *l = lora_new();
		char down[100], up[100];
		snprintf(down, sizeof down, "a.b%s", ends[i][0]);
		snprintf(up, sizeof up, "a.b%s", ends[i][1]);
		assert_true(lora_add(l, down, F32, shape2(2, 3), data, &e));
		assert_true(lora_add(l, up, F32, shape2(4, 2), data, &e));
		assert_true(lora_add(l, "a.b.alpha", I64, (shape){ 0 }, &(int64_t){ 1 }, &e));
		assert_int_equal(lora_modules(l), 1);
		assert_string_equal(lora_module(l, 0), "a.b");
		assert_true(lora_resolve(l, any_layer, &layer, &e));
		assert_int_equal(lora_matched(l), 1);
		assert_int_equal(lora_unmatched(l), 0);
		lora_free(l);
	}
}

typedef struct given {
	const char *end;
	shape shape;
} given;

/* Parts that do not fit a layer [8,6] are set aside; none may reach the graph. */
static void misfits_are_set_aside(void **state)
{
	(void)state;
	static const float data[4096];
	static const given kinds[][6] = {
		{ { ".lora_down.weight", { 2, { 2, 6 } } }, { ".lora_up.weight", { 2, { 8, 3 } } } },
		{ { ".lora_down.weight", { 2, { 0, 6 } } }, { ".lora_up.weight", { 2, { 8, 0 } } } },
		{ { ".lora_down.weight", { 2, { 2, 6 } } }, { ".lora_up.weight", { 2, { 8, 2 } } },
		    { ".dora_scale", { 2, { 7, 1 } } } },
		{ { ".lora_down.weight", { 2, { 2, 6 } } }, { ".lora_up.weight", { 2, { 8, 2 } } },
		    { ".lora_mid.weight", { 4, { 2, 3, 1, 1 } } } },
		{ { ".hada_w1_a", { 2, { 8, 2 } } }, { ".hada_w1_b", { 2, { 2, 6 } } }, { ".hada_w2_a", { 2, { 8, 2 } } } },
		{ { ".hada_w1_a", { 2, { 8, 2 } } }, { ".hada_w1_b", { 2, { 2, 6 } } }, { ".hada_w2_a", { 2, { 8, 2 } } },
		    { ".hada_w2_b", { 2, { 3, 6 } } } },
		{ { ".lokr_w1", { 2, { 3, 2 } } }, { ".lokr_w2", { 2, { 4, 3 } } } },
		{ { ".lokr_w1", { 2, { 2, 2 } } }, { ".lokr_w2_a", { 2, { 4, 2 } } }, { ".lokr_w2_b", { 2, { 1, 3 } } } },
		{ { ".lokr_w1_a", { 2, { 2, 0 } } }, { ".lokr_w1_b", { 2, { 0, 2 } } }, { ".lokr_w2", { 2, { 4, 3 } } } },
		{ { ".oft_blocks", { 3, { 2, 3, 3 } } } },
		{ { ".oft_blocks", { 4, { 4, 2, 4, 4 } } } },
		{ { ".oft_blocks", { 3, { 2, 4, 4 } } }, { ".rescale", { 2, { 9, 1 } } } },
		{ { ".oft_blocks", { 3, { 0, 4, 4 } } } },
		{ { ".diff", { 2, { 6, 8 } } } },
		{ { ".weight", { 1, { 8 } } } },
		{ { ".a1.weight", { 2, { 6, 2 } } }, { ".a2.weight", { 2, { 2, 6 } } }, { ".b1.weight", { 2, { 8, 2 } } },
		    { ".b2.weight", { 2, { 2, 5 } } } },
		{ { ".rescale", { 1, { 8 } } } },
		{ { ".diff_b", { 1, { 8 } } } },
	};
	lora_target layer = { "x.weight", shape2(8, 6), 0, 0, false, false };
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		error e = { 0 };
		lora *l = lora_new();
		for (int k = 0; k < 6 && kinds[i][k].end; k++) {
			char key[64];
			snprintf(key, sizeof key, "m%s", kinds[i][k].end);
			assert_true(lora_add(l, key, F32, kinds[i][k].shape, data, &e));
		}
		assert_true(lora_resolve(l, any_layer, &layer, &e));
		if (lora_matched(l)) fail_saying("kind %zu was taken\n", i);
		assert_non_null(strstr(lora_unmatched_name(l, 0), "m: "));
		lora_free(l);
	}
}

/* ── what is merged ── */

typedef struct layer {
	const float *weight;
	adapted set;
} layer;

static bool bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const layer *y = context;
	(void)s, (void)e;
	if (lora_bind(&y->set, 1, name, d, data)) return true;
	*d = F32;
	*data = y->weight;
	return true;
}

/* The weight [rows,columns] named "w.weight" as the set changes it; the caller frees. */
static float *merged(const layer *y, int rows, int columns)
{
	error e = { 0 };
	graph *g = graph_new(REAL);
	tensor w = lora_merge(g, &y->set, 1, "w.weight", cast(g, param(g, "w.weight", shape2(rows, columns)), REAL));
	tensor zero = input(g, "zero", REAL, shape1(1)), out = add(g, w, zero); /* something to run */
	keep(g, out);
	bool fine = graph_bind(g, bind, (void *)(uintptr_t)y, &e) && graph_compile(g, backend_cpu(), 1, &e) &&
	            graph_allocate(g, NULL, NULL, &e);
	if (fine) memset(graph_address(g, zero), 0, sizeof(real));
	fine = fine && graph_run(g, NULL, NULL, &e);
	if (!fine) fail_saying("%s\n", e.text);
	size_t bytes = (size_t)rows * (size_t)columns * sizeof(float);
	float *copy = malloc(bytes);
	memcpy(copy, graph_address(g, out), bytes);
	graph_free(g);
	return copy;
}

static void fill_with(float *x, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++) x[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / (1 << 24) - 0.5f;
}

/* 600 rows in blocks of 2 lie in more than one square. A block of two turns by the angle whose half has the tangent q.
 */
static void turns_many_blocks(void **state)
{
	(void)state;
	enum { ROWS = 600, COLUMNS = 3, BLOCKS = ROWS / 2 };
	static float values[ROWS * COLUMNS], blocks[BLOCKS * 4];
	fill_with(values, ROWS * COLUMNS, 1);
	fill_with(blocks, BLOCKS * 4, 2);
	error e = { 0 };
	lora *l = lora_new();
	lora_target target = { "w.weight", shape2(ROWS, COLUMNS), 0, 0, false, false };
	assert_true(lora_add(l, "w.oft_blocks", F32, shape3(BLOCKS, 2, 2), blocks, &e));
	assert_true(lora_resolve(l, any_layer, &target, &e));
	assert_int_equal(lora_matched(l), 1);
	layer y = { values, { l, 1 } };
	float *out = merged(&y, ROWS, COLUMNS);
	for (int b = 0; b < BLOCKS; b++) {
		double q = (double)blocks[b * 4 + 1] - (double)blocks[b * 4 + 2], angle = 2 * atan(q);
		for (int c = 0; c < COLUMNS; c++) {
			double u = (double)values[(2 * b) * COLUMNS + c], v = (double)values[(2 * b + 1) * COLUMNS + c];
			/* Rᵀ of R = [cos sin; −sin cos] */
			assert_float_equal(out[(2 * b) * COLUMNS + c], cos(angle) * u - sin(angle) * v, 1e-6);
			assert_float_equal(out[(2 * b + 1) * COLUMNS + c], sin(angle) * u + cos(angle) * v, 1e-6);
		}
	}
	free(out);
	lora_free(l);
}

/* DoRA of the middle rows of a fused weight: its own rows get their lengths, the others stay as they are. */
static void changes_only_its_rows(void **state)
{
	(void)state;
	enum { ROWS = 9, COLUMNS = 4, FIRST = 3, COUNT = 3 };
	static float values[ROWS * COLUMNS], down[2 * COLUMNS], up[COUNT * 2];
	static const float lengths[COUNT] = { 1, 2, 3 };
	fill_with(values, ROWS * COLUMNS, 3);
	fill_with(down, 2 * COLUMNS, 4);
	fill_with(up, COUNT * 2, 5);
	error e = { 0 };
	lora *l = lora_new();
	lora_target target = { "w.weight", shape2(ROWS, COLUMNS), FIRST, COUNT, false, false };
	assert_true(lora_add(l, "w.lora_down.weight", F32, shape2(2, COLUMNS), down, &e));
	assert_true(lora_add(l, "w.lora_up.weight", F32, shape2(COUNT, 2), up, &e));
	assert_true(lora_add(l, "w.dora_scale", F32, shape2(COUNT, 1), lengths, &e));
	assert_true(lora_resolve(l, any_layer, &target, &e));
	layer y = { values, { l, 1 } };
	float *out = merged(&y, ROWS, COLUMNS);
	for (int r = 0; r < ROWS; r++) {
		bool own = r >= FIRST && r < FIRST + COUNT;
		double sum = 0;
		for (int c = 0; c < COLUMNS; c++) {
			sum += (double)out[r * COLUMNS + c] * (double)out[r * COLUMNS + c];
			if (!own) assert_true(out[r * COLUMNS + c] == values[r * COLUMNS + c]);
		}
		if (own) assert_float_equal(sqrt(sum), lengths[r - FIRST], 1e-5);
	}
	free(out);
	lora_free(l);
}

/* ── alphas that no tensor says ── */

static const char *const layers[] = { "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
	"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k" };

/* A LoRA of two layers of SD 1, rank 2, with metadata. */
static const char *write_lora(const char *name, const char *key, const char *value)
{
	static const float ones[640] = { 1 };
	error e = { 0 };
	const char *path = scratch_path(name);
	weights_writer *w = weights_writer_new(path, &e);
	char tensors[4][160];
	assert_true(!key || weights_writer_metadata(w, key, value, &e));
	for (int i = 0; i < 4; i++) {
		snprintf(tensors[i], sizeof tensors[i], "%s.lora_%c.weight", layers[i / 2], i % 2 ? 'B' : 'A');
		int64_t dims[2] = { i % 2 ? 320 : 2, i % 2 ? 2 : 320 };
		assert_true(weights_writer_declare(w, tensors[i], F32, 2, dims, &e));
	}
	for (int i = 0; i < 4; i++) assert_true(weights_writer_append(w, ones, sizeof ones, &e));
	assert_true(weights_writer_finish(w, &e));
	return path;
}

/* The largest change of each layer, where both factors begin with a 1 in zeros: the scale. */
static void expect_scales(const char *path, double q, double k, const char *doubt)
{
	error e = { 0 };
	adapter_list list = { 0 };
	const adapter_file *a = adapters_add(&list, family_by_name("sd1", NULL), path, NULL, &e);
	if (!a) fail_saying("%s\n", e.text);
	static const char *const names[] = { "q", "k" };
	static float nothing[320 * 320];
	for (int i = 0; i < 2; i++) {
		char weight_name[160];
		snprintf(weight_name, sizeof weight_name,
		    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_%s.weight", names[i]);
		layer y = { nothing, { a->set, 1 } };
		graph *g = graph_new(REAL);
		tensor w = cast(g, param(g, weight_name, shape2(320, 320)), REAL);
		tensor zero = input(g, "zero", REAL, shape1(1)), out = add(g, lora_merge(g, &y.set, 1, weight_name, w), zero);
		keep(g, out);
		assert_true(
		    graph_bind(g, bind, &y, &e) && graph_compile(g, backend_cpu(), 1, &e) && graph_allocate(g, NULL, NULL, &e));
		memset(graph_address(g, zero), 0, sizeof(real));
		assert_true(graph_run(g, NULL, NULL, &e));
		assert_float_equal(((const float *)graph_address(g, out))[0], i ? k : q, 1e-6);
		graph_free(g);
	}
	if (doubt ? !strstr(a->doubt, doubt) : *a->doubt != 0) fail_saying("doubt: \"%s\"\n", a->doubt);
	adapters_close(&list);
}

static void alphas_in_metadata(void **state)
{
	(void)state;
	expect_scales(write_lora("a.safetensors", NULL, NULL), 1, 1, NULL);
	expect_scales(write_lora("b.safetensors", "lora_adapter_metadata", "{\"unet.r\": 2, \"unet.lora_alpha\": 1}"), 0.5,
	    0.5, NULL);
	expect_scales(write_lora("c.safetensors", "lora_adapter_metadata",
	                  "{\"unet.lora_alpha\": 1, \"unet.alpha_pattern\": {\"attn1.to_k\": 8}}"),
	    0.5, 4, NULL);
	expect_scales(write_lora("d.safetensors", "lora_adapter_metadata",
	                  "{\"unet.lora_alpha\": 4, \"unet.use_rslora\": true, \"text_encoder.lora_alpha\": 9}"),
	    4 / sqrt(2), 4 / sqrt(2), NULL);
	expect_scales(write_lora("e.safetensors", "lora_alpha", "6"), 3, 3, NULL);
	expect_scales(write_lora("f.safetensors", "ss_network_alpha", "1.0"), 1, 1, "alpha 1 for rank 2");
	expect_scales(write_lora("g.safetensors", "lora_adapter_metadata", "{nonsense"), 1, 1, "no JSON");
}

static void alphas_beside_the_weights(void **state)
{
	(void)state;
	static const char config[] =
	    "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 3, \"alpha_pattern\": {\".*to_q\": 5}}";
	write_lora("adapter_model.safetensors", NULL, NULL);
	scratch_write("adapter_config.json", config, sizeof config - 1);
	expect_scales(scratch_path("adapter_model.safetensors"), 2.5, 1.5, NULL);
	expect_scales(scratch, 2.5, 1.5, NULL);
	scratch_write("adapter_config.json", "{", 1);
	error e = { 0 };
	adapter_list list = { 0 };
	assert_null(adapters_add(&list, family_by_name("sd1", NULL), scratch, NULL, &e));
	assert_says(e, "adapter_config.json");
	adapters_close(&list);
}

/* Patterns that could take long, or much memory, are not used, and a warning says so. */
static void costly_patterns(void **state)
{
	(void)state;
	static const char *const bad[] = { "((a*)*)*b", "(((x{99}){99}){99})", "(a)\\\\1to_q", "(a|aa)+to_q" };
	char metadata[1000], deep[700];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(metadata, sizeof metadata, "{\"unet.lora_alpha\": 1, \"unet.alpha_pattern\": {\"%s\": 8}}", bad[i]);
		expect_scales(write_lora("a.safetensors", "lora_adapter_metadata", metadata), 0.5, 0.5, "too costly");
	}
	memset(deep, '(', 600);
	deep[600] = 0;
	snprintf(metadata, sizeof metadata, "{\"unet.lora_alpha\": 1, \"unet.alpha_pattern\": {\"%s\": 8}}", deep);
	expect_scales(write_lora("b.safetensors", "lora_adapter_metadata", metadata), 0.5, 0.5, "too long");
	expect_scales(write_lora("c.safetensors", "lora_adapter_metadata",
	                  "{\"unet.lora_alpha\": 1, \"unet.alpha_pattern\": {\"attn1.to_(q|k)\": 8}}"),
	    4, 4, NULL);
}

typedef struct factors {
	const char *module;
	int out, in;
} factors;

static const char *write_modules(const factors *list, int count)
{
	static float values[2 * 2048];
	error e = { 0 };
	char name[200];
	weights_writer *w = weights_writer_new(scratch_path("modules.safetensors"), &e);
	for (int write = 0; write < 2; write++)
		for (int i = 0; i < 2 * count; i++) {
			const factors *f = &list[i / 2];
			int64_t down[] = { 2, f->in }, up[] = { f->out, 2 };
			snprintf(name, sizeof name, "%s.%s.weight", f->module, i % 2 ? "lora_up" : "lora_down");
			size_t bytes = sizeof(float) * 2 * (size_t)(i % 2 ? f->out : f->in);
			assert_true(write ? weights_writer_append(w, values, bytes, &e)
			                  : weights_writer_declare(w, name, F32, 2, i % 2 ? up : down, &e));
		}
	assert_true(weights_writer_finish(w, &e));
	return scratch_path("modules.safetensors");
}

/* Much of a Stable Diffusion 1 LoRA has the shapes of SDXL's layers; those that read the words have not. */
static void a_lora_of_another_kind_of_model(void **state)
{
	(void)state;
	static const factors list[] = { { "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q", 640,
		                                640 },
		{ "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", 640, 768 },
		{ "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_v", 640, 768 } };
	error e = { 0 };
	adapter_list files = { 0 };
	assert_null(adapters_add(&files, family_by_name("sdxl", NULL), write_modules(list, 3), NULL, &e));
	assert_says(e, "a model of another kind");
	e = (error){ 0 };
	assert_non_null(adapters_add(&files, family_by_name("sd1", NULL), write_modules(list, 3), NULL, &e));
	adapters_close(&files);
}

/* One layer under two names is changed once, by the first. */
static void one_layer_under_two_names(void **state)
{
	(void)state;
	static const factors list[] = { { "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", 320,
		                                320 },
		{ "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", 320, 320 },
		{ "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k", 320, 320 } };
	error e = { 0 };
	adapter_list files = { 0 };
	const adapter_file *a = adapters_add(&files, family_by_name("sd1", NULL), write_modules(list, 3), NULL, &e);
	if (!a) fail_saying("%s\n", e.text);
	assert_int_equal(lora_matched(a->set), 2);
	assert_int_equal(lora_unmatched(a->set), 1);
	assert_non_null(strstr(lora_unmatched_name(a->set, 0), "the same layer as lora_unet_"));
	adapters_close(&files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_lora_modules),
		cmocka_unit_test(lora_reports_what_matches_nothing),
		cmocka_unit_test(parts_in_every_spelling),
		cmocka_unit_test(misfits_are_set_aside),
		cmocka_unit_test(turns_many_blocks),
		cmocka_unit_test(changes_only_its_rows),
		IN_SCRATCH(alphas_in_metadata),
		IN_SCRATCH(alphas_beside_the_weights),
		IN_SCRATCH(costly_patterns),
		IN_SCRATCH(a_lora_of_another_kind_of_model),
		IN_SCRATCH(one_layer_under_two_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
