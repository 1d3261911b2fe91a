/* lora.c - LoRA files on the sd1 model: merged in every spelling, and trained as a path of its own. */
#include "trial.h"
#include "models/config.h"
#include "models/lora_names.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench { /* what all cases share */
	const char *dir;
	family f;
	arrays weights, io;
	json_t *index;
	report *r;
} bench;

static lora *open_lora(const bench *b, const arrays *file, const char *name)
{
	error e = { 0 };
	lora *l = lora_new();
	lora_names *names = lora_names_new(&b->f, &e);
	const char *key;
	json_t *entry;
	json_object_foreach(file->header, key, entry)
	{
		dtype d;
		shape s;
		const void *data;
		if (array_find(file, key, &d, &s, &data)) lora_add(l, key, d, s, data, &e);
	}
	if (names) lora_resolve(l, lora_names_find, names, &e);
	lora_names_free(names);
	char topic[128];
	snprintf(topic, sizeof topic, "lora/%s: keys that match nothing", name);
	report_error(b->r, topic, failed(&e) ? INFINITY : lora_unmatched(l), 0);
	return l;
}

static tensor denoise(trial *t, const bench *b)
{
	const char *const names[] = { "x", "t", "context" };
	tensor in[3];
	for (int i = 0; i < 3; i++) in[i] = trial_input(t, &b->io, "%s", names[i]);
	return family_denoise(trial_nn(t), &b->f, (denoiser_inputs){ .x = in[0], .t = in[1], .context = in[2] });
}

static void merged(const bench *b, const char *name, const adapted *sets, int count, dtype compute, const char *golden)
{
	trial *t = trial_new(name, compute, &b->weights, sets, count);
	trial_expect(t, denoise(t, b), &b->io, "%s", golden);
	trial_end(t, b->r, compute == BF16 ? 3e-2 : 1e-4);
}

static void text(const bench *b, const char *name, const adapted *sets, int count, const char *golden)
{
	trial *t = trial_new(name, REAL, &b->weights, sets, count);
	tensor ids = trial_input(t, &b->io, "te_ids");
	trial_expect(t, family_encode_text(trial_nn(t), &b->f, 0, ids, 0, -1).states, &b->io, "%s", golden);
	trial_end(t, b->r, 1e-4);
}

/* ── training: the factors as parameters of their own, with frozen weights ── */
typedef struct training {
	lora_names *names;
	char *wanted[1024]; /* weights that the file adapts */
	int count;
} training;

static bool wants(void *context, const char *weight, shape s)
{
	(void)s;
	const training *t = context;
	for (int i = 0; i < t->count; i++)
		if (!strcmp(t->wanted[i], weight)) return true;
	return false;
}

/* A file's factors under the names that the trained path gives them, as a file of weights, and the gradients likewise.
 */
static json_t *rename_factors(const arrays *from, training *t, const char *lead)
{
	static const char *const endings[][2] = { { ".lora_down.weight", ".lora_down" },
		{ ".lora_up.weight", ".lora_up" } };
	json_t *header = json_object(), *entry;
	const char *key;
	json_object_foreach(from->header, key, entry)
	{
		for (int i = 0; i < 2; i++) {
			const char *end = strstr(key, endings[i][0]);
			if (!end || strncmp(key, lead, strlen(lead))) continue;
			char module[300], name[600];
			size_t n = strlen(lead);
			snprintf(module, sizeof module, "%.*s", (int)(end - key - (long)n), key + n);
			lora_target target = lora_names_find(t->names, module);
			if (!target.weight || t->count == 1024) continue;
			snprintf(name, sizeof name, "%s%s%s", lead, target.weight, endings[i][1]);
			json_object_set(header, name, entry);
			if (i || *lead) continue;
			t->wanted[t->count] = malloc(strlen(target.weight) + 1);
			strcpy(t->wanted[t->count++], target.weight);
		}
	}
	return header;
}

/* The index has l2 of each factor's gradient by module. */
static json_t *rename_summary(const bench *b, training *t)
{
	json_t *summary = json_object(), *entry;
	const char *module;
	json_object_foreach(json_object_get(b->index, "grad_summary_scale1"), module, entry)
	{
		lora_target target = lora_names_find(t->names, module);
		char name[600];
		if (!target.weight) continue;
		snprintf(name, sizeof name, "%s.lora_down", target.weight);
		json_object_set_new(summary, name, json_pack("{s:O}", "l2", json_object_get(entry, "down_l2")));
		snprintf(name, sizeof name, "%s.lora_up", target.weight);
		json_object_set_new(summary, name, json_pack("{s:O}", "l2", json_object_get(entry, "up_l2")));
	}
	return summary;
}

/* Weights and factors as one file: the binder looks them up in one place. */
typedef struct joined {
	arrays all;
	uint8_t *bytes;
} joined;

static joined join(const arrays *weights, const arrays *factors, json_t *names)
{
	joined j = { .bytes = malloc(weights->data_size + factors->data_size) };
	memcpy(j.bytes, weights->data, weights->data_size);
	memcpy(j.bytes + weights->data_size, factors->data, factors->data_size);
	j.all = (arrays){ .data = j.bytes, .data_size = weights->data_size + factors->data_size };
	j.all.header = json_deep_copy(weights->header);
	const char *key;
	json_t *entry;
	json_object_foreach(names, key, entry)
	{
		json_t *moved = json_deep_copy(entry), *offsets = json_object_get(moved, "data_offsets");
		for (size_t i = 0; i < 2; i++) {
			json_int_t at = json_integer_value(json_array_get(offsets, i)) + (json_int_t)weights->data_size;
			json_array_set_new(offsets, i, json_integer(at));
		}
		json_t *axes = json_object_get(moved, "shape"); /* a path's factors of 1×1 layers have two axes */
		if (json_array_size(axes) == 4 && json_integer_value(json_array_get(axes, 3)) == 1) {
			json_array_remove(axes, 3);
			json_array_remove(axes, 2);
		}
		json_object_set_new(j.all.header, key, moved);
	}
	return j;
}

static void train(const bench *b, const arrays *file)
{
	error e = { 0 };
	training state = { .names = lora_names_new(&b->f, &e) };
	if (!state.names) return;
	json_t *names = rename_factors(file, &state, ""), *summary = rename_summary(b, &state);
	arrays gradients = b->io; /* the same data, other names */
	gradients.header = rename_factors(&b->io, &state, "grad.");
	joined j = join(&b->weights, file, names);
	lora_training settings = { .rank = (int)json_integer_value(json_object_get(b->index, "rank")),
		.alpha = (float)json_number_value(json_object_get(b->index, "alpha")),
		.chosen = wants,
		.context = &state };
	trial *t = trial_new("lora/kohya as trained path", REAL, &j.all, NULL, 0);
	nn *n = trial_nn(t);
	n->training = &settings;
	tensor out = denoise(t, b);
	trial_expect(t, out, &b->io, "out_lora_1.0");
	tensor loss = mean_squared_error(n->g, out, trial_input(t, &b->io, "grad_target"));
	trial_expect(t, loss, &b->io, "grad_loss");
	trial_expect_gradients(t, loss, &gradients, summary);
	trial_end(t, b->r, 1e-4);
	json_decref(j.all.header);
	free(j.bytes);
	json_decref(gradients.header);
	json_decref(summary);
	json_decref(names);
	lora_names_free(state.names);
	for (int i = 0; i < state.count; i++) free(state.wanted[i]);
}

static void run(bench *b)
{
	arrays kohya = arrays_open(path_of(b->dir, "lora/kohya.safetensors"));
	arrays locon = arrays_open(path_of(b->dir, "lora/kohya_locon.safetensors"));
	arrays peft = arrays_open(path_of(b->dir, "lora/peft.safetensors"));
	lora *k = open_lora(b, &kohya, "kohya"), *c = open_lora(b, &locon, "kohya_locon"), *p = open_lora(b, &peft, "peft");
	merged(b, "lora/none", NULL, 0, REAL, "out_without");
	merged(b, "lora/kohya", &(adapted){ k, 0.7f }, 1, REAL, "out_lora_0.7");
	merged(b, "lora/kohya", &(adapted){ k, 0.7f }, 1, BF16, "out_lora_0.7");
	merged(b, "lora/kohya", &(adapted){ k, 1 }, 1, REAL, "out_lora_1.0");
	merged(b, "lora/peft", &(adapted){ p, 0.7f }, 1, REAL, "out_lora_0.7");
	merged(b, "lora/kohya with locon", (adapted[]){ { k, 0.7f }, { c, 0.7f } }, 2, REAL, "out_locon_0.7");
	text(b, "lora/none", NULL, 0, "te_without");
	text(b, "lora/kohya", &(adapted){ k, 0.7f }, 1, "te_lora_0.7");
	text(b, "lora/peft", &(adapted){ p, 0.7f }, 1, "te_lora_0.7");
	train(b, &kohya);
	lora_free(k), lora_free(c), lora_free(p);
	arrays_close(&kohya);
	arrays_close(&locon);
	arrays_close(&peft);
}

void golden_lora(const char *dir, report *r)
{
	if (!exists(path_of(dir, "lora/io.safetensors"))) return;
	error e = { 0 };
	bench b = { .dir = dir, .r = r, .index = json_of(path_of(dir, "lora/index.json")) };
	b.weights = arrays_open(path_of(dir, "sd1/model.safetensors"));
	b.io = arrays_open(path_of(dir, "lora/io.safetensors"));
	json_t *config = json_of(path_of(dir, "sd1/config.json"));
	char *json = json_dumps(config, 0);
	if (b.weights.header && json && family_from_json(json, &b.f, &e))
		run(&b);
	else
		report_uncovered(r, "lora", failed(&e) ? e.text : "sd1/ is not here");
	free(json);
	json_decref(config);
	json_decref(b.index);
	arrays_close(&b.io);
	arrays_close(&b.weights);
}
