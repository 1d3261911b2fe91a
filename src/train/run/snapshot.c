/* snapshot.c - training state to and from safetensors files. */
#include "train/run/snapshot.h"
#include "io/weights.h"
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

/* ── the state beside the weights ── */
static bool put_state(weights_writer *w, const training_state *s, error *e)
{
	json_t *j = json_pack("{sI sI sI sf sI sf sI sI si sI}", "step", (json_int_t)s->step, "batches",
	    (json_int_t)s->batches, "averaged", (json_int_t)s->averaged, "smoothed", s->smoothed, "log_bytes",
	    (json_int_t)s->log_bytes, "seconds", s->seconds, "seed", (json_int_t)s->seed, "optimizer_steps",
	    (json_int_t)s->optimizer_steps, "ranks", s->ranks, "batch", (json_int_t)s->batch);
	char *text = j ? json_dumps(j, JSON_REAL_PRECISION(17)) : NULL;
	json_decref(j);
	bool fine = text ? weights_writer_metadata(w, "sumi.training", text, e)
	                 : fail(e, NO_MEMORY, "no memory for the training state");
	free(text);
	return fine;
}

static bool get_state(const weights *w, training_state *s, error *e)
{
	const char *text = weights_metadata(w, "sumi.training");
	json_error_t where;
	json_t *j = text ? json_loads(text, 0, &where) : NULL;
	json_int_t step, batches, averaged, log_bytes, seed, optimizer_steps, batch;
	bool fine = j && !json_unpack(j, "{sI sI sI sF sI sF sI sI si sI}", "step", &step, "batches", &batches, "averaged",
	                     &averaged, "smoothed", &s->smoothed, "log_bytes", &log_bytes, "seconds", &s->seconds, "seed",
	                     &seed, "optimizer_steps", &optimizer_steps, "ranks", &s->ranks, "batch", &batch);
	json_decref(j);
	if (!fine) return fail(e, BAD_FILE, "%s: no checkpoint of a training run", weights_path(w));
	s->step = step;
	s->batches = batches;
	s->averaged = averaged;
	s->log_bytes = log_bytes;
	s->seed = seed;
	s->optimizer_steps = optimizer_steps;
	s->batch = batch;
	return true;
}

/* ── every array of a checkpoint, in one order for declaring, writing and reading ── */
typedef struct array {
	char name[512];
	dtype dtype;
	shape shape;
	void *data;
} array;

/* Array k of weight w, the trained one of index i; false past the last. */
static bool array_of(const learner_weight *w, const optimizer *o, int i, int k, array *a, error *e)
{
	a->dtype = F32;
	a->shape = w->shape;
	if (k == 0) {
		a->data = w->value;
		return snprintf(a->name, sizeof a->name, "%s", w->name) > 0;
	}
	if (k == 1 && w->average) {
		a->data = w->average;
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
static bool put_array(weights_writer *w, const array *a, int holder, team *together, error *e)
{
	size_t bytes = shape_count(a->shape) * dtype_size(a->dtype);
	if (team_rank(together)) return !holder || team_bring(together, holder, a->data, bytes, e);
	if (!holder) return weights_writer_append(w, a->data, bytes, e);
	void *brought = malloc(bytes);
	bool fine = (brought || fail(e, NO_MEMORY, "no memory for '%s'", a->name)) &&
	            team_bring(together, holder, brought, bytes, e) && weights_writer_append(w, brought, bytes, e);
	free(brought);
	return fine;
}

bool snapshot_write(const char *dir, const learner *m, const int *trained, int count, const optimizer *o,
    const int *holder, team *together, const training_state *s, error *e)
{
	error own = { 0 };
	char path[4096];
	snprintf(path, sizeof path, "%s/checkpoint-%lld.safetensors", dir, (long long)s->step);
	bool first = team_rank(together) == 0;
	weights_writer *w = first ? weights_writer_new(path, &own) : NULL;
	bool fine = !first || (w && put_config(w, m, &own) && put_state(w, s, &own));
	for (int write = !first; fine && write < 2; write++)
		for (int i = 0; fine && i < count; i++) {
			const learner_weight *x = &m->weights[trained[i]];
			array a;
			for (int k = 0; fine && array_of(x, o, i, k, &a, &own); k++) {
				bool shared = k <= (x->average != NULL); /* weight and average: every process has them */
				fine = write ? put_array(w, &a, shared || !holder ? 0 : holder[i], together, &own)
				             : declare(w, a.name, a.dtype, a.shape, &own);
			}
			fine = fine && !failed(&own);
		}
	if (fine) return !first || weights_writer_finish(w, e);
	weights_writer_abort(w);
	return fail(e, own.status, "%s", own.text);
}

static bool restore(const weights *w, const array *a, error *e)
{
	const weight *t = weights_need(w, a->name, e);
	if (!t) return false;
	size_t bytes = shape_count(a->shape) * dtype_size(a->dtype);
	if (t->dtype != a->dtype || t->bytes != bytes)
		return fail(e, BAD_FILE, "%s: '%s' is %s of %zu bytes, this run has %s of %zu: other options than then?",
		    weights_path(w), a->name, t->type_name, t->bytes, dtype_name(a->dtype), bytes);
	if (a->data) memcpy(a->data, t->data, bytes);
	return true;
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

bool snapshot_read(
    const char *path, learner *m, const int *trained, int count, optimizer *o, training_state *s, error *e)
{
	error own = { 0 };
	weights *w = weights_open(path, &own);
	bool fine = w && get_state(w, s, &own) && same_vocabulary(w, m, &own) && same_scale(w, m, &own);
	for (int i = 0; fine && i < count; i++) {
		array a;
		for (int k = 0; fine && array_of(&m->weights[trained[i]], o, i, k, &a, &own); k++) fine = restore(w, &a, &own);
		fine = fine && !failed(&own);
	}
	if (fine) optimizer_set_steps(o, s->optimizer_steps);
	weights_close(w);
	return fine || fail(e, own.status, "%s", own.text);
}

/* ── the folder ── */
static bool step_of_name(const char *name, long long *step)
{
	int end = 0;
	return sscanf(name, "checkpoint-%lld.safetensors%n", step, &end) == 1 && end > 0 && !name[end];
}

/* The lowest or highest step in the folder, and how many there are. */
static int find_extreme(const char *dir, bool highest, long long *found)
{
	DIR *d = opendir(dir);
	if (!d) return -1;
	int n = 0;
	for (struct dirent *entry; (entry = readdir(d));) {
		long long step;
		if (!step_of_name(entry->d_name, &step)) continue;
		if (!n++ || (highest ? step > *found : step < *found)) *found = step;
	}
	closedir(d);
	return n;
}

bool snapshot_latest(const char *dir, char *path, size_t size, error *e)
{
	long long step = 0;
	int n = find_extreme(dir, true, &step);
	if (n < 0 && errno != ENOENT) return fail(e, BAD_FILE, "%s: %s", dir, strerror(errno));
	if (n <= 0) return false;
	snprintf(path, size, "%s/checkpoint-%lld.safetensors", dir, step);
	return true;
}

void snapshot_prune(const char *dir, int64_t limit)
{
	long long step = 0;
	while (limit > 0 && find_extreme(dir, false, &step) > limit) {
		char path[4096];
		snprintf(path, sizeof path, "%s/checkpoint-%lld.safetensors", dir, step);
		if (unlink(path)) return;
	}
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
			dtype d = x->trained ? F32 : x->dtype;
			fine = write ? weights_writer_append(w, data, shape_count(x->shape) * dtype_size(d), e)
			             : declare(w, x->name, d, x->shape, e);
		}
	if (fine) return weights_writer_finish(w, e);
	weights_writer_abort(w);
	return false;
}
