/* unet_changes.c - FreeU, PAG and DeepCache on the U-Net of sd1, case a. */
#include "goldens.h"
#include "arrays.h"
#include "models/config.h"
#include "models/unet_changes.h"
#include "trial.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench {
	unet_config config;
	arrays weights, io, cases;
	report *report;
} bench;

static tensor build(trial *t, const bench *b, denoiser_inputs in)
{
	nn *n = trial_nn(t);
	push(n->g, "model.diffusion_model");
	tensor out = unet(n, &b->config, in);
	pop(n->g);
	return out;
}

/* x, t and context of the file; of cases b and c, those of the U-Net's own goldens. */
static denoiser_inputs inputs_of(trial *t, const bench *b, const char *which)
{
	if (!*which)
		return (denoiser_inputs){ .x = trial_input(t, &b->io, "x"),
			.t = trial_input(t, &b->io, "t"),
			.context = trial_input(t, &b->io, "context") };
	return (denoiser_inputs){ .x = trial_input(t, &b->cases, "%s.x", which),
		.t = trial_input(t, &b->cases, "%s.t", which),
		.context = trial_input(t, &b->cases, "%s.context", which) };
}

static void free_u_case(
    const bench *b, const json_t *set, const char *number, const char *which, const char *rule, free_u kind)
{
	char name[64];
	snprintf(name, sizeof name, "freeu.%s.%s%s%s", number, which, *which ? "." : "", rule);
	if (!json_object_get(b->io.header, name)) return;
	unet_changes c = { .free_u = kind, .branch = -1 };
	static const char *const keys[] = { "b1", "b2", "s1", "s2" };
	for (int i = 0; i < 4; i++) (i < 2 ? c.b : c.s)[i & 1] = (float)json_number_value(json_object_get(set, keys[i]));
	trial *t = trial_new("guidance", REAL, &b->weights, NULL, 0);
	denoiser_inputs in = inputs_of(t, b, which);
	in.changes = &c;
	trial_expect(t, build(t, b, in), &b->io, "%s", name);
	trial_end(t, b->report, 1e-4);
}

/* "mid": all attention of these blocks perturbed; "up_1", "down_2_and_mid". */
static void pag_case(const bench *b, const char *layers)
{
	char text[64];
	const char *and = strstr(layers, "_and_");
	error e = { 0 };
	unet_changes c = { .branch = -1 };
	static const float zero = 0;
	snprintf(text, sizeof text, "%.*s%s%s", (int)(and? and-layers : (long)strlen(layers)), layers, and? "," : "",
	    and? and+5 : "");
	if (!perturbed_from_text(text, b->config.levels, &c.perturbed, &e)) {
		report_uncovered(b->report, layers, e.text);
		return;
	}
	trial *t = trial_new("guidance", REAL, &b->weights, NULL, 0);
	denoiser_inputs in = inputs_of(t, b, "");
	in.changes = &c;
	in.keep = trial_value(t, "keep", F32, shape3(1, 1, 1), &zero);
	tensor out = build(t, b, in);
	trial_expect(t, out, &b->io, "pag.%s.perturbed", layers);
	/* the formulas, on the file's own outputs */
	graph *g = trial_nn(t)->g;
	const float *scale = array_of(&b->io, NULL, "pag.scale"), *cfg = array_of(&b->io, NULL, "pag.cfg_scale");
	tensor u = trial_input(t, &b->io, "pag.uncond_out"), cond = trial_input(t, &b->io, "out");
	tensor pag = affine(g, sub(g, cond, out), *scale, 0);
	trial_expect(t, add(g, cond, pag), &b->io, "pag.%s.pag_only", layers);
	trial_expect(t, add(g, add(g, u, affine(g, sub(g, cond, u), *cfg, 0)), pag), &b->io, "pag.%s.guided", layers);
	trial_end(t, b->report, 1e-4);
}

/* Step i of a row: those that are not whole take the feature of the last one that was, which the same graph makes. */
static void deep_cache_step(const bench *b, int branch, int interval, int i)
{
	trial *t = trial_new("guidance", REAL, &b->weights, NULL, 0);
	graph *g = trial_nn(t)->g;
	int whole = i - i % interval;
	tensor feature = 0, context = trial_input(t, &b->io, "context");
	const float *times = array_of(&b->io, NULL, "deepcache.t");
	float at[2][2] = { { times[whole], times[whole] }, { times[i], times[i] } };
	unet_changes full = { .branch = branch, .feature = &feature };
	denoiser_inputs in = { .x = trial_input(t, &b->io, "deepcache.x.%d", whole),
		.t = trial_value(t, "t0", F32, shape1(2), at[0]),
		.context = context,
		.changes = &full };
	tensor out = build(t, b, in);
	if (whole != i) {
		unet_changes shallow = { .branch = branch, .shallow = true, .cached = cast(g, feature, REAL) };
		in.x = trial_input(t, &b->io, "deepcache.x.%d", i);
		in.t = trial_value(t, "t1", F32, shape1(2), at[1]);
		in.changes = &shallow;
		out = build(t, b, in);
	}
	trial_expect(t, out, &b->io, "deepcache.branch%d.interval%d.out.%d", branch, interval, i);
	trial_end(t, b->report, 1e-4);
}

void golden_unet_changes(const char *dir, report *r)
{
	json_t *sets = json_of(path_of(dir, "guidance/unet.json")), *config = json_of(path_of(dir, "sd1/config.json")),
	       *set;
	bench b = { .report = r };
	error e = { 0 };
	const char *number, *layers, *key;
	if (sets && unet_config_from_json(json_object_get(config, "unet"), &b.config, &e)) {
		b.weights = arrays_open(path_of(dir, "sd1/model.safetensors"));
		b.io = arrays_open(path_of(dir, "guidance/unet.io.safetensors"));
		b.cases = arrays_open(path_of(dir, "sd1/unet.io.safetensors"));
		json_object_foreach(json_object_get(sets, "freeu"), number, set) for (int i = 0; i < 3; i++)
		{
			static const char *const which[] = { "", "b", "c" };
			free_u_case(&b, set, number, which[i], "out_diffusers", FREE_U_BY_BLOCK);
			free_u_case(&b, set, number, which[i], "out_original_rule", FREE_U);
			free_u_case(&b, set, number, which[i], "out_v2", FREE_U_2);
		}
		json_object_foreach(json_object_get(json_object_get(sets, "pag"), "layers"), layers, set) pag_case(&b, layers);
		json_object_foreach(b.io.header, key, set)
		{
			int branch, interval, step;
			if (sscanf(key, "deepcache.branch%d.interval%d.out.%d", &branch, &interval, &step) == 3)
				deep_cache_step(&b, branch, interval, step);
		}
		arrays_close(&b.weights);
		arrays_close(&b.io);
		arrays_close(&b.cases);
	}
	json_decref(sets);
	json_decref(config);
}
