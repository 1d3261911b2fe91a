/* lycoris_families.c - LoRA files of SDXL and Stable Diffusion 3 in every spelling, on the denoiser and on each text
 * encoder, where a checkpoint has fused what the files have apart. */
#include "tiny_family.h"
#include "trial.h"
#include "checkpoint/adapters.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench {
	const char *dir;
	arrays weights, io;
	family f;
	report *r;
} bench;

typedef struct file {
	const char *name;   /* of lycoris/NAME.safetensors */
	const char *prefix; /* of its goldens */
	bool texts;         /* it changes the text encoders, as the goldens say */
} file;

static trial *begin(const bench *b, const char *topic, const adapted *set)
{
	trial *t = trial_new(topic, REAL, &b->weights, set, 1);
	trial_bind(t, tiny_bind, (void *)(uintptr_t)&b->weights);
	return t;
}

static void denoise(const bench *b, const file *x, const char *topic, const adapted *set, const char *strength)
{
	trial *t = begin(b, topic, set);
	denoiser_inputs in = { .x = trial_input(t, &b->io, "x"), .t = trial_input(t, &b->io, "t") };
	in.context = trial_input(t, &b->io, "context");
	in.vector = trial_input(t, &b->io, "y");
	trial_expect(t, family_denoise(trial_nn(t), &b->f, in), &b->io, "%sout_%s", x->prefix, strength);
	trial_end(t, b->r, 1e-4);
}

/* Where the first end token of each row stands. */
static void find_ends(const int32_t *ids, shape s, int end, int32_t *ends)
{
	for (int n = 0; n < s.d[0]; n++) {
		int i = 0;
		while (i < s.d[1] - 1 && ids[n * s.d[1] + i] != end) i++;
		ends[n] = n * s.d[1] + i;
	}
}

static void encode(const bench *b, const char *topic, const adapted *set, const char *strength, int k)
{
	static const char *const sdxl[] = { "ids_clip_l", "ids_open_clip" }, *const sd3[] = { "ids_clip_l", "ids_clip_g",
		"ids_t5" };
	const text_config *c = &b->f.text[k];
	const char *ids_name = (b->f.conditioning == STACKED ? sd3 : sdxl)[k];
	dtype d;
	shape s;
	const void *ids;
	int32_t ends[16];
	tensor places = 0;
	if (!array_find(&b->io, ids_name, &d, &s, &ids) || s.d[0] > 16) {
		report_error(b->r, ids_name, INFINITY, 0);
		return;
	}
	trial *t = begin(b, topic, set);
	if (c->pooled) {
		find_ends(ids, s, c->end, ends);
		places = trial_value(t, "ends", I32, shape1(s.d[0]), ends);
	}
	text_states out = family_encode_text(trial_nn(t), &b->f, k, trial_input(t, &b->io, "%s", ids_name), places, -1);
	trial_expect(t, out.states, &b->io, c->kind == T5_TEXT ? "te%d_%s" : "te%d_penultimate_%s", k + 1, strength);
	if (out.pooled) trial_expect(t, out.pooled, &b->io, "te%d_pooled_%s", k + 1, strength);
	trial_end(t, b->r, 1e-4);
}

/* The changed weights that the golden lists, at strength 1. */
static void merge(const bench *b, const file *x, const char *topic, const adapted *set)
{
	char begins[64];
	const char *key;
	json_t *entry;
	int found = 0;
	trial *t = begin(b, topic, set);
	graph *g = trial_nn(t)->g;
	snprintf(begins, sizeof begins, "%smerged_1.0.", x->prefix);
	json_object_foreach(b->io.header, key, entry)
	{
		const char *name = key + strlen(begins);
		dtype d;
		shape s;
		const void *data;
		if (strncmp(key, begins, strlen(begins)) || !array_find(&b->weights, name, &d, &s, &data)) continue;
		if (!x->texts && family_role_of(&b->f, name) != DENOISER) continue;
		tensor w = param(g, name, s);
		set_trainable(g, w, true); /* so that it is computed by the run, and not folded */
		w = lora_merge(g, set, 1, name, cast(g, w, REAL));
		trial_expect(t, reshape(g, w, shape1((int)shape_count(s))), &b->io, "%s", key);
		found++;
	}
	if (!found) report_error(b->r, topic, INFINITY, 0);
	trial_end(t, b->r, 1e-5);
}

static void one(const bench *b, const file *x)
{
	error e = { 0 };
	char topic[128];
	adapter_list list = { 0 };
	snprintf(topic, sizeof topic, "lycoris/%s", x->name);
	if (!exists(path_of(b->dir, "%s.safetensors", topic))) return; /* a clone holds one spelling of each change */
	const adapter_file *a = adapters_add(&list, &b->f, path_of(b->dir, "%s.safetensors", topic), NULL, &e);
	if (!a) printf("      %s\n", e.text);
	for (int i = 0; a && i < lora_unmatched(a->set); i++) printf("      %s\n", lora_unmatched_name(a->set, i));
	report_error(b->r, topic, a ? lora_unmatched(a->set) : INFINITY, 0);
	for (int i = 0; a && i < 2; i++) {
		const adapted set = { a->set, i ? 0.7f : 1 };
		const char *strength = i ? "0.7" : "1.0";
		denoise(b, x, topic, &set, strength);
		for (int k = 0; x->texts && k < TEXT_ENCODERS; k++)
			if (b->f.text[k].kind != NO_TEXT) encode(b, topic, &set, strength, k);
		if (!i) merge(b, x, topic, &set);
	}
	adapters_close(&list);
}

/* How many heads the CLIP encoders have stands in NAME.json. */
static void model(const char *dir, const char *name, const char *known, const file *files, size_t count, report *r)
{
	error e = { 0 };
	bench b = { .dir = dir, .r = r };
	json_t *index = json_of(path_of(dir, "lycoris/%s.json", name));
	int heads[TEXT_ENCODERS] = { (int)json_integer_value(json_object_get(index, "te1_heads")),
		(int)json_integer_value(json_object_get(index, "te2_heads")) };
	b.weights = arrays_open(path_of(dir, "e2e/%s.safetensors", name));
	b.io = arrays_open(path_of(dir, "lycoris/%s.io.safetensors", name));
	bool fine = b.weights.header && b.io.header && heads[0] && heads[1];
	if (!fine) fail(&e, BAD_FILE, "e2e/%s, lycoris/%s.io or its heads are not here", name, name);
	if (fine && tiny_family(&b.weights, known, heads, &b.f, &e))
		for (size_t i = 0; i < count; i++) one(&b, &files[i]);
	else
		report_uncovered(r, path_of("lycoris", "%s", name), e.text);
	json_decref(index);
	arrays_close(&b.weights);
	arrays_close(&b.io);
}

void golden_lycoris_families(const char *dir, report *r)
{
	static const file sdxl[] = { { "sdxl_kohya", "", true }, { "sdxl_kohya_diffusers_names", "", false },
		{ "sdxl_peft", "", true }, { "sdxl_peft_metadata", "", false } };
	static const file sd3[] = { { "sd3_kohya", "kohya.", true }, { "sd3_peft", "peft.", false } };
	if (exists(path_of(dir, "lycoris/sdxl.io.safetensors"))) model(dir, "sdxl", "sdxl", sdxl, 4, r);
	if (exists(path_of(dir, "lycoris/sd3.io.safetensors"))) model(dir, "sd3", "sd3-medium", sd3, 2, r);
}
