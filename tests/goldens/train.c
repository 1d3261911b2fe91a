/* train.c - training against PyTorch: the same batches, noise and times give the same losses, gradient norms, weights,
 * moments and averages after some steps of AdamW. */
#include "arrays.h"
#include "goldens.h"
#include "train/objective/diffusion.h"
#include "train/optimize/rate.h"
#include "train/run/snapshot.h"
#include "train/run/stepper.h"
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct trace {
	diffusion job;
	arrays start, values;
	json_t *json;
	train_options options;
	float **constant; /* [trained] averages with a constant decay */
	double worst_input;
	team *team;
	stepper *stepper;
	const char *name;
} trace;

static bool lookup_array(void *context, const char *key, dtype *d, shape *s, const void **at)
{
	const void *unused;
	return array_find(context, key, d, s, at ? at : &unused);
}

/* [N,C,P] → [N,P,C] */
static void channels_last(const float *from, int n, int c, int p, float *to)
{
	for (int i = 0; i < n; i++)
		for (int k = 0; k < c; k++)
			for (int j = 0; j < p; j++) to[(i * p + j) * c + k] = from[(i * c + k) * p + j];
}

/* Batch number b->index[0] of the file. */
static bool fill_inputs(void *context, graph *g, const data_batch *b, error *e)
{
	trace *t = context;
	int step = (int)b->index[0];
	char name[32];
	snprintf(name, sizeof name, "t.%d", step);
	dtype d;
	shape s;
	const void *times;
	const float *latents = array_of(&t->values, NULL, "latents.%d", step);
	const float *noise = array_of(&t->values, NULL, "noise.%d", step);
	const float *context_of = array_of(&t->values, NULL, "context.%d", step);
	if (!latents || !noise || !context_of || !array_find(&t->values, name, &d, &s, &times))
		return fail(e, BAD_FILE, "%s: batch %d is not whole", t->name, step);
	shape x = shape_of(g, find(g, "x"));
	int places = x.d[1] * x.d[2], channels = x.d[3];
	size_t each = (size_t)places * (size_t)channels, all = each * (size_t)x.d[0];
	float *buffers = malloc(6 * all * sizeof *buffers), *clean = buffers, *spread = buffers + all;
	float *noised = buffers + 4 * all, *target = buffers + 5 * all, time[64], importance[64];
	channels_last(latents, x.d[0], channels, places, clean);
	channels_last(noise, x.d[0], channels, places, spread);
	for (int i = 0; i < x.d[0]; i++) {
		convert(&time[i], F32, (const char *)times + (size_t)i * dtype_size(d), d, 1);
		importance[i] = (float)noise_latent(&t->job.noising, (double)time[i], clean + (size_t)i * each,
		    spread + (size_t)i * each, each, noised + (size_t)i * each, target + (size_t)i * each);
	}
	const float *x_t = array_of(&t->values, NULL, "x_t.%d", step),
	            *goal = array_of(&t->values, NULL, "target.%d", step);
	if (x_t && goal) {
		channels_last(x_t, x.d[0], channels, places, buffers + 2 * all);
		channels_last(goal, x.d[0], channels, places, buffers + 3 * all);
		t->worst_input = worse(t->worst_input, relative_max(noised, buffers + 2 * all, all));
		t->worst_input = worse(t->worst_input, relative_max(target, buffers + 3 * all, all));
	}
	bool fine = graph_write(g, find(g, "x"), noised, e) && graph_write(g, find(g, "target"), target, e) &&
	            graph_write(g, find(g, "t"), time, e) && graph_write(g, find(g, "weight"), importance, e) &&
	            graph_write(g, find(g, "states.0"), context_of, e);
	free(buffers);
	return fine;
}

static bool text_is(const json_t *j, const char *key, const char *value)
{
	const char *s = json_string_value(json_object_get(j, key));
	return s && !strcmp(s, value);
}

static bool open_trace(trace *t, const char *dir, error *e)
{
	family *f = &t->job.learner.family;
	json_t *config = json_of(path_of(dir, "sd1/config.json"));
	char *text = config ? json_dumps(config, 0) : NULL;
	bool fine = text && family_from_json(text, f, e);
	free(text);
	json_decref(config);
	t->start = arrays_open(path_of(dir, "sd1/model.safetensors"));
	t->values = arrays_open(path_of(dir, "train/%s.safetensors", t->name));
	if (!fine || !t->start.header || !t->values.header || !train_options_make(&t->options, TRAIN_DIFFUSION, e))
		return fail(e, BAD_FILE, "a file is missing");
	f->prediction = text_is(t->json, "prediction", "v") ? PREDICT_VELOCITY : PREDICT_NOISE;
	t->options.max_grad_norm = json_number_value(json_object_get(t->json, "clip"));
	t->options.use_ema = true;
	t->job.options = &t->options;
	return noising_of(f, &t->options, &t->job.schedule, &t->job.noising, e) &&
	       learner_add_part(&t->job.learner, DENOISER, true, lookup_array, &t->start, 0, e);
}

static bool is_noise(const trace *t, const char *name)
{
	size_t i;
	json_t *item;
	json_array_foreach(json_object_get(t->json, "noise_gradient_params"), i,
	    item) if (!strcmp(json_string_value(item), name)) return true;
	return false;
}

/* ── the end ── */
static double difference(const float *a, const float *b, size_t n)
{
	double worst = 0;
	for (size_t i = 0; i < n; i++) {
		double d = fabs((double)a[i] - (double)b[i]);
		worst = worse(worst, d);
	}
	return worst;
}

static void compare_tensor(
    double *worst, const trace *t, const char *kind, const char *name, const float *found, size_t n)
{
	const float *expected = found ? array_of(&t->values, NULL, "%s.%s", kind, name) : NULL;
	if (expected && !is_noise(t, name)) *worst = worse(*worst, difference(found, expected, n));
}

static double length_of(const float *x, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
	return sqrt(sum);
}

static void compare_norm(
    double *worst, const trace *t, const char *kind, const char *name, const float *found, size_t n)
{
	const json_t *numbers = json_object_get(json_object_get(t->json, kind), name);
	if (!numbers || is_noise(t, name)) return;
	double expected = json_number_value(json_array_get(numbers, 1));
	*worst = worse(*worst, fabs(length_of(found, n) - expected) / fmax(expected, 1e-12));
}

/* Piece p of the optimizer's state of trained weight i, to a buffer that the caller frees. */
static float *moments_of(const trace *t, int i, int p, size_t n)
{
	optimizer_piece piece;
	float *values = malloc(n * sizeof *values);
	optimizer_state(stepper_optimizer(t->stepper), i, p, &piece);
	device_read(learner_backend(&t->job.learner)->device, values, piece.data, n * sizeof *values, NULL);
	return values;
}

static void report_state(const trace *t, report *r)
{
	static const char *const kinds[] = { "final", "ema_const", "ema_litema", "exp_avg", "exp_avg_sq" };
	double worst[5] = { 0 }, norms[3] = { 0 };
	const int *indices;
	int count = stepper_trained(t->stepper, &indices);
	for (int i = 0; i < count; i++) {
		const learner_weight *w = &t->job.learner.weights[indices[i]];
		size_t n = shape_count(w->shape);
		float *first = moments_of(t, i, 0, n), *second = moments_of(t, i, 1, n);
		const float *found[] = { w->value, t->constant[i], w->average, first, second };
		for (int k = 0; k < 5; k++) compare_tensor(&worst[k], t, kinds[k], w->name, found[k], n);
		compare_norm(&norms[0], t, "final", w->name, w->value, n);
		compare_norm(&norms[1], t, "ema_const_final", w->name, t->constant[i], n);
		compare_norm(&norms[2], t, "ema_litema_final", w->name, w->average, n);
		free(first);
		free(second);
	}
	char name[96];
	for (int k = 0; k < 5; k++) {
		snprintf(name, sizeof name, "train/%s %s", t->name, kinds[k]);
		report_error(r, name, worst[k], 1e-5);
	}
	for (int k = 0; k < 3; k++) {
		snprintf(name, sizeof name, "train/%s %s, norms of all weights", t->name, kinds[k]);
		report_error(r, name, norms[k], 5e-5);
	}
}

/* ── the steps ── */
static bool run_steps(trace *t, report *r, error *e)
{
	const json_t *losses = json_object_get(t->json, "losses"),
	             *norms = json_object_get(t->json, "grad_norm_before_clip");
	double worst_loss = 0, worst_norm = 0;
	learner *m = &t->job.learner;
	const int *indices;
	int count = stepper_trained(t->stepper, &indices);
	int64_t steps = (int64_t)json_array_size(losses);
	shape s;
	dtype d;
	const void *unused;
	if (!array_find(&t->values, "latents.0", &d, &s, &unused)) return fail(e, BAD_FILE, "no batch in it");
	for (int64_t step = 0; step < steps; step++) {
		data_batch b = { .count = s.d[0], .height = s.d[2], .width = s.d[3], .index = &step };
		step_result result = { 0 };
		if (!stepper_gradients(t->stepper, &b, &result.loss, e) ||
		    !stepper_apply(t->stepper, step, t->options.learning_rate, 1, &result, e) ||
		    !stepper_average(t->stepper, average_decay(0.999, step + 1), e) || !learner_download(m, e))
			return false;
		double loss = json_number_value(json_array_get(losses, (size_t)step));
		double norm = json_number_value(json_array_get(norms, (size_t)step));
		worst_loss = worse(worst_loss, fabs(result.loss - loss) / fabs(loss));
		worst_norm = worse(worst_norm, fabs(result.gradient_norm - norm) / fabs(norm));
		for (int i = 0; i < count; i++) {
			const learner_weight *w = &m->weights[indices[i]];
			for (size_t k = 0; k < shape_count(w->shape); k++)
				t->constant[i][k] = 0.999f * t->constant[i][k] + (float)(1 - 0.999) * w->value[k];
		}
	}
	char name[96];
	snprintf(name, sizeof name, "train/%s noised latents and targets", t->name);
	report_error(r, name, t->worst_input, 1e-5);
	snprintf(name, sizeof name, "train/%s losses of %d steps", t->name, (int)steps);
	report_error(r, name, worst_loss, 1e-5);
	snprintf(name, sizeof name, "train/%s gradient norms", t->name);
	report_error(r, name, worst_norm, 5e-5);
	report_state(t, r);
	return true;
}

static bool prepare(trace *t, const task *job, error *e)
{
	shape s, words;
	dtype d;
	const void *unused;
	if (!array_find(&t->values, "latents.0", &d, &s, &unused) ||
	    !array_find(&t->values, "context.0", &d, &words, &unused))
		return fail(e, BAD_FILE, "no batch in it");
	t->job.conditions.texts.tokens[0] = words.d[1];
	t->team = team_join(e);
	t->job.learner.backend = golden_backend();
	t->stepper = t->team ? stepper_new(job, &t->options, t->team, 2, e) : NULL;
	if (!t->stepper || !stepper_prepare(t->stepper, s.d[0], s.d[2], s.d[3], e)) return false;
	const int *indices;
	int count = stepper_trained(t->stepper, &indices);
	t->constant = calloc((size_t)count + 1, sizeof *t->constant);
	for (int i = 0; i < count; i++) {
		const learner_weight *w = &t->job.learner.weights[indices[i]];
		t->constant[i] = malloc(shape_count(w->shape) * sizeof(float));
		memcpy(t->constant[i], w->value, shape_count(w->shape) * sizeof(float));
	}
	return true;
}

static void run_trace(const char *dir, const char *name, report *r)
{
	error e = { 0 };
	trace t = { .name = name, .json = json_of(path_of(dir, "train/%s.json", name)) };
	task job = { .learner = &t.job.learner, .context = &t.job, .build = diffusion_build };
	job.fill = fill_inputs;
	/* fill_inputs wants the trace, diffusion_build the job: the job comes first in the trace. */
	bool fine = open_trace(&t, dir, &e) && prepare(&t, &job, &e) && run_steps(&t, r, &e);
	if (!fine) {
		char text[1200];
		snprintf(text, sizeof text, "train/%s: %s", name, e.text);
		report_error(r, text, NAN, 0);
	}
	const int *indices;
	int count = t.stepper ? stepper_trained(t.stepper, &indices) : 0;
	for (int i = 0; t.constant && i < count; i++) free(t.constant[i]);
	free(t.constant);
	stepper_free(t.stepper);
	team_leave(t.team, true);
	diffusion_close(&t.job);
	train_options_free(&t.options);
	arrays_close(&t.start);
	arrays_close(&t.values);
	json_decref(t.json);
}

void golden_train(const char *dir, report *r)
{
	DIR *folder = opendir(path_of(dir, "train"));
	if (!folder) return;
	for (struct dirent *entry; (entry = readdir(folder));) {
		char name[64];
		const char *end = strstr(entry->d_name, ".json");
		if (!end || end[5] || end - entry->d_name >= (long)sizeof name) continue;
		snprintf(name, sizeof name, "%.*s", (int)(end - entry->d_name), entry->d_name);
		run_trace(dir, name, r);
	}
	closedir(folder);
}
