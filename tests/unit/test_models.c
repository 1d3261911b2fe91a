/* test_models.c - properties of the networks that the goldens do not show: odd sizes, recomputation, options of the
 * U-Net, adapters on fused weights, and errors. */
#include "backend/backend.h"
#include "models/config.h"
#include "models/lora_names.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ── weights made up from their names ── */
typedef struct made {
	struct made *next;
	char name[256];
	float *values;
	size_t count;
} made;

typedef struct model {
	made *list;
	const adapted *adapters;
	int adapter_count;
} model;

static float *weight_of(model *m, const char *name, size_t count)
{
	for (made *x = m->list; x; x = x->next)
		if (!strcmp(x->name, name)) return x->values;
	made *x = calloc(1, sizeof *x);
	snprintf(x->name, sizeof x->name, "%s", name);
	x->values = malloc(count * sizeof *x->values);
	x->count = count;
	parameter_fill(
	    &(parameter){ .name = name, .shape = shape1((int)count), .dtype = F32, .start = { UNIFORM_START, 0.2f } }, 7,
	    false, x->values);
	x->next = m->list;
	m->list = x;
	return x->values;
}

static bool bind_made(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	(void)e;
	model *m = context;
	if (lora_bind(m->adapters, m->adapter_count, name, d, data)) return true;
	*d = F32;
	*data = weight_of(m, name, shape_count(s));
	return true;
}

static void model_free(model *m)
{
	for (made *x = m->list, *next; x; x = next) {
		next = x->next;
		free(x->values);
		free(x);
	}
	m->list = NULL;
}

static void fill_input(graph *g, tensor t)
{
	if (!t || !graph_address(g, t)) return;
	size_t n = shape_count(shape_of(g, t));
	float *values = malloc(n * sizeof *values);
	parameter_fill(
	    &(parameter){ .name = "input", .shape = shape1((int)n), .dtype = F32, .start = { UNIFORM_START, 1 } }, 3, false,
	    values);
	convert(graph_address(g, t), REAL, values, F32, n);
	free(values);
}

static void prepare(graph *g, model *m)
{
	error e = { 0 };
	bool fine =
	    graph_bind(g, bind_made, m, &e) && graph_compile(g, backend_cpu(), 1, &e) && graph_allocate(g, NULL, NULL, &e);
	if (!fine) fail_msg("%s", e.text);
}

static void run(graph *g)
{
	error e = { 0 };
	if (!graph_run(g, NULL, NULL, &e)) fail_msg("%s", e.text);
}

/* ── the U-Net ── */
static const unet_config small = { .in_channels = 4,
	.out_channels = 4,
	.channels = 32,
	.levels = 3,
	.multiplier = { 1, 1, 2 },
	.blocks = { 1, 1, 1 },
	.attends = { false, true, true },
	.depth = { 1, 1, 1 },
	.middle_depth = 1,
	.heads = 4,
	.spatial_transformer = true,
	.context = 8,
	.groups = 32 };

/* The U-Net's result on fixed inputs, or on words [5,context] of the caller's; the caller frees. */
static float *denoise_words(model *m, const unet_config *c, int height, int width, const float *words)
{
	graph *g = graph_new(REAL);
	nn n = { .g = g, .adapters = m->adapters, .adapter_count = m->adapter_count };
	tensor x = input(g, "x", REAL, shape4(1, height, width, c->in_channels)), t = input(g, "t", REAL, shape1(1));
	tensor context = c->context ? input(g, "context", REAL, shape3(1, 5, c->context)) : 0;
	tensor y = unet(&n, c, (denoiser_inputs){ .x = x, .t = t, .context = context });
	keep(g, y);
	prepare(g, m);
	fill_input(g, x), fill_input(g, t), fill_input(g, context);
	if (words) convert(graph_address(g, context), REAL, words, F32, shape_count(shape_of(g, context)));
	run(g);
	assert_true(shape_same(shape_of(g, y), shape4(1, height, width, c->out_channels)));
	size_t count = shape_count(shape_of(g, y));
	float *values = malloc(count * sizeof *values);
	convert(values, F32, graph_address(g, y), REAL, count);
	for (size_t i = 0; i < count; i++) assert_true(isfinite(values[i]));
	graph_free(g);
	return values;
}

static float *denoise(model *m, const unet_config *c, int height, int width)
{
	return denoise_words(m, c, height, width, NULL);
}

static void takes_any_size(void **state)
{
	(void)state;
	model m = { 0 };
	static const int sizes[][2] = { { 7, 5 }, { 1, 1 }, { 9, 2 }, { 8, 8 } };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) free(denoise(&m, &small, sizes[i][0], sizes[i][1]));
	model_free(&m);
}

/* How maps of another size are made: which parameters that takes, and that all give a result of the input's size. */
static void resamples(void **state)
{
	(void)state;
	static const struct {
		resampling how;
		const char *down, *up; /* a parameter of each; NULL: there is none */
	} all[] = {
		{ BY_CONVOLUTION, "input_blocks.2.0.op.weight", "output_blocks.1.1.conv.weight" },
		{ BY_POOLING, NULL, NULL },
		{ BY_RESIDUAL_BLOCK, "input_blocks.2.0.in_layers.2.weight", "output_blocks.1.1.in_layers.2.weight" },
	};
	unet_config c = { .in_channels = 4,
		.out_channels = 4,
		.channels = 32,
		.levels = 2,
		.multiplier = { 1, 1 },
		.blocks = { 1, 1 },
		.heads = 4,
		.groups = 32 };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		c.resampling = all[i].how;
		graph *g = graph_new(REAL);
		nn n = { .g = g };
		tensor x = input(g, "x", REAL, shape4(1, 8, 6, 4)), t = input(g, "t", REAL, shape1(1));
		tensor y = unet(&n, &c, (denoiser_inputs){ .x = x, .t = t });
		assert_int_equal(graph_error(g)->status, OK);
		assert_true(shape_same(shape_of(g, y), shape4(1, 8, 6, 4)));
		for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
			assert_int_equal(all[k].down && find(g, all[k].down) != 0, k == i && all[k].down);
			assert_int_equal(all[k].up && find(g, all[k].up) != 0, k == i && all[k].up);
		}
		graph_free(g);
	}
}

/* Gradients with and without recomputation are the same bits. */
static float *gradients_of_weight(model *m, bool recompute, size_t *arena, size_t *count)
{
	graph *g = graph_new(REAL);
	graph_recompute(g, recompute);
	nn n = { .g = g };
	tensor x = input(g, "x", REAL, shape4(1, 8, 8, 4)), t = input(g, "t", REAL, shape1(1));
	tensor context = input(g, "context", REAL, shape3(1, 5, 8));
	tensor loss = mean_squared_error(g, unet(&n, &small, (denoiser_inputs){ .x = x, .t = t, .context = context }), x),
	       d;
	tensor w = find(g, "input_blocks.1.0.in_layers.2.weight");
	set_trainable(g, w, true);
	assert_true(gradients(g, loss, &w, 1, &d));
	prepare(g, m);
	*arena = graph_arena_bytes(g);
	fill_input(g, x), fill_input(g, t), fill_input(g, context);
	run(g);
	*count = shape_count(shape_of(g, d));
	float *values = malloc(*count * sizeof *values);
	convert(values, F32, graph_address(g, d), REAL, *count);
	graph_free(g);
	return values;
}

static void recomputes_to_the_bit(void **state)
{
	(void)state;
	model m = { 0 };
	size_t stored, recomputed, count;
	float *a = gradients_of_weight(&m, false, &stored, &count), *b = gradients_of_weight(&m, true, &recomputed, &count);
	assert_memory_equal(a, b, count * sizeof *a);
	assert_true(recomputed < stored);
	free(a), free(b);
	model_free(&m);
}

/* The two orders of a fused qkv hold the same rows at other places. */
static void orders_of_qkv_agree(void **state)
{
	(void)state;
	unet_config c = small, d;
	c.spatial_transformer = false;
	c.context = 0;
	d = c;
	d.new_order = true;
	model m = { 0 }, other = { 0 };
	float *a = denoise(&m, &c, 8, 8);
	for (made *x = m.list; x; x = x->next) {
		float *to = weight_of(&other, x->name, x->count);
		memcpy(to, x->values, x->count * sizeof *to);
		if (!strstr(x->name, ".qkv.")) continue;
		bool bias = strstr(x->name, "bias") != NULL;
		size_t width = bias ? x->count / 3 : (size_t)sqrt((double)x->count / 3), in = bias ? 1 : width,
		       head = width / 4;
		for (size_t h = 0; h < 4; h++)
			for (size_t kind = 0; kind < 3; kind++)
				for (size_t i = 0; i < head * in; i++)
					to[(kind * width + h * head) * in + i] = x->values[(h * 3 + kind) * head * in + i];
	}
	float *b = denoise(&other, &d, 8, 8);
	for (int i = 0; i < 8 * 8 * 4; i++) assert_float_equal(a[i], b[i], 1e-4);
	free(a), free(b);
	model_free(&m), model_free(&other);
}

/* With an embedding layer of zeros, scale and shift do nothing and neither does the plain sum. */
static void scale_and_shift_of_nothing(void **state)
{
	(void)state;
	unet_config c = small;
	c.scale_shift = true;
	model m = { 0 }, other = { 0 };
	float *a, *b;
	free(denoise(&m, &small, 4, 4));
	free(denoise(&other, &c, 4, 4));
	for (made *x = m.list; x; x = x->next)
		if (strstr(x->name, "emb_layers")) memset(x->values, 0, x->count * sizeof *x->values);
	for (made *x = other.list; x; x = x->next)
		if (strstr(x->name, "emb_layers")) memset(x->values, 0, x->count * sizeof *x->values);
	a = denoise(&m, &small, 4, 4);
	b = denoise(&other, &c, 4, 4);
	for (int i = 0; i < 4 * 4 * 4; i++) assert_float_equal(a[i], b[i], 1e-4);
	free(a), free(b);
	model_free(&m), model_free(&other);
}

/* Where cross-attention adds nothing, words count through the first of them alone, and only where it is pooled. */
static void pools_the_first_word(void **state)
{
	(void)state;
	unet_config plain = small, c = small;
	c.pooled_context = true;
	for (int pools = 0; pools < 2; pools++) {
		const unet_config *own = pools ? &c : &plain;
		model m = { 0 };
		free(denoise(&m, own, 4, 4));
		for (made *x = m.list; x; x = x->next)
			if (strstr(x->name, "attn2.to_v")) memset(x->values, 0, x->count * sizeof *x->values);
		float words[5 * 8] = { 0 };
		float *before = denoise_words(&m, own, 4, 4, words);
		words[8] = 3; /* the second word */
		float *second = denoise_words(&m, own, 4, 4, words);
		words[0] = 3;
		float *first = denoise_words(&m, own, 4, 4, words);
		assert_memory_equal(before, second, 4 * 4 * 4 * sizeof *before);
		assert_int_equal(memcmp(second, first, 4 * 4 * 4 * sizeof *before) != 0, pools);
		free(before), free(second), free(first);
		model_free(&m);
	}
}

/* ── errors ── */
static void says_what_does_not_fit(void **state)
{
	(void)state;
	graph *g = graph_new(REAL);
	nn n = { .g = g };
	clip_config clip = { .vocabulary = 10,
		.positions = 8,
		.width = 8,
		.layers = 1,
		.heads = 2,
		.inner = 16,
		.activation = GELU_QUICK,
		.epsilon = 1e-5f };
	clip_encode(&n, &clip, input(g, "ids", I32, shape2(1, 9)), 0, false);
	assert_non_null(strstr(graph_error(g)->text, "9 tokens"));
	graph_free(g);
	g = graph_new(REAL);
	n.g = g;
	clip_encode(&n, &clip, input(g, "ids", I32, shape2(1, 8)), 2, false);
	assert_non_null(strstr(graph_error(g)->text, "skips 2"));
	graph_free(g);
	g = graph_new(REAL);
	n.g = g;
	denoiser_inputs in = { .x = input(g, "x", REAL, shape4(1, 4, 4, 3)), .t = input(g, "t", REAL, shape1(2)) };
	unet(&n, &small, in);
	error e = { 0 };
	assert_false(graph_compile(g, backend_cpu(), 1, &e)); /* a batch of 1 with two times */
	graph_free(g);
}

/* ── adapters on OpenCLIP's fused weight ── */
static const family open_clip = { .text[0] = { .kind = CLIP_TEXT,
	                                  .final_norm = true,
	                                  .clip = { .fused = true,
	                                      .vocabulary = 20,
	                                      .positions = 8,
	                                      .width = 16,
	                                      .layers = 1,
	                                      .heads = 2,
	                                      .inner = 32,
	                                      .activation = GELU,
	                                      .epsilon = 1e-5f } },
	.prefix = { [DENOISER] = "unet", [TEXT_ENCODER] = "text" },
	.denoiser.unet = { .in_channels = 4,
	    .out_channels = 4,
	    .channels = 32,
	    .levels = 1,
	    .multiplier = { 1 },
	    .blocks = { 1 },
	    .depth = { 1 },
	    .middle_depth = 1,
	    .heads = 4,
	    .spatial_transformer = true,
	    .context = 16,
	    .groups = 32 } };

static float *encode(model *m, const lora_training *training)
{
	graph *g = graph_new(REAL);
	nn n = { .g = g, .adapters = m->adapters, .adapter_count = m->adapter_count, .training = training };
	tensor ids = input(g, "ids", I32, shape2(1, 6)), y = family_encode_text(&n, &open_clip, 0, ids, 0, 0).states;
	keep(g, y);
	prepare(g, m);
	memcpy(graph_address(g, ids), (int32_t[]){ 1, 5, 3, 19, 0, 2 }, 6 * sizeof(int32_t));
	run(g);
	float *values = malloc(6 * 16 * sizeof *values);
	convert(values, F32, graph_address(g, y), REAL, 6 * 16);
	graph_free(g);
	return values;
}

static void adapts_rows_of_a_fused_weight(void **state)
{
	(void)state;
	enum { WIDTH = 16, RANK = 2 };
	float down[RANK * WIDTH], up[WIDTH * RANK];
	for (int i = 0; i < RANK * WIDTH; i++) down[i] = 0.1f * (float)(i % 5 - 2), up[i] = 0.2f * (float)(i % 3 - 1);
	error e = { 0 };
	lora *l = lora_new();
	lora_names *names = lora_names_new(&open_clip, &e);
	assert_non_null(names);
#define V_PROJ "lora_te_text_model_encoder_layers_0_self_attn_v_proj"
	assert_true(lora_add(l, V_PROJ ".lora_down.weight", F32, shape2(RANK, WIDTH), down, &e));
	assert_true(lora_add(l, V_PROJ ".lora_up.weight", F32, shape2(WIDTH, RANK), up, &e));
	assert_true(lora_resolve(l, lora_names_find, names, &e));
	assert_int_equal(lora_matched(l), 1);
	model adapted_model = { .adapters = &(adapted){ l, 0.5f }, .adapter_count = 1 }, changed = { 0 };
	float *a = encode(&adapted_model, NULL), *before = encode(&changed, NULL);
	float *w = weight_of(&changed, "text.transformer.resblocks.0.attn.in_proj_weight", 3 * WIDTH * WIDTH);
	for (int i = 0; i < WIDTH; i++)
		for (int k = 0; k < WIDTH; k++)
			for (int r = 0; r < RANK; r++)
				w[(2 * WIDTH + i) * WIDTH + k] += 0.5f * up[i * RANK + r] * down[r * WIDTH + k];
	float *b = encode(&changed, NULL);
	double difference = 0;
	for (int i = 0; i < 6 * WIDTH; i++) {
		assert_float_equal(a[i], b[i], 1e-5);
		difference += fabs((double)(b[i] - before[i]));
	}
	assert_true(difference > 1e-3);
	free(a), free(b), free(before);
	lora_free(l);
	lora_names_free(names);
	model_free(&adapted_model), model_free(&changed);
}

static bool only_attention(void *context, const char *weight, shape s)
{
	(void)context, (void)s;
	return strstr(weight, ".attn.") != NULL;
}

static void adds_paths_to_train(void **state)
{
	(void)state;
	graph *g = graph_new(REAL);
	lora_training training = { .rank = 2, .alpha = 1, .dropout = 0.1f, .chosen = only_attention };
	nn n = { .g = g, .training = &training };
	family_encode_text(&n, &open_clip, 0, input(g, "ids", I32, shape2(1, 6)), 0, 0);
	assert_int_equal(graph_error(g)->status, OK);
	tensor down = find(g, "text.transformer.resblocks.0.attn.in_proj_weight.lora_down");
	tensor up = find(g, "text.transformer.resblocks.0.attn.in_proj_weight.lora_up");
	tensor mask = find(g, "text.transformer.resblocks.0.attn.out_proj.weight.lora_dropout");
	assert_true(down && up && mask);
	assert_true(node_of(g, down)->trainable && shape_same(shape_of(g, up), shape2(48, 2)));
	assert_true(shape_same(shape_of(g, mask), shape3(1, 6, 2)));
	assert_false(find(g, "text.transformer.resblocks.0.mlp.c_fc.weight.lora_down"));
	graph_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_any_size),
		cmocka_unit_test(resamples),
		cmocka_unit_test(recomputes_to_the_bit),
		cmocka_unit_test(orders_of_qkv_agree),
		cmocka_unit_test(scale_and_shift_of_nothing),
		cmocka_unit_test(pools_the_first_word),
		cmocka_unit_test(says_what_does_not_fit),
		cmocka_unit_test(adapts_rows_of_a_fused_weight),
		cmocka_unit_test(adds_paths_to_train),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
