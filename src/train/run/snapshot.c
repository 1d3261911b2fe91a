/* snapshot.c - training state to and from safetensors files. */
#include "train/run/snapshot.h"
#include "io/weights.h"
#include "train/run/folder.h"
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool declare(weights_writer *w, const char *name, dtype d, shape s, error *e)
{
	int64_t dims[MAX_DIMS];
	for (int i = 0; i < s.n; i++) dims[i] = s.d[i];
	return weights_writer_declare(w, name, d, s.n, dims, e);
}

static bool joined(char *to, size_t size, const char *kind, const char *name, error *e)
{
	int n = snprintf(to, size, "%s/%s", kind, name);
	return (n > 0 && (size_t)n < size) || fail(e, BAD_FILE, "the name '%s' is too long", name);
}

static bool put_config(weights_writer *w, const learner *m, error *e)
{
	char *config = family_to_json(&m->family);
	bool fine = config ? weights_writer_metadata(w, "sumi.config", config, e)
	                   : fail(e, NO_MEMORY, "no memory for the configuration");
	free(config);
	return fine && (!m->vocabulary || weights_writer_metadata(w, "sumi.vocabulary", m->vocabulary, e));
}

/* ── the training state, stored with the weights ── */
static bool put_state(weights_writer *w, const training_state *s, const train_options *how, error *e)
{
	json_t *j = json_pack("{sI sI sI sf sf sI sI si sI}", "step", (json_int_t)s->step, "batches",
	    (json_int_t)s->batches, "averaged", (json_int_t)s->averaged, "smoothed", s->smoothed, "seconds", s->seconds,
	    "seed", (json_int_t)s->seed, "optimizer_steps", (json_int_t)s->optimizer_steps, "ranks", s->ranks, "batch",
	    (json_int_t)s->batch);
	char *text = j && run_identity_put(&s->id, how, j) ? json_dumps(j, JSON_REAL_PRECISION(17)) : NULL;
	json_decref(j);
	bool fine = text ? weights_writer_metadata(w, "sumi.training", text, e)
	                 : fail(e, NO_MEMORY, "no memory for the training state");
	free(text);
	return fine;
}

/* The caller frees it with json_decref(); NULL: it has none. */
static json_t *state_in(const weights *w)
{
	const char *text = weights_metadata(w, "sumi.training");
	return text ? json_loads(text, 0, NULL) : NULL;
}

static bool get_state(const json_t *j, training_state *s)
{
	json_int_t step, batches, averaged, seed, optimizer_steps, batch;
	if (!j || json_unpack((json_t *)j, "{sI sI sI sF sF sI sI si sI}", "step", &step, "batches", &batches, "averaged",
	              &averaged, "smoothed", &s->smoothed, "seconds", &s->seconds, "seed", &seed, "optimizer_steps",
	              &optimizer_steps, "ranks", &s->ranks, "batch", &batch))
		return false;
	s->step = step;
	s->batches = batches;
	s->averaged = averaged;
	s->seed = seed;
	s->optimizer_steps = optimizer_steps;
	s->batch = batch;
	run_identity_get(&s->id, j);
	return true;
}

/* ── every array of a checkpoint, in one order for declaring, writing and reading ── */
typedef struct array {
	char name[512];
	dtype dtype;
	shape shape;
	void *data; /* in the backend's memory */
} array;

/* Array k of weight w, the trained one of index i; false past the last. */
static bool array_of(const learner_weight *w, const optimizer *o, int i, int k, array *a, error *e)
{
	a->dtype = F32;
	a->shape = w->shape;
	if (k == 0) {
		a->data = w->own_value;
		return snprintf(a->name, sizeof a->name, "%s", w->name) > 0;
	}
	if (k == 1 && w->average) {
		a->data = w->own_average;
		return joined(a->name, sizeof a->name, "average", w->name, e);
	}
	optimizer_piece p;
	if (!optimizer_state(o, i, k - 1 - (w->average != NULL), &p)) return false;
	a->dtype = p.dtype;
	a->shape = p.shape;
	a->data = p.data;
	return joined(a->name, sizeof a->name, p.name, w->name, e);
}

/* Writes an array, which another process may have to send first; the others take their part in that. */
static bool put_array(weights_writer *w, const array *a, const device *d, int holder, team *together, error *e)
{
	size_t bytes = dtype_bytes(a->dtype, shape_count(a->shape));
	bool first = team_rank(together) == 0;
	if (!first && holder != team_rank(together)) return true;
	if (first && !holder && !d) return weights_writer_append(w, a->data, bytes, e);
	void *host = malloc(bytes);
	bool fine = (host || fail(e, NO_MEMORY, "no memory for '%s'", a->name)) &&
	            (!a->data || device_read(d, host, a->data, bytes, e)) &&
	            (!holder || team_bring(together, holder, host, bytes, e)) &&
	            (!first || weights_writer_append(w, host, bytes, e));
	free(host);
	return fine;
}

bool snapshot_write(const char *dir, const learner *m, const int *trained, int count, const optimizer *o,
    const int *holder, team *together, const training_state *s, const train_options *how, error *e)
{
	error own = { 0 };
	char path[4096];
	snprintf(path, sizeof path, "%s/checkpoint-%lld.safetensors", dir, (long long)s->step);
	bool first = team_rank(together) == 0;
	weights_writer *w = first ? weights_writer_new(path, &own) : NULL;
	bool fine = !first || (w && put_config(w, m, &own) && put_state(w, s, how, &own));
	for (int write = !first; fine && write < 2; write++)
		for (int i = 0; fine && i < count; i++) {
			const learner_weight *x = &m->weights[trained[i]];
			array a;
			for (int k = 0; fine && array_of(x, o, i, k, &a, &own); k++) {
				bool shared = k <= (x->average != NULL); /* weight and average: every process has them */
				fine = write ? put_array(
				                   w, &a, learner_backend(m)->device, shared || !holder ? 0 : holder[i], together, &own)
				             : declare(w, a.name, a.dtype, a.shape, &own);
			}
			fine = fine && !failed(&own);
		}
	if (fine) return !first || weights_writer_finish(w, e);
	weights_writer_abort(w);
	return fail(e, own.status, "%s", own.text);
}

static bool restore(const weights *w, const array *a, const device *d, error *e)
{
	const weight *t = weights_need(w, a->name, e);
	if (!t) return false;
	size_t bytes = dtype_bytes(a->dtype, shape_count(a->shape));
	if (t->dtype != a->dtype || t->bytes != bytes)
		return fail(e, BAD_FILE, "%s: '%s' is %s of %zu bytes, this run has %s of %zu: other options than then?",
		    weights_path(w), a->name, t->type_name, t->bytes, dtype_name(a->dtype), bytes);
	return !a->data || device_write(d, a->data, t->data, bytes, e);
}

/* Rows of the embedding are tokens by number: with other tokens the run would go on, and all words mean another. */
static bool same_vocabulary(const weights *w, const learner *m, error *e)
{
	const char *then = weights_metadata(w, "sumi.vocabulary");
	if (!then || !m->vocabulary || !strcmp(then, m->vocabulary)) return true;
	return fail(e, BAD_USAGE,
	    "%s was made with another vocabulary than this run's: other captions than then? --vocabulary %s keeps that one",
	    weights_path(w), weights_path(w));
}

/* What the pictures gave when the run began: with other latents the weights would no longer fit. */
static bool same_scale(const weights *w, const learner *m, error *e)
{
	family then;
	const char *config = weights_metadata(w, "sumi.config");
	if (!config || !family_from_json(config, &then, e)) return !config;
	if (then.latent_scale == m->family.latent_scale) return true;
	return fail(e, BAD_USAGE,
	    "%s was made with latents scaled by %.9g, this run's are by %.9g: other pictures than then? "
	    "--latent_scale %.9g keeps that one",
	    weights_path(w), (double)then.latent_scale, (double)m->family.latent_scale, (double)then.latent_scale);
}

static bool read_state(
    const weights *w, const train_options *how, training_state *s, char *changes, size_t size, error *e)
{
	json_t *j = state_in(w);
	run_identity ours = s->id;
	bool fine = get_state(j, s) || fail(e, BAD_FILE, "%s: no checkpoint of a training run", weights_path(w));
	fine = fine && run_identity_compare(&ours, how, j, weights_path(w), changes, size, e);
	json_decref(j);
	return fine;
}

bool snapshot_read(const char *path, learner *m, const int *trained, int count, optimizer *o, const train_options *how,
    training_state *s, char *changes, size_t size, error *e)
{
	error own = { 0 };
	weights *w = weights_open(path, &own);
	bool fine =
	    w && read_state(w, how, s, changes, size, &own) && same_vocabulary(w, m, &own) && same_scale(w, m, &own);
	for (int i = 0; fine && i < count; i++) {
		array a;
		for (int k = 0; fine && array_of(&m->weights[trained[i]], o, i, k, &a, &own); k++)
			fine = restore(w, &a, learner_backend(m)->device, &own);
		fine = fine && !failed(&own);
	}
	fine = fine && learner_download(m, &own);
	if (fine) optimizer_set_steps(o, s->optimizer_steps);
	weights_close(w);
	return fine || fail(e, own.status, "%s", own.text);
}

/* ── the folder ── */
/* The run that a checkpoint belongs to; "" where it does not say. */
static void run_of(const char *dir, int64_t step, char run[33])
{
	char path[4200];
	training_state s = { 0 };
	snprintf(path, sizeof path, "%s/checkpoint-%lld.safetensors", dir, (long long)step);
	weights *w = weights_open(path, NULL);
	json_t *j = w ? state_in(w) : NULL;
	get_state(j, &s);
	json_decref(j);
	weights_close(w);
	memcpy(run, s.id.run, sizeof s.id.run);
}

/* The lowest or highest step in the folder, of a run's checkpoints alone where it is not NULL; and how many there are.
 * −1: it cannot be read. */
static int find_extreme(const char *dir, const char *run, bool highest, int64_t *found)
{
	DIR *d = opendir(dir);
	if (!d) return -1;
	int n = 0;
	for (struct dirent *entry; (entry = readdir(d));) {
		int64_t step;
		char own[33];
		if (!checkpoint_step(entry->d_name, &step)) continue;
		if (run) run_of(dir, step, own);
		if (run && strcmp(own, run)) continue;
		if (!n++ || (highest ? step > *found : step < *found)) *found = step;
	}
	closedir(d);
	return n;
}

bool snapshot_latest(const char *dir, char *path, size_t size, error *e)
{
	int64_t step = 0, ignored;
	char run[33];
	int n = find_extreme(dir, NULL, true, &step);
	if (n < 0 && errno != ENOENT) return fail(e, errno_status(), "%s: %s", dir, strerror(errno));
	if (n <= 0) return false;
	run_of(dir, step, run);
	if (find_extreme(dir, run, true, &ignored) != n)
		return fail(e, BAD_USAGE, "%s holds checkpoints of several runs: --resume_from_checkpoint FILE names one", dir);
	snprintf(path, size, "%s/checkpoint-%lld.safetensors", dir, (long long)step);
	return true;
}

void snapshot_prune(const char *dir, const char *run, int64_t limit)
{
	int64_t step = 0;
	while (limit > 0 && find_extreme(dir, run, false, &step) > limit) {
		char path[4200];
		snprintf(path, sizeof path, "%s/checkpoint-%lld.safetensors", dir, (long long)step);
		if (unlink(path)) return;
	}
}

/* A frozen weight that is quantised in its file is written as F16. */
static bool put_weight(weights_writer *w, const learner_weight *x, const void *data, dtype from, dtype to, error *e)
{
	size_t n = shape_count(x->shape), bytes = dtype_bytes(to, n);
	if (from == to) return weights_writer_append(w, data, bytes, e);
	void *own = malloc(bytes);
	if (!own) return fail(e, NO_MEMORY, "no memory for '%s'", x->name);
	convert(own, to, data, from, n);
	bool fine = weights_writer_append(w, own, bytes, e);
	free(own);
	return fine;
}

bool learner_write(const learner *m, const char *path, bool averages, error *e)
{
	weights_writer *w = weights_writer_new(path, e);
	bool fine = w && put_config(w, m, e);
	for (int write = 0; fine && write < 2; write++)
		for (int i = 0; fine && i < m->count; i++) {
			const learner_weight *x = &m->weights[i];
			if (x->helper) continue;
			const void *data = x->trained ? (averages && x->average ? x->average : x->value) : x->bytes;
			dtype from = x->trained ? F32 : x->dtype, to = dtype_block(from) > 1 ? F16 : from;
			fine = write ? put_weight(w, x, data, from, to, e) : declare(w, x->name, to, x->shape, e);
		}
	if (fine) return weights_writer_finish(w, e);
	weights_writer_abort(w);
	return false;
}
