/* fuzz_lora.c - any parts of any shapes as an adapter of one layer. What is taken must build: the graph finds nothing
 * wrong with it. The first byte chooses the layer; then, for each part, one byte chooses its ending, one how many axes,
 * and one each axis. */
#include "fuzz.h"
#include "nn/lora.h"
#include <stdio.h>

static lora_target layer;

static lora_target resolve(void *context, const char *module)
{
	(void)context, (void)module;
	return layer;
}

static void add_part(lora *l, const uint8_t **at, const uint8_t *end)
{
	static const char *const endings[] = { "alpha", "lora_down.weight", "lora_up.weight", "lora_mid.weight",
		"dora_scale", "lora_magnitude_vector", "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2",
		"lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2", "a1.weight", "a2.weight",
		"b1.weight", "b2.weight", "oft_blocks", "rescale", "diff", "diff_b", "on_input", "weight" };
	static float values[1 << 16];
	char key[64];
	error e = { 0 };
	shape s = { 0 };
	int which = *(*at)++ % (int)(sizeof endings / sizeof *endings), axes = *at < end ? *(*at)++ % (MAX_DIMS + 1) : 0;
	while (s.n < axes && *at < end) s.d[s.n++] = *(*at)++ % 17;
	if (shape_count(s) > sizeof values / sizeof *values) return;
	snprintf(key, sizeof key, "m.%s", endings[which]);
	if (!lora_add(l, key, F32, s, values, &e)) holds_message(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct {
		shape shape;
		int first, rows;
		bool bias, swapped;
	} layers[] = { { { 2, { 8, 6 } }, 0, 0, true, false }, { { 4, { 8, 6, 3, 3 } }, 0, 0, true, false },
		{ { 1, { 12 } }, 0, 0, true, false }, { { 2, { 12, 4 } }, 4, 4, true, false },
		{ { 2, { 16, 16 } }, 0, 0, false, true }, { { 4, { 16, 16, 1, 1 } }, 0, 0, false, false } };
	if (!size) return 0;
	int which = *data % (int)(sizeof layers / sizeof *layers);
	const uint8_t *at = data + 1;
	error e = { 0 };
	layer = (lora_target){ "w.weight", layers[which].shape, layers[which].first, layers[which].rows, layers[which].bias,
		layers[which].swapped };
	lora *l = lora_new();
	holds(l != NULL);
	while (at < data + size) add_part(l, &at, data + size);
	holds(lora_resolve(l, resolve, NULL, &e));
	graph *g = graph_new(REAL);
	adapted set = { .set = l, .strength = 0.7f };
	tensor w = lora_merge(g, &set, 1, "w.weight", cast(g, param(g, "w.weight", layer.shape), REAL));
	tensor b = lora_merge(g, &set, 1, "w.bias", cast(g, param(g, "w.bias", shape1(layer.shape.d[0])), REAL));
	holds(graph_error(g)->status == OK && w && b);
	holds(shape_same(shape_of(g, w), layer.shape) && dim(g, b, 0) == layer.shape.d[0]);
	graph_free(g);
	lora_free(l);
	return 0;
}
