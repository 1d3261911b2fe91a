/* train.c - how near a step of training comes to what the machine can do.
 *
 *     bench-train MODEL [-s SIDE] [-b BATCH] [-t THREADS] [-r STEPS] [--type f32|bf16] [--recompute] [--profile FILE]
 *                 [--device cpu|cuda[:N]]
 *
 * MODEL: "small" (19 M parameters, self-attention at its two lower levels), or a family or JSON file as --model_config
 * takes it. A step is what `sumi train diffusion` does with cached latents and text states: forward, backward,
 * clipping, AdamW; the numbers are random, for time does not depend on them. What counts as work is three times the
 * forward products, whatever is computed again; the peak (peak.h) is measured before every step, and best is set
 * against best: others on the machine cost both. On a GPU no peak is measured. */
#include "peak.h"
#include "backend/backend.h"
#include "train/objective/diffusion.h"
#include "train/run/jobs.h"
#include "train/run/setup.h"
#include "train/run/stepper.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORDS = 77 };

static const char small_model[] = "{\"unet\": {\"model_channels\": 96, \"channel_mult\": [1, 2, 3], "
                                  "\"num_res_blocks\": 1, \"attention_resolutions\": [2, 4],"
                                  " \"num_heads\": 4, \"context_dim\": 256}, \"dd\": {\"ch_mult\": [1, 2, 4, 4]},"
                                  " \"text\": {\"hidden_size\": 256, \"num_attention_heads\": 4}}";

/* Whatever a family's denoiser reads: x, target, states of texts, sizes; timesteps, and a weight of 1. */
static bool fill_random(void *context, graph *g, const data_batch *b, error *e)
{
	generator random;
	generator_seed(&random, b->seeds[0]);
	for (int i = 1; i <= node_count(g); i++) {
		const node *t = node_of(g, (tensor)i);
		if (t->op != INPUT) continue;
		size_t n = shape_count(t->shape);
		float *to = malloc((n + 1) * sizeof *to);
		if (!to) return fail(e, NO_MEMORY, "no memory for a batch");
		random_normal(&random, to, n);
		for (size_t k = 0; !strcmp(t->name, "t") && k < n; k++) to[k] = (float)(k * 97 % 1000);
		for (size_t k = 0; !strcmp(t->name, "weight") && k < n; k++) to[k] = 1;
		bool fine = graph_write(g, (tensor)i, to, e);
		free(to);
		if (!fine) return false;
	}
	(void)context;
	return true;
}

/* FLOP of the forward pass alone. */
static double forward_flop(diffusion *d, int batch, int side, dtype compute, error *e)
{
	graph *g = graph_new(compute);
	nn n = { .g = g };
	keep(g, diffusion_build(d, &n, batch, side, side));
	double flop = 0;
	if (graph_bind(g, learner_bind, &d->learner, e) && graph_compile(g, backend_cpu(), 1, e)) flop = graph_flop(g);
	graph_free(g);
	return flop;
}

typedef struct settings {
	const char *model, *profile;
	int side, batch, steps;
} settings;

static bool bench(const settings *s, train_options *o, error *e)
{
	diffusion d = { .options = o };
	task t = { .learner = &d.learner, .context = &d, .build = diffusion_build, .fill = fill_random };
	dtype compute = strcmp(o->mixed_precision, "bf16") ? REAL : BF16;
	int threads = threads_of(o);
	/* One thread is timed by the processor: others may run at the same time. */
	watch clock = { threads == 1 && !strcmp(o->device, "cpu"), threads };
	team *alone = team_join(e);
	const backend *home = d.learner.backend = backend_named(o->device, e);
	bool fine = alone && home &&
	            family_from_option(strcmp(s->model, "small") ? s->model : small_model, &d.learner.family, e) &&
	            learner_add_part(&d.learner, DENOISER, true, NULL, NULL, 1, e);
	for (int k = 0; fine && k < TEXT_ENCODERS; k++)
		if (d.learner.family.text[k].kind) d.conditions.texts.tokens[k] = WORDS;
	double flop = fine ? 3 * forward_flop(&d, s->batch, s->side, compute, e) : 0;
	stepper *steps = fine ? stepper_new(&t, o, alone, threads, e) : NULL;
	double machine = 0, best = 1e30, gradients_of_best = 0;
	fine = steps && stepper_prepare(steps, s->batch, s->side, s->side, e);
	if (fine && s->profile) stepper_profile(steps);
	for (int i = 0; fine && i <= s->steps; i++) { /* one more, which warms up */
		double burst = home->device ? 0 : peak(compute, &clock), start = seconds(&clock), middle;
		if (burst > machine) machine = burst;
		uint64_t seed = (uint64_t)i;
		data_batch b = { .count = s->batch, .height = s->side, .width = s->side, .seeds = &seed };
		step_result r = { .samples = s->batch };
		fine = stepper_gradients(steps, &b, &r.loss, e);
		middle = seconds(&clock);
		fine = fine && stepper_apply(steps, i, 1e-4, 1, &r, e) &&
		       (!home->device || home->device->sync(home->device->context, e));
		double taken = seconds(&clock) - start;
		if (i && taken < best) best = taken, gradients_of_best = middle - start;
	}
	if (fine) {
		printf("%s, %.1f M parameters, %d latents of %d×%d, %s, %s, %d threads, %.2f GB: %.2f images/s, %.1f GFLOP in "
		       "%.3f s "
		       "(%.3f for gradients, the rest for weights)",
		    s->model, 1e-6 * (double)learner_parameters(&d.learner, true), s->batch, s->side, s->side,
		    dtype_name(compute), home->device ? home->device->name : "cpu", threads,
		    1e-9 * (double)(stepper_arena_bytes(steps) + stepper_state_bytes(steps)), s->batch / best, 1e-9 * flop,
		    best, gradients_of_best);
		printf(machine > 0 ? ", %.1f GFLOP/s: %.1f %% of the peak, %.1f\n" : ", %.1f GFLOP/s\n", 1e-9 * flop / best,
		    100 * flop / best / machine, 1e-9 * machine);
	}
	FILE *to = fine && s->profile ? fopen(s->profile, "w") : NULL;
	if (to) stepper_dump(steps, to), fclose(to);
	stepper_free(steps);
	team_leave(alone, true);
	diffusion_close(&d);
	return fine;
}

int main(int argc, char **argv)
{
	settings s = { .side = 32, .batch = 4, .steps = 3 };
	train_options o;
	error e = { 0 };
	bool fine = train_options_make(&o, TRAIN_DIFFUSION, &e) &&
	            train_options_set(&o, TRAIN_DIFFUSION, "mixed_precision", "bf16", &e);
	for (int i = 1; fine && i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (argv[i][0] != '-')
			s.model = argv[i];
		else if (!strcmp(argv[i], "--recompute"))
			o.gradient_checkpointing = true;
		else if (!strcmp(argv[i], "-s"))
			s.side = atoi(value), i++;
		else if (!strcmp(argv[i], "-b"))
			s.batch = atoi(value), i++;
		else if (!strcmp(argv[i], "-r"))
			s.steps = atoi(value), i++;
		else if (!strcmp(argv[i], "-t"))
			o.threads = atoi(value), i++;
		else if (!strcmp(argv[i], "--device"))
			fine = train_options_set(&o, TRAIN_DIFFUSION, "device", value, &e), i++;
		else if (!strcmp(argv[i], "--profile"))
			s.profile = value, i++;
		else if (!strcmp(argv[i], "--type")) {
			fine = train_options_set(&o, TRAIN_DIFFUSION, "mixed_precision", strcmp(value, "bf16") ? "no" : "bf16", &e);
			i++;
		} else
			s.model = NULL, i = argc;
	}
	if (!s.model || s.side < 1 || s.batch < 1 || s.steps < 1) {
		fprintf(stderr, "usage: bench-train small|FAMILY|FILE.json [-s SIDE] [-b BATCH] [-t THREADS] [-r STEPS] "
		                "[--type f32|bf16] [--recompute] [--profile FILE] [--device cpu|cuda[:N]]\n");
		return 2;
	}
	fine = fine && bench(&s, &o, &e);
	if (!fine) fprintf(stderr, "bench-train: %s\n", e.text);
	train_options_free(&o);
	return (int)e.status;
}
