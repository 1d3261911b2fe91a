/* text.c - text encoders against the original classes. */
#include "trial.h"
#include "models/config.h"
#include "models/diffusers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the weights' names begin with: the longest prefix before the part that the encoder names itself. */
static void find_prefix(const arrays *weights, const text_config *c, char *prefix, size_t size)
{
	const char *mark = c->kind == TRANSFORMER_TEXT ? "token_emb.weight"
	                   : c->clip.fused             ? "token_embedding.weight"
	                                               : "text_model.embeddings.token_embedding.weight";
	const char *key;
	json_t *entry;
	*prefix = 0;
	json_object_foreach(weights->header, key, entry)
	{
		size_t n = strlen(key), m = strlen(mark);
		if (n > m && !strcmp(key + n - m, mark)) snprintf(prefix, size, "%.*s", (int)(n - m - 1), key);
	}
}

/* i·T + the first place of the largest id, for each row i; the caller frees. */
static int32_t *end_positions(const arrays *io, int *rows)
{
	dtype d;
	shape s;
	const void *data;
	*rows = 0;
	if (!array_find(io, "input_ids", &d, &s, &data) || d != I32 || s.n != 2) return NULL;
	const int32_t *ids = data;
	int32_t *places = malloc((size_t)s.d[0] * sizeof *places);
	for (int i = 0; i < s.d[0]; i++) {
		int best = 0;
		for (int k = 1; k < s.d[1]; k++)
			if (ids[i * s.d[1] + k] > ids[i * s.d[1] + best]) best = k;
		places[i] = i * s.d[1] + best;
	}
	*rows = s.d[0];
	return places;
}

static void run_clip(trial *t, const text_config *c, const char *prefix, const arrays *io, const arrays *grad,
    const json_t *summary, const int32_t *ends, int rows)
{
	nn *n = trial_nn(t);
	graph *g = n->g;
	tensor ids = trial_input(t, io, "input_ids");
	push(g, "%s", prefix);
	clip_states s = clip_encode(n, &c->clip, ids, 1, true);
	tensor last = clip_final_norm(n, &c->clip, s.last);
	tensor end = trial_value(t, "ends", I32, shape1(rows), ends);
	trial_expect(t, last, io, "last_hidden_state");
	trial_expect(t, last, io, "last_ln");
	trial_expect(t, s.last, io, "last_raw");
	trial_expect(t, s.taken, io, "penultimate_raw");
	trial_expect(t, s.taken, io, "hidden_penultimate");
	trial_expect(t, clip_final_norm(n, &c->clip, s.taken), io, "penultimate_ln");
	for (int i = 0; i <= c->clip.layers; i++)
		if (json_object_get(io->header, "hidden.0"))
			trial_expect(t, clip_encode(n, &c->clip, ids, c->clip.layers - i, false).taken, io, "hidden.%d", i);
	if (json_object_get(io->header, "pooled"))
		trial_expect(t, clip_pooled(n, &c->clip, last, end, false), io, "pooled");
	if (json_object_get(io->header, "pooled_projected"))
		trial_expect(t, clip_pooled(n, &c->clip, last, end, true), io, "pooled_projected");
	tensor brief = trial_input(t, io, "input_ids_short");
	if (brief)
		trial_expect(t, clip_final_norm(n, &c->clip, clip_encode(n, &c->clip, brief, 0, false).taken), io,
		    "last_hidden_state_short");
	pop(g);
	if (!grad->header) return;
	tensor loss = mean_squared_error(g, cast(g, last, REAL), trial_input(t, grad, "target"));
	trial_expect(t, loss, grad, "loss");
	trial_expect_gradients(t, loss, grad, summary);
}

static void run_transformer(
    trial *t, const text_config *c, const char *prefix, const arrays *io, const arrays *grad, const json_t *summary)
{
	nn *n = trial_nn(t);
	graph *g = n->g;
	push(g, "%s", prefix);
	tensor states = transformer_encode(n, &c->transformer, trial_input(t, io, "input_ids"));
	tensor brief = trial_input(t, io, "input_ids_short");
	trial_expect(t, states, io, "embeddings");
	if (brief) trial_expect(t, transformer_encode(n, &c->transformer, brief), io, "embeddings_short");
	pop(g);
	if (!grad->header) return;
	tensor loss = mean_squared_error(g, cast(g, states, REAL), trial_input(t, grad, "target"));
	trial_expect(t, loss, grad, "loss");
	trial_expect_gradients(t, loss, grad, summary);
}

static void run(const char *dir, const char *name, const json_t *entry, dtype compute, report *r)
{
	error e = { 0 };
	text_config c;
	char topic[128], prefix[256];
	snprintf(topic, sizeof topic, "text/%s", name);
	if (!text_config_from_json(json_object_get(entry, "config"), &c, &e)) {
		report_uncovered(r, topic, e.text);
		return;
	}
	arrays weights = arrays_open(path_of(dir, "text/%s", json_string_value(json_object_get(entry, "weights"))));
	arrays io = arrays_open(path_of(dir, "text/%s", json_string_value(json_object_get(entry, "io"))));
	bool backward = compute != BF16 && exists(path_of(dir, "%s.grad.safetensors", topic));
	arrays grad = backward ? arrays_open(path_of(dir, "%s.grad.safetensors", topic)) : (arrays){ 0 };
	json_t *summary = backward ? json_of(path_of(dir, "%s.grad.json", topic)) : NULL;
	find_prefix(&weights, &c, prefix, sizeof prefix);
	int rows;
	int32_t *ends = end_positions(&io, &rows);
	trial *t = trial_new(topic, compute, &weights, NULL, 0);
	if (c.kind == CLIP_TEXT)
		run_clip(t, &c, prefix, &io, &grad, json_object_get(summary, "params"), ends, rows);
	else
		run_transformer(t, &c, prefix, &io, &grad, json_object_get(summary, "params"));
	trial_end(t, r, compute == BF16 ? 3e-2 : 1e-4);
	free(ends);
	json_decref(summary);
	arrays_close(&grad);
	arrays_close(&io);
	arrays_close(&weights);
}

/* The same encoder in Hugging Face's names: NAME.hf.config.json with the outputs of NAME. Its weights must be the
 * pieces that the layout of diffusers makes of the original ones. */
static int wrong_pieces(const arrays *original, const arrays *renamed, const text_config *c, const char *prefix)
{
	family f = { .text = { *c } };
	snprintf(f.prefix[TEXT_ENCODER], PREFIX_LENGTH, "%.60s", prefix);
	int wrong = 0;
	const char *key;
	json_t *entry;
	json_object_foreach(original->header, key, entry)
	{
		dtype d, foreign;
		shape s, t;
		const void *data, *found;
		key_piece pieces[MAX_PIECES];
		if (!array_find(original, key, &d, &s, &data)) continue;
		int count = diffusers_pieces(&f, TEXT_ENCODER, key, s, pieces);
		for (int i = 0; i < count; i++) {
			if (!array_find(renamed, pieces[i].name, &foreign, &t, &found) || !shape_same(t, pieces[i].shape)) {
				wrong++;
				continue;
			}
			size_t size = dtype_size(d), row = s.n ? shape_count(s) / (size_t)s.d[0] : 1;
			const char *from = (const char *)data + (size_t)pieces[i].first * row * size;
			if (!pieces[i].transposed)
				wrong += memcmp(from, found, shape_count(t) * size) != 0;
			else
				for (size_t k = 0; k < shape_count(t); k++) {
					size_t there = k % row * (size_t)s.d[0] + k / row;
					wrong += memcmp(from + k * size, (const char *)found + there * size, size) != 0;
				}
		}
	}
	return wrong;
}

static void run_renamed(const char *dir, const char *name, const json_t *entry, report *r)
{
	error e = { 0 };
	json_t *config = json_of(path_of(dir, "text/%s.hf.config.json", name));
	arrays weights = arrays_open(path_of(dir, "text/%s.hf.safetensors", name));
	arrays original = arrays_open(path_of(dir, "text/%s", json_string_value(json_object_get(entry, "weights"))));
	arrays io = arrays_open(path_of(dir, "text/%s", json_string_value(json_object_get(entry, "io")))), none = { 0 };
	text_config c, fused;
	char topic[128], prefix[256];
	if (config && weights.header && text_config_from_json(config, &c, &e) &&
	    text_config_from_json(json_object_get(entry, "config"), &fused, &e)) {
		int rows;
		int32_t *ends = end_positions(&io, &rows);
		snprintf(topic, sizeof topic, "text/%s.hf", name);
		if (json_object_get(weights.header, "text_projection.weight"))
			c.clip.projection = (int)json_integer_value(json_object_get(config, "projection_dim"));
		trial *t = trial_new(topic, REAL, &weights, NULL, 0);
		run_clip(t, &c, "", &io, &none, NULL, ends, rows);
		trial_end(t, r, 1e-4);
		free(ends);
		find_prefix(&original, &fused, prefix, sizeof prefix);
		snprintf(topic, sizeof topic, "text/%s.hf: weights that differ from the renamed ones", name);
		report_error(r, topic, wrong_pieces(&original, &weights, &fused, prefix), 0);
	}
	arrays_close(&io);
	arrays_close(&original);
	arrays_close(&weights);
	json_decref(config);
}

void golden_text(const char *dir, report *r)
{
	json_t *index = json_of(path_of(dir, "text/index.json")), *entry;
	const char *name;
	json_object_foreach(index, name, entry)
	{
		const char *file = json_string_value(json_object_get(entry, "weights"));
		if (!file || !exists(path_of(dir, "text/%s", file))) continue;
		if (json_object_get(json_object_get(entry, "config"), "d_kv")) continue; /* T5: t5.c */
		run(dir, name, entry, REAL, r);
		if (exists(path_of(dir, "text/%s.hf.config.json", name))) run_renamed(dir, name, entry, r);
		run(dir, name, entry, BF16, r);
	}
	json_decref(index);
}
