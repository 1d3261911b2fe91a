/* session.c - networks by key, oldest out first. */
#include "pipeline/session.h"
#include "base/resources.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct adapter_set {
	const model *m;
	adapter_list files;       /* of the prompt */
	struct timespec *changed; /* when each was last written */
	adapted *all;             /* with the model's, as graphs take them */
	int count;
	adapter_set *next;
};

typedef struct kept_control {
	control_file *file;
	struct timespec changed; /* when it was last written */
	struct kept_control *next;
} kept_control;

typedef struct kept_ip_adapter {
	ip_adapter_file *file;
	struct timespec changed[2]; /* when it and its vision tower were last written */
	struct kept_ip_adapter *next;
} kept_ip_adapter;

typedef struct network {
	stage stage; /* first: a stage's address is its network's */
	network_key key;
	bool allocated, busy; /* busy: between session_ready() and session_done() */
	uint64_t used;        /* the session's clock */
	struct network *next;
} network;

typedef struct kept_states {
	int32_t *ids;
	int length, encoder, skip;
	const adapter_set *adapters;
	float *states;
	size_t count;
	uint64_t used;
} kept_states;

enum { MOST_TEXTS = 64 };

typedef struct second_model {
	model *m;                /* owned */
	struct timespec changed; /* when its file was last written */
	struct second_model *next;
} second_model;

struct sumi_session {
	const model *m;
	uint64_t max_memory, peak, before, available_before; /* before: when it was opened, as session_taken() */
	bool keeps, holds;
	uint64_t clock, began; /* what was used after `began`, the picture that is drawn now may still read */
	network *networks;
	adapter_set *adapters;
	second_model *refiners;
	kept_control *controls;
	kept_ip_adapter *ip_adapters;
	kept_states texts[MOST_TEXTS];
	latent_colours colours;
};

uint64_t session_available(const session *s) { return device_available(s->m->backend->device); }
uint64_t session_peak(const session *s) { return s->peak; }

uint64_t session_taken(const session *s)
{
	if (!s->m->backend->device) return memory_resident();
	uint64_t now = session_available(s);
	return now < s->available_before ? s->available_before - now : 0;
}

latent_colours *session_colours(session *s) { return &s->colours; }
const model *session_model(const session *s) { return s->m; }
bool session_keeps(const session *s) { return s->keeps; }

session *session_open(const model *m, uint64_t max_memory, bool keeps, error *e)
{
	session *s = calloc(1, sizeof *s);
	if (!s) return fail(e, NO_MEMORY, "out of memory for a session"), NULL;
	s->m = m;
	s->max_memory = max_memory ? max_memory : m->max_memory;
	s->available_before = session_available(s);
	s->before = session_taken(s);
	s->keeps = keeps;
	return s;
}

/* ── adapters ── */

static struct timespec time_of(const char *path)
{
	struct stat s;
	return stat(path, &s) ? (struct timespec){ 0 } : s.st_mtim;
}

static bool same_time(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

static bool same_files(const adapter_set *a, const adapter_list *l)
{
	if (a->files.count != l->count) return false;
	for (int i = 0; i < l->count; i++) {
		if (strcmp(a->files.files[i].path, l->files[i].path) ||
		    strcmp(a->files.files[i].strengths, l->files[i].strengths) ||
		    !same_time(time_of(l->files[i].path), a->changed[i]))
			return false;
	}
	return true;
}

static void free_set(adapter_set *a)
{
	if (!a) return;
	adapters_close(&a->files);
	free(a->changed);
	free(a->all);
	free(a);
}

static bool is_used(const session *s, const adapter_set *a)
{
	for (const network *n = s->networks; n; n = n->next)
		if (n->key.adapters == a) return true;
	return false;
}

static void forget_text(kept_states *t)
{
	free(t->ids);
	free(t->states);
	*t = (kept_states){ 0 };
}

static bool is_adapted(const session *s, const model *m)
{
	for (const adapter_set *a = s->adapters; a; a = a->next)
		if (a->m == m) return true;
	return false;
}

static void close_unused(session *s)
{
	for (second_model **at = &s->refiners; *at;) {
		second_model *r = *at;
		if (is_adapted(s, r->m)) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		model_close(r->m);
		free(r);
	}
}

static void free_unused_controls(session *s)
{
	for (kept_control **at = &s->controls; *at;) {
		kept_control *c = *at;
		bool used = false;
		for (const network *n = s->networks; n; n = n->next) used |= n->key.control == c->file;
		if (used) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		control_close(c->file);
		free(c);
	}
}

static bool is_prompted(const session *s, const ip_adapter_file *a)
{
	for (const network *n = s->networks; n; n = n->next)
		for (int i = 0; i < MOST_IP_ADAPTERS; i++)
			if (n->key.ip_adapters[i] == a) return true;
	return false;
}

static void free_unused_ip_adapters(session *s)
{
	for (kept_ip_adapter **at = &s->ip_adapters; *at;) {
		kept_ip_adapter *a = *at;
		if (is_prompted(s, a->file)) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		ip_adapter_close(a->file);
		free(a);
	}
}

void session_begin(session *s)
{
	s->began = s->clock;
	free_unused_controls(s);
	free_unused_ip_adapters(s);
	for (adapter_set **at = &s->adapters; *at;) {
		adapter_set *a = *at;
		if (is_used(s, a)) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		for (int i = 0; i < MOST_TEXTS; i++)
			if (s->texts[i].adapters == a) forget_text(&s->texts[i]);
		free_set(a);
	}
	close_unused(s);
}

const model *adapter_set_model(const adapter_set *a) { return a->m; }
const adapter_list *adapter_set_files(const adapter_set *a) { return &a->files; }

const adapter_set *session_adapters(session *s, const model *m, adapter_list *l, error *e)
{
	for (adapter_set *a = s->adapters; a; a = a->next)
		if (a->m == m && same_files(a, l)) {
			adapters_close(l);
			return a;
		}
	adapter_set *a = calloc(1, sizeof *a);
	if (a) a->changed = calloc((size_t)l->count + 1, sizeof *a->changed);
	if (!a || !a->changed) {
		fail(e, NO_MEMORY, "out of memory for adapters");
		adapters_close(l);
		free_set(a);
		return NULL;
	}
	for (int i = 0; i < l->count; i++) a->changed[i] = time_of(l->files[i].path);
	a->m = m;
	a->files = *l;
	*l = (adapter_list){ 0 };
	if (!adapters_join(&m->lasting, &a->files, &a->all, &a->count, e)) {
		free_set(a);
		return NULL;
	}
	a->next = s->adapters;
	s->adapters = a;
	return a;
}

/* ── a second model ── */

const model *session_refiner(session *s, const char *path, const watcher *w, error *e)
{
	struct timespec t = time_of(path);
	for (second_model *r = s->refiners; r; r = r->next)
		if (!strcmp(r->m->path, path) && same_time(t, r->changed)) return r->m;
	sumi_model_options o = sumi_model_defaults();
	if (w) o.listener = &w->listener;
	o.threads = s->m->threads;
	second_model *r = calloc(1, sizeof *r);
	if (!r) return fail(e, NO_MEMORY, "out of memory for a refiner"), NULL;
	if (!(r->m = model_open(path, &o, e))) {
		free(r);
		return NULL;
	}
	r->m->compute = s->m->compute;
	r->m->backend = s->m->backend;
	r->changed = t;
	r->next = s->refiners;
	s->refiners = r;
	return r->m;
}

/* ── control networks and IP-Adapters ── */

const control_file *session_control(session *s, const char *path, const watcher *w, error *e)
{
	if (s->m->control && !*path) return s->m->control;
	struct timespec t = time_of(path);
	for (kept_control *c = s->controls; c; c = c->next)
		if (!strcmp(control_path(c->file), path) && same_time(t, c->changed)) return c->file;
	kept_control *c = calloc(1, sizeof *c);
	if (!c) return fail(e, NO_MEMORY, "out of memory for a control network"), NULL;
	*c = (kept_control){ control_open(path, &s->m->family, e), t, s->controls };
	if (!c->file) return free(c), NULL;
	if (*control_doubt(c->file)) watcher_note(w, SUMI_WARNING, "%s: %s", path, control_doubt(c->file));
	s->controls = c;
	return c->file;
}

const ip_adapter_file *session_ip_adapter(session *s, const char *path, const char *vision, error *e)
{
	struct timespec t[2] = { time_of(path), time_of(vision) };
	for (kept_ip_adapter *a = s->ip_adapters; a; a = a->next)
		if (!strcmp(ip_adapter_path(a->file), path) && !strcmp(ip_adapter_vision_path(a->file), vision) &&
		    same_time(t[0], a->changed[0]) && same_time(t[1], a->changed[1]))
			return a->file;
	kept_ip_adapter *a = calloc(1, sizeof *a);
	if (!a) return fail(e, NO_MEMORY, "out of memory for an IP-Adapter"), NULL;
	*a = (kept_ip_adapter){ ip_adapter_open(path, vision, &s->m->family, e), { t[0], t[1] }, s->ip_adapters };
	if (!a->file) return free(a), NULL;
	s->ip_adapters = a;
	return a->file;
}

/* ── networks ── */

static bool same_key(const network_key *a, const network_key *b)
{
	return a->kind == b->kind && a->adapters == b->adapters && a->control == b->control &&
	       !memcmp(a->ip_adapters, b->ip_adapters, sizeof a->ip_adapters) &&
	       !memcmp(a->image_prompts, b->image_prompts, sizeof a->image_prompts) &&
	       !memcmp(a->size, b->size, sizeof a->size);
}

static network *network_of(const session *s, const network_key *key)
{
	network *n = s->networks;
	while (n && !same_key(&n->key, key)) n = n->next;
	return n;
}

void session_drop(session *s, stage *which)
{
	for (network **at = &s->networks; *at; at = &(*at)->next) {
		network *n = *at;
		if (&n->stage != which) continue;
		*at = n->next;
		stage_free(&n->stage);
		free(n);
		return;
	}
}

void session_done(session *s, stage *which)
{
	for (network *n = s->networks; n; n = n->next)
		if (&n->stage == which) n->busy = false;
	uint64_t now = session_taken(s);
	if (now > s->peak) s->peak = now;
	if (!s->keeps && !s->holds) session_drop(s, which);
}

void session_forget_plans(session *s)
{
	for (network *n = s->networks, *next; n; n = next) {
		next = n->next;
		if (!n->allocated) session_drop(s, &n->stage);
	}
}

void session_hold(session *s, bool on)
{
	s->holds = on;
	for (network *n = s->networks, *next; !on && !s->keeps && n; n = next) {
		next = n->next;
		if (n->allocated) session_drop(s, &n->stage);
	}
}

static const char *name_of(network_kind k)
{
	static const char *const names[] = { "encode", "encode", "denoise", "decode", "decode", "control", "encode",
		"encode", "decode", "decode", "decode", "encode" };
	return names[k];
}

static const model *model_of(const session *s, const network_key *key)
{
	return key->adapters ? key->adapters->m : s->m;
}

stage *session_network(session *s, const network_key *key, build_fn *build, const void *shapes, error *e)
{
	network *n = network_of(s, key);
	if (n) return &n->stage;
	n = calloc(1, sizeof *n);
	if (!n) return fail(e, NO_MEMORY, "out of memory for a network"), NULL;
	n->key = *key;
	n->stage.name = name_of(key->kind);
	n->stage.control = key->control;
	memcpy(n->stage.ip_adapters, key->ip_adapters, sizeof key->ip_adapters);
	adaptation a = { 0 };
	if (key->adapters) a.list = key->adapters->all, a.count = key->adapters->count;
	if (!stage_compile(&n->stage, model_of(s, key), a, build, shapes, e)) {
		stage_free(&n->stage);
		free(n);
		return NULL;
	}
	n->next = s->networks;
	s->networks = n;
	return &n->stage;
}

static uint64_t allocated_bytes(const session *s)
{
	uint64_t all = 0;
	for (const network *n = s->networks; n; n = n->next)
		if (n->allocated) all += stage_bytes(&n->stage);
	return all;
}

uint64_t session_bytes(const session *s)
{
	uint64_t all = allocated_bytes(s);
	for (int i = 0; i < MOST_TEXTS; i++) all += s->texts[i].count * sizeof(float);
	return all;
}

/* The text that was used longest ago, of those that no picture at work reads; NULL: there is none. */
static kept_states *oldest_text(session *s)
{
	kept_states *oldest = NULL;
	for (int i = 0; i < MOST_TEXTS; i++) {
		kept_states *t = &s->texts[i];
		if (t->ids && t->used <= s->began && (!oldest || t->used < oldest->used)) oldest = t;
	}
	return oldest;
}

/* Frees the network, but not this one, or the text's states that were used longest ago; false: there are none. */
static bool drop_oldest(session *s, const network *but)
{
	network *oldest = NULL;
	kept_states *text = oldest_text(s);
	for (network *n = s->networks; n; n = n->next)
		if (n != but && !n->busy && n->allocated && (!oldest || n->used < oldest->used)) oldest = n;
	if (text && (!oldest || text->used < oldest->used))
		forget_text(text);
	else if (oldest)
		session_drop(s, &oldest->stage);
	return text || oldest;
}

static bool fits(const session *s, uint64_t more)
{
	return (!s->max_memory || s->before + session_bytes(s) + more <= s->max_memory) && more <= session_available(s);
}

stage *session_ready(session *s, const network_key *key, build_fn *build, const void *shapes, uint64_t caller_bytes,
    const watcher *w, error *e)
{
	if (!session_network(s, key, build, shapes, e)) return NULL;
	network *n = network_of(s, key);
	n->used = ++s->clock;
	n->busy = true;
	if (n->allocated) return &n->stage;
	while (!fits(s, stage_bytes(&n->stage) + caller_bytes) && drop_oldest(s, n)) {
	}
	if (!stage_allocate(&n->stage, model_of(s, key), w, e)) {
		session_drop(s, &n->stage);
		return NULL;
	}
	n->allocated = true;
	return &n->stage;
}

static double mib(uint64_t bytes) { return (double)bytes / (1 << 20); }

/* What was taken without the networks. */
static uint64_t taken_before(const session *s) { return s->keeps ? s->before : session_taken(s); }

uint64_t session_room(const session *s)
{
	uint64_t available = session_available(s), kept = allocated_bytes(s), before = taken_before(s);
	uint64_t room = available < UINT64_MAX - kept ? available + kept : UINT64_MAX;
	uint64_t allowed = !s->max_memory ? UINT64_MAX : s->max_memory > before ? s->max_memory - before : 0;
	return room < allowed ? room : allowed;
}

bool session_has_room(const session *s, uint64_t most, const char *what, uint64_t *planned, error *e)
{
	uint64_t kept = allocated_bytes(s), available = session_available(s);
	*planned = taken_before(s) + most;
	if (s->max_memory && *planned > s->max_memory)
		return fail(e, NO_MEMORY, "memory: %.1f MiB are needed for %s, more than the %.1f MiB that were allowed",
		    mib(*planned), what, mib(s->max_memory));
	if (most > available && most - available > kept)
		return fail(e, NO_MEMORY, "memory: %.1f MiB more are needed for %s, %s has %.1f MiB", mib(most), what,
		    device_owner(s->m->backend->device), mib(available + kept));
	return true;
}

/* ── texts ── */

const float *session_states(session *s, const int32_t *ids, int length, int encoder, int skip, const adapter_set *a)
{
	for (int i = 0; i < MOST_TEXTS; i++) {
		kept_states *t = &s->texts[i];
		if (!t->ids || t->length != length || t->encoder != encoder || t->skip != skip || t->adapters != a ||
		    memcmp(t->ids, ids, (size_t)length * sizeof *ids))
			continue;
		t->used = ++s->clock;
		return t->states;
	}
	return NULL;
}

void session_keep_states(session *s, const int32_t *ids, int length, int encoder, int skip, const adapter_set *a,
    const float *states, size_t count)
{
	kept_states *oldest = s->texts;
	for (int i = 1; i < MOST_TEXTS && oldest->ids; i++)
		if (s->texts[i].used < oldest->used) oldest = &s->texts[i];
	forget_text(oldest);
	kept_states t = { malloc((size_t)length * sizeof *ids), length, encoder, skip, a, malloc(count * sizeof *states),
		count, ++s->clock };
	if (!t.ids || !t.states) {
		forget_text(&t);
		return;
	}
	memcpy(t.ids, ids, (size_t)length * sizeof *ids);
	memcpy(t.states, states, count * sizeof *states);
	*oldest = t;
}

/* ── the whole ── */

void session_trim(session *s, uint64_t bytes)
{
	s->began = s->clock;
	while (session_bytes(s) > bytes && drop_oldest(s, NULL)) {
	}
	session_begin(s);
}

void session_close(session *s)
{
	if (!s) return;
	while (s->networks) session_drop(s, &s->networks->stage);
	for (int i = 0; i < MOST_TEXTS; i++) forget_text(&s->texts[i]);
	session_begin(s);
	free(s);
}
