/* t5.c - T5's encoder against transformers: with and without a mask, hidden states, buckets of relative positions. */
#include "trial.h"
#include "backend/backend.h"
#include "models/t5.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number(const json_t *config, const char *key)
{
	return (int)json_integer_value(json_object_get(config, key));
}

static t5_config read_config(const json_t *j)
{
	return (t5_config){ .vocabulary = number(j, "vocab_size"),
		.width = number(j, "d_model"),
		.layers = number(j, "num_layers"),
		.inner = number(j, "d_ff"),
		.heads = number(j, "num_heads"),
		.head_width = number(j, "d_kv"),
		.buckets = number(j, "relative_attention_num_buckets"),
		.distance = number(j, "relative_attention_max_distance"),
		.epsilon = (float)json_number_value(json_object_get(j, "layer_norm_epsilon")) };
}

typedef struct hidden {
	trial *t;
	const arrays *io;
	int layers;
} hidden;

/* "…encoder.block.2." → "hidden.3": golden for the first 16 tokens of the first text. */
static void expect_block(void *context, const char *scope, tensor result)
{
	hidden *h = context;
	graph *g = trial_nn(h->t)->g;
	int block;
	const char *at = strstr(scope, "encoder.block.");
	if (!at || sscanf(at, "encoder.block.%d.", &block) != 1) return;
	if (block + 1 < h->layers) /* behind the last there is the final norm too */
		trial_expect(h->t, slice(g, slice(g, result, 0, 0, 1), 1, 0, 16), h->io, "hidden.%d", block + 1);
}

/* The mask as numbers; the caller frees *values. */
static tensor read_mask(trial *t, const arrays *io, float **values)
{
	dtype d;
	shape s;
	const void *data;
	if (!array_find(io, "attention_mask", &d, &s, &data) || d != I32) return 0;
	*values = malloc(shape_count(s) * sizeof **values);
	for (size_t i = 0; i < shape_count(s); i++) (*values)[i] = (float)((const int32_t *)data)[i];
	return trial_value(t, "attention_mask", F32, s, *values);
}

static void check_buckets(const t5_config *c, const arrays *io, report *r)
{
	enum { FAR = 299 };
	dtype d;
	shape s;
	const void *data;
	if (!array_find(io, "relative_position_bucket", &d, &s, &data) || shape_count(s) != 2 * FAR + 1) return;
	error e = { 0 };
	graph *g = graph_new(REAL);
	tensor first = relative_buckets(g, 1, FAR + 1, c->buckets, c->distance); /* 0 … 299 */
	tensor last = relative_buckets(g, FAR + 1, 1, c->buckets, c->distance);  /* 0 … -299 */
	keep(g, first);
	keep(g, last);
	int wrong = 2 * FAR + 1;
	int32_t after[FAR + 1], before[FAR + 1];
	if (graph_compile(g, backend_reference(), 1, &e) && graph_allocate(g, NULL, NULL, &e) &&
	    graph_run(g, NULL, NULL, &e) && graph_read(g, first, after, &e) && graph_read(g, last, before, &e))
		for (int i = 0; i <= FAR; i++) {
			wrong -= ((const int32_t *)data)[FAR + i] == after[i];
			if (i) wrong -= ((const int32_t *)data)[FAR - i] == before[i];
		}
	report_error(r, "text/t5 relative_position_bucket", wrong, 0);
	graph_free(g);
}

static void run(const char *dir, const char *name, const json_t *entry, dtype compute, report *r)
{
	char topic[128];
	snprintf(topic, sizeof topic, "text/%s", name);
	t5_config c = read_config(json_object_get(entry, "config"));
	arrays weights = arrays_open(path_of(dir, "text/%s", json_string_value(json_object_get(entry, "weights"))));
	arrays io = arrays_open(path_of(dir, "text/%s", json_string_value(json_object_get(entry, "io"))));
	if (compute != BF16) check_buckets(&c, &io, r);
	trial *t = trial_new(topic, compute, &weights, NULL, 0);
	nn *n = trial_nn(t);
	graph *g = n->g;
	push(g, "text_encoders.t5xxl.transformer");
	tensor ids = trial_input(t, &io, "input_ids");
	float *seen = NULL;
	tensor mask = read_mask(t, &io, &seen);
	hidden h = { t, &io, c.layers };
	n->block = expect_block;
	n->context = &h;
	if (compute == BF16 || c.layers != 3) n->block = NULL; /* one golden has hidden states */
	trial_expect(t, t5_encode(n, &c, ids, 0), &io, "last_hidden_state");
	n->block = NULL;
	if (mask) trial_expect(t, t5_encode(n, &c, ids, mask), &io, "last_hidden_state_masked");
	tensor brief = trial_input(t, &io, "input_ids_77");
	if (brief) trial_expect(t, t5_encode(n, &c, brief, 0), &io, "last_hidden_state_77");
	pop(g);
	/* scores are not divided by √d, which multiplies what bf16 rounds off queries and keys */
	trial_end(t, r, compute == BF16 ? 5e-2 : 1e-4);
	free(seen);
	arrays_close(&io);
	arrays_close(&weights);
}

void golden_t5(const char *dir, report *r)
{
	json_t *index = json_of(path_of(dir, "text/index.json")), *entry;
	const char *name;
	json_object_foreach(index, name, entry)
	{
		const char *file = json_string_value(json_object_get(entry, "weights"));
		if (!json_object_get(json_object_get(entry, "config"), "d_kv")) continue;
		if (!file || !exists(path_of(dir, "text/%s", file))) continue;
		run(dir, name, entry, REAL, r);
		run(dir, name, entry, BF16, r);
	}
	json_decref(index);
}
