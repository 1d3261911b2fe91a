/* lycoris.c - every kind of adapter on the sd1 model, read from files as a user gives them and merged. */
#include "trial.h"
#include "checkpoint/adapters.h"
#include "checkpoint/merge.h"
#include "models/config.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench {
	const char *dir;
	family f;
	arrays weights;
	report *r;
} bench;

static void denoise(const bench *b, const arrays *inputs, const arrays *golden, const char *name, const adapted *set,
    const char *expected)
{
	const char *const names[] = { "x", "t", "context" };
	tensor in[3];
	trial *t = trial_new(name, REAL, &b->weights, set, 1);
	for (int i = 0; i < 3; i++) in[i] = trial_input(t, inputs, "%s", names[i]);
	trial_expect(t, family_denoise(trial_nn(t), &b->f, (denoiser_inputs){ .x = in[0], .t = in[1], .context = in[2] }),
	    golden, "%s", expected);
	trial_end(t, b->r, 1e-4);
}

static void text(const bench *b, const arrays *inputs, const char *name, const adapted *set, const char *expected)
{
	size_t n;
	if (!array_of(inputs, &n, "%s", expected)) return; /* the file changes no text encoder */
	trial *t = trial_new(name, REAL, &b->weights, set, 1);
	tensor ids = trial_input(t, inputs, "te_ids");
	trial_expect(t, family_encode_text(trial_nn(t), &b->f, 0, ids, 0, -1).states, inputs, "%s", expected);
	trial_end(t, b->r, 1e-4);
}

/* LyCORIS scales DoRA's lengths at other strengths, and merges all else as we do; `interp` is the way between. */
static void one(const bench *b, const arrays *inputs, const char *name)
{
	static const char *const doras[] = { "dora_out", "dora_in", "doha_dokr" };
	error e = { 0 };
	adapter_list list = { 0 };
	char topic[128], expected[128];
	bool dora = false;
	for (int i = 0; i < 3; i++) dora |= !strcmp(name, doras[i]);
	snprintf(topic, sizeof topic, "lycoris/%s", name);
	const adapter_file *a = adapters_add(&list, &b->f, path_of(b->dir, "lycoris/%s.safetensors", name), NULL, &e);
	if (!a) printf("      %s\n", e.text);
	if (a && lora_unmatched(a->set)) printf("      %s\n", lora_unmatched_name(a->set, 0));
	report_error(b->r, topic, a ? lora_unmatched(a->set) : INFINITY, 0);
	for (int k = 0; a && k < 2; k++) {
		adapted set = { a->set, k ? 0.7f : 1 };
		const char *way = dora && k ? "interp_" : "";
		snprintf(expected, sizeof expected, "%s.%sout_%s", name, way, k ? "0.7" : "1.0");
		denoise(b, inputs, inputs, topic, &set, expected);
		snprintf(expected, sizeof expected, "%s.%ste_%s", name, way, k ? "0.7" : "1.0");
		text(b, inputs, topic, &set, expected);
	}
	adapters_close(&list);
}

/* The weights of a checkpoint into which the file was merged, for the modules that the golden lists. */
static void merged(const bench *b, const arrays *inputs, const char *name, const char *strength)
{
	error e = { 0 };
	char file[4200], begin[64], topic[128];
	const char *key, *one_file = file;
	double worst = INFINITY;
	int compared = 0;
	json_t *entry, *index = json_of(path_of(b->dir, "lycoris/index.json"));
	snprintf(file, sizeof file, "%s:%s", path_of(b->dir, "lycoris/%s.safetensors", name), strength);
	snprintf(begin, sizeof begin, "%s.merged_%s.", name, strength);
	checkpoint *c = checkpoint_open(path_of(b->dir, "sd1/model.safetensors"), &e);
	if (c && checkpoint_merge(c, &one_file, 1, true, NULL, &e)) worst = 0;
	if (failed(&e)) printf("      %s\n", e.text);
	json_object_foreach(inputs->header, key, entry)
	{
		char module[128], weight_key[256];
		size_t n;
		if (strncmp(key, begin, strlen(begin)) || !c) continue;
		snprintf(module, sizeof module, "%.*s", (int)strcspn(key + strlen(begin), "."), key + strlen(begin));
		const json_t *known = json_object_get(json_object_get(index, "module_key"), module);
		snprintf(weight_key, sizeof weight_key, "%s%s", json_string_value(json_object_get(known, "checkpoint")),
		    strrchr(key, '.')); /* .weight or .bias */
		const weight *w = checkpoint_find(c, weight_key);
		const float *expected = array_of(inputs, &n, "%s", key);
		if (!w || weight_elements(w) != n)
			worst = INFINITY;
		else if (w->dtype == F32) /* a text encoder's stay in the file's type */
			worst = worse(worst, relative_max(w->data, expected, n)), compared++;
	}
	if (!compared) worst = INFINITY;
	snprintf(topic, sizeof topic, "lycoris/%s merged into the checkpoint at %s", name, strength);
	report_error(b->r, topic, worst, 1e-5);
	checkpoint_close(c);
	json_decref(index);
}

/* A PEFT folder, whose alpha stands in adapter_config.json. */
static void peft(const bench *b, const arrays *inputs)
{
	error e = { 0 };
	adapter_list list = { 0 };
	arrays golden = arrays_open(path_of(b->dir, "lycoris/peft_dora/io.safetensors"));
	const adapter_file *a = adapters_add(&list, &b->f, path_of(b->dir, "lycoris/peft_dora"), NULL, &e);
	if (!a) printf("      %s\n", e.text);
	report_error(b->r, "lycoris/peft_dora", a ? lora_unmatched(a->set) : INFINITY, 0);
	if (a) denoise(b, inputs, &golden, "lycoris/peft_dora", &(adapted){ a->set, 1 }, "out_1.0");
	if (a) denoise(b, inputs, &golden, "lycoris/peft_dora", &(adapted){ a->set, 0.7f }, "interp_out_0.7");
	adapters_close(&list);
	arrays_close(&golden);
}

void golden_lycoris(const char *dir, report *r)
{
	static const char *const names[] = { "loha", "lokr", "locon_tucker", "dora_out", "dora_in", "doha_dokr", "ia3",
		"oft", "oft_constraint_rescaled", "boft", "boft_rescaled", "full", "glora" };
	if (!exists(path_of(dir, "lycoris/io.safetensors"))) return;
	error e = { 0 };
	bench b = { .dir = dir, .r = r, .weights = arrays_open(path_of(dir, "sd1/model.safetensors")) };
	arrays inputs = arrays_open(path_of(dir, "lycoris/io.safetensors"));
	json_t *config = json_of(path_of(dir, "sd1/config.json"));
	char *json = json_dumps(config, 0);
	if (b.weights.header && json && family_from_json(json, &b.f, &e)) {
		for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
			one(&b, &inputs, names[i]);
			merged(&b, &inputs, names[i], "1.0");
			if (strncmp(names[i], "do", 2)) merged(&b, &inputs, names[i], "0.7"); /* not DoRA's, as above */
		}
		peft(&b, &inputs);
	} else {
		report_uncovered(r, "lycoris", failed(&e) ? e.text : "sd1/ is not here");
	}
	free(json);
	json_decref(config);
	arrays_close(&inputs);
	arrays_close(&b.weights);
}
