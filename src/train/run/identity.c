/* identity.c - what a checkpoint records of its run, and how a resumed one differs. */
#include "train/run/identity.h"
#include "base/sha256.h"
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_VALUE = 1024 };

/* ── made ── */

/* A few values of each tensor: a fingerprint that does not need to read all of them. */
static void hash_frozen(sha256 *h, const learner_weight *w)
{
	enum { SAMPLE = 64 };
	size_t bytes = dtype_bytes(w->dtype, shape_count(w->shape)), n = bytes < SAMPLE ? bytes : SAMPLE;
	sha256_add(h, w->name, strlen(w->name) + 1);
	sha256_add(h, w->shape.d, (size_t)w->shape.n * sizeof *w->shape.d);
	sha256_add(h, w->bytes, n);
	sha256_add(h, (const char *)w->bytes + bytes / 2 / 8 * 8, n < bytes - bytes / 2 / 8 * 8 ? n : 0);
}

static void draw_name(char hex[33])
{
	unsigned char bytes[16];
	if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != sizeof bytes) { /* early in a boot: time and process will do */
		struct timespec t;
		clock_gettime(CLOCK_REALTIME, &t);
		memset(bytes, 0, sizeof bytes);
		memcpy(bytes, &t.tv_nsec, 4);
		memcpy(bytes + 4, &t.tv_sec, 8);
		memcpy(bytes + 12, &(int){ (int)getpid() }, 4);
	}
	for (int i = 0; i < 16; i++) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

void run_identity_begin(run_identity *id, const learner *m)
{
	sha256 h;
	uint8_t digest[32];
	draw_name(id->run);
	sha256_begin(&h);
	for (int i = 0; i < m->count; i++)
		if (!m->weights[i].trained && !m->weights[i].helper && m->weights[i].bytes) hash_frozen(&h, &m->weights[i]);
	sha256_end(&h, digest);
	sha256_hex(digest, id->frozen);
}

/* ── to JSON and back ── */

/* As the value counts: an alpha of 0 is the rank. */
static void value_of(const train_options *o, const train_option *t, char text[LONGEST_VALUE])
{
	train_option_text(o, t, text, LONGEST_VALUE);
	if (!strcmp(t->name, "network_alpha") && o->network_alpha <= 0)
		snprintf(text, LONGEST_VALUE, "%lld", (long long)o->network_dim);
}

static bool matters(const train_option *t, training_job job)
{
	return t->kind != OPTION_HEADING && t->jobs & 1u << job && t->resumed != FREE;
}

bool run_identity_put(const run_identity *id, const train_options *o, json_t *to)
{
	json_t *options = json_object();
	const train_option *t;
	char text[LONGEST_VALUE];
	bool fine = options != NULL;
	for (int i = 0; fine && (t = train_option_at(i)); i++) {
		if (!matters(t, o->job)) continue;
		value_of(o, t, text);
		fine = !json_object_set_new(options, t->name, json_string(text));
	}
	fine = fine && !json_object_set_new(to, "run", json_string(id->run)) &&
	       !json_object_set_new(to, "data", json_string(id->data)) &&
	       !json_object_set_new(to, "frozen", json_string(id->frozen)) &&
	       !json_object_set_new(to, "job", json_string(training_job_name(o->job))) &&
	       !json_object_set(to, "options", options);
	json_decref(options);
	return fine;
}

static const char *text_of(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));
	return text ? text : "";
}

void run_identity_get(run_identity *id, const json_t *from)
{
	snprintf(id->run, sizeof id->run, "%s", text_of(from, "run"));
	snprintf(id->data, sizeof id->data, "%s", text_of(from, "data"));
	snprintf(id->frozen, sizeof id->frozen, "%s", text_of(from, "frozen"));
}

/* ── compared ── */
static void add_change(char *changes, size_t size, const char *name, const char *then, const char *now)
{
	size_t n = strlen(changes);
	snprintf(changes + n, size - n, "%s%s was %.60s and is %.60s", n ? "; " : "", name, *then ? then : "not given",
	    *now ? now : "not given");
}

static bool compare_options(
    const train_options *o, const json_t *then, const char *path, char *changes, size_t size, error *e)
{
	const train_option *t;
	char now[LONGEST_VALUE];
	for (int i = 0; (t = train_option_at(i)); i++) {
		const json_t *was = matters(t, o->job) ? json_object_get(then, t->name) : NULL;
		if (!was) continue;
		value_of(o, t, now);
		const char *text = json_is_string(was) ? json_string_value(was) : "";
		if (!strcmp(text, now)) continue;
		if (t->resumed == FIXED)
			return fail(e, BAD_USAGE, "%s was made with --%s %.80s, this run has %.80s: it cannot go on from there",
			    path, t->name, *text ? text : "not given", *now ? now : "none");
		add_change(changes, size, t->name, text, now);
	}
	return true;
}

bool run_identity_compare(const run_identity *now, const train_options *o, const json_t *then, const char *path,
    char *changes, size_t size, error *e)
{
	run_identity was;
	const char *job = text_of(then, "job");
	run_identity_get(&was, then);
	*changes = 0;
	if (*job && strcmp(job, training_job_name(o->job)))
		return fail(e, BAD_USAGE, "%s was made by sumi train %s", path, job);
	if (!compare_options(o, json_object_get(then, "options"), path, changes, size, e)) return false;
	if (*was.frozen && strcmp(was.frozen, now->frozen))
		return fail(e, BAD_USAGE,
		    "%s was made with another model than this run's: what is not trained (of --model and --vae) differs", path);
	size_t n = strlen(changes);
	if (*was.data && *now->data && strcmp(was.data, now->data))
		snprintf(changes + n, size - n, "%sthe pictures or captions are others", n ? "; " : "");
	return true;
}
