/* jobs.c - one lock for all: jobs are few, and change rarely for the time that drawing takes. Whoever waits for a job
 * is woken by that job alone: 16 clients that woke at each step took a twentieth of the time from drawing. */
#include "server/jobs.h"
#include "base/clock.h"
#include "server/drawing.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_TOGETHER = 8 }; /* pictures of several jobs */

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t come; /* a job, or the end */
	pthread_t thread;
	bool started, stopping, unload;
	model_list models;
	sumi_model_options open;
	const char *folder;
	int most;
	int64_t most_pixels;
	int in_use, last_drawn; /* models: of jobs that name none; whose session keeps networks */
	double idle_seconds;
	job *first;                /* that wait */
	job *group[MOST_PICTURES]; /* that are drawn together; one that is DONE stays until all are */
	int group_count;
	queue_status status;
};

/* ── waiting ── */

static void condition_new(pthread_cond_t *c)
{
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(c, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static void wait_for(queue *q, pthread_cond_t *c, double seconds)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	double until = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec + (seconds > 0 ? seconds : 0);
	t.tv_sec = (time_t)until;
	t.tv_nsec = (long)(1e9 * (until - (double)t.tv_sec));
	pthread_cond_timedwait(c, &q->lock, &t);
}

void queue_wait(queue *q, job *j, double seconds) { wait_for(q, &j->changed, seconds); }

/* ── jobs ── */

job *job_new(void)
{
	job *j = calloc(1, sizeof *j);
	if (j) {
		sumi_options_init(&j->options, sizeof j->options);
		j->options.prompt = j->options.negative_prompt = NULL; /* owned texts take their place */
		j->options.controls = j->controls;
		j->options.ip_adapters = j->ip_adapters;
		j->count = 1;
		j->holders = 1;
		condition_new(&j->changed);
	}
	return j;
}

sumi_control *job_add_control(job *j)
{
	if (j->options.control_count == MOST_CONTROLS) return NULL;
	sumi_control *c = &j->control[j->options.control_count];
	sumi_control_init(c, sizeof *c);
	j->controls[j->options.control_count++] = c;
	return c;
}

sumi_ip_adapter *job_add_ip_adapter(job *j)
{
	if (j->options.ip_adapter_count == MOST_IP_ADAPTERS) return NULL;
	sumi_ip_adapter *a = &j->ip_adapter[j->options.ip_adapter_count];
	sumi_ip_adapter_init(a, sizeof *a);
	j->ip_adapters[j->options.ip_adapter_count++] = a;
	return a;
}

bool job_text(const char **field, const char *text)
{
	char *copy = strdup(text);
	if (!copy) return false;
	free((char *)(uintptr_t)*field);
	*field = copy;
	return true;
}

void job_free(job *j)
{
	if (!j || atomic_fetch_sub(&j->holders, 1) > 1) return;
	const char *const texts[] = { j->options.prompt, j->options.negative_prompt, j->options.sampler,
		j->options.schedule, j->options.refiner, j->options.hires_upscaler };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free((char *)(uintptr_t)texts[i]);
	sumi_image_free((sumi_image *)(uintptr_t)j->options.init);
	sumi_image_free((sumi_image *)(uintptr_t)j->options.mask);
	for (int i = 0; i < j->options.control_count; i++) {
		free((char *)(uintptr_t)j->control[i].path);
		sumi_image_free((sumi_image *)(uintptr_t)j->control[i].image);
	}
	for (int i = 0; i < j->options.ip_adapter_count; i++) {
		free((char *)(uintptr_t)j->ip_adapter[i].path);
		sumi_image_free((sumi_image *)(uintptr_t)j->ip_adapter[i].image);
	}
	for (int i = 0; i < j->options.attention_count; i++) free((char *)(uintptr_t)j->words[i]);
	for (int i = 0; i < j->count; i++) sumi_image_free(j->pictures[i]);
	sumi_image_free(j->preview);
	pthread_cond_destroy(&j->changed);
	free(j->model);
	free(j->drawn_with);
	free(j);
}

/* ── the thread ── */

/* In the lock: out of the queue, where `link` names it. */
static job *take(queue *q, job **link)
{
	job *j = *link;
	*link = j->next;
	q->status.waiting--;
	return j;
}

void queue_end(queue *q, job *j)
{
	j->state = DONE;
	q->status.jobs++;
	if (j->error.status == SUMI_STOPPED)
		q->status.cancelled++;
	else if (j->error.status)
		q->status.failed++;
	else
		q->status.pictures += (uint64_t)j->count;
	pthread_cond_signal(&j->changed);
}

/* In the lock. */
static void end_undrawn(queue *q, job *j)
{
	j->error = (sumi_error){ .status = SUMI_STOPPED, .text = "cancelled while it waited" };
	queue_end(q, j);
}

/* In the lock: until there is a job, or the queue stops; frees what is kept once no job has come for a while. */
static void rest(queue *q)
{
	double since = seconds_now();
	bool kept = true;
	while (!q->first && !q->stopping) {
		if (q->unload || (q->idle_seconds > 0 && kept && seconds_now() - since >= q->idle_seconds)) {
			models_trim(&q->models, -1);
			q->status.bytes = 0;
			kept = q->unload = false;
		}
		wait_for(q, &q->come, q->idle_seconds > 0 && kept ? q->idle_seconds - (seconds_now() - since) : 3600);
	}
}

static int model_of(const queue *q, const job *j) { return j->model ? models_find(&q->models, j->model) : q->in_use; }

/* In the lock: of what waits, up to `most` pictures that can be drawn together with the group's first job. Numbers of
 * pictures are powers of two, so that a session compiles few networks; and at most 8, for 16 take hardly less time
 * each, and the first 8 of them would be answered only with the last. */
static void gather(queue *q, int model, int most)
{
	if (most > MOST_TOGETHER) most = MOST_TOGETHER;
	int total = q->group[0]->count, all = total, limit = 1;
	for (const job *j = q->first; j; j = j->next)
		if (model_of(q, j) == model && jobs_alike(q->group[0], j)) all += j->count;
	while (2 * limit <= most && 2 * limit <= all) limit *= 2;
	for (job **link = &q->first; *link && total < limit;) {
		job *j = *link;
		if (model_of(q, j) != model || !jobs_alike(q->group[0], j) || total + j->count > limit) {
			link = &j->next;
			continue;
		}
		total += j->count;
		q->group[q->group_count++] = take(q, link);
	}
}

/* The first job, and what can be drawn together with it. */
static void draw_next(queue *q)
{
	sumi_error e = { 0 };
	job *j = q->group[0];
	double begun = seconds_now();
	queue_lock(q);
	int model = model_of(q, j);
	queue_unlock(q);
	if (model != q->last_drawn) models_trim(&q->models, model);
	q->last_drawn = model; /* this thread's alone */
	sumi_session *session = models_session(&q->models, model, &q->open, &e);
	int most = session ? sumi_session_at_once(session, &j->options) : 1;
	queue_lock(q);
	if (session) gather(q, model, most);
	for (int i = 0; i < q->group_count; i++) {
		j = q->group[i];
		atomic_fetch_add(&j->holders, 1);
		j->drawn_with = strdup(q->models.list[model].name);
		j->error = e;
		j->state = RUNNING;
		j->begun = begun;
	}
	queue_unlock(q);
	if (session) draw_group(q, session, q->group, q->group_count);
	queue_lock(q);
	q->status.bytes = session ? sumi_session_bytes(session) : 0;
	q->status.busy += seconds_now() - begun;
	q->status.batches++;
	for (int i = 0; i < q->group_count; i++) {
		if (q->group[i]->state != DONE) queue_end(q, q->group[i]);
		job_free(q->group[i]);
	}
	q->group_count = 0;
	queue_unlock(q);
}

static void *work(void *context)
{
	queue *q = context;
	queue_lock(q);
	for (;;) {
		rest(q);
		if (!q->first) break;
		job *j = take(q, &q->first);
		if (q->stopping) {
			end_undrawn(q, j);
			continue;
		}
		j->state = RUNNING;
		j->begun = seconds_now();
		q->group[0] = j;
		q->group_count = 1;
		queue_unlock(q);
		draw_next(q);
		queue_lock(q);
	}
	queue_unlock(q);
	return NULL;
}

/* ── the queue ── */

queue *queue_new(const queue_options *o, sumi_error *e)
{
	queue *q = calloc(1, sizeof *q);
	if (!q) return e->status = SUMI_NO_MEMORY, NULL;
	q->open = o->open;
	q->folder = o->folder;
	q->most = o->most;
	q->most_pixels = o->most_pixels;
	q->idle_seconds = o->idle_seconds;
	pthread_mutex_init(&q->lock, NULL);
	condition_new(&q->come);
	pthread_mutex_init(&q->models.opening, NULL);
	bool fine = true;
	for (int i = 0; fine && i < o->model_count; i++) fine = models_add(&q->models, o->models[i], e);
	if (fine && o->folder) fine = models_add_folder(&q->models, o->folder, e);
	if (fine && !models_count(&q->models)) {
		e->status = SUMI_BAD_FILE;
		snprintf(e->text, sizeof e->text, "%s: no model in this folder", o->folder);
		fine = false;
	}
	if (fine && models_session(&q->models, 0, &q->open, e)) {
		q->started = !pthread_create(&q->thread, NULL, work, q);
		if (!q->started) {
			e->status = SUMI_NO_MEMORY;
			snprintf(e->text, sizeof e->text, "no thread to draw in");
		}
	}
	if (q->started) return q;
	queue_free(q);
	return NULL;
}

void queue_stop(queue *q, bool finish)
{
	queue_lock(q);
	q->stopping = true;
	for (int i = 0; i < q->group_count && !finish; i++) q->group[i]->cancelled = true;
	pthread_cond_signal(&q->come);
	bool join = q->started;
	q->started = false;
	queue_unlock(q);
	if (join) pthread_join(q->thread, NULL);
}

void queue_free(queue *q)
{
	if (!q) return;
	models_free(&q->models);
	pthread_mutex_destroy(&q->models.opening);
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->come);
	free(q);
}

int64_t queue_most_pixels(const queue *q) { return q->most_pixels; }

/* Even one step of a picture that is far too large would keep all others waiting, also once its client has left. */
static bool is_too_large(const queue *q, const job *j)
{
	const sumi_options *o = &j->options;
	double width = o->width > 0 ? o->width : o->init ? o->init->width : 0;
	double height = o->height > 0 ? o->height : o->init ? o->init->height : 0;
	double scale = o->hires_scale > 0 ? o->hires_scale : 1, pixels = width * height * scale * scale;
	double most = (double)q->most_pixels;
	return !j->make && (pixels > most || pixels * j->count > 16 * most);
}

submitted queue_submit(queue *q, job *j)
{
	if (is_too_large(q, j)) return TOO_LARGE;
	if (j->model && models_find(&q->models, j->model) < 0) return UNKNOWN_MODEL;
	queue_lock(q);
	bool busy = q->status.waiting || q->group_count; /* else it need not wait, where none may */
	submitted s = q->stopping ? STOPPING : busy && q->status.waiting >= q->most ? FULL : ACCEPTED;
	if (s == ACCEPTED) {
		job **link = &q->first;
		while (*link) link = &(*link)->next;
		*link = j;
		q->status.waiting++;
		pthread_cond_signal(&q->come);
	} else {
		q->status.refused++;
	}
	queue_unlock(q);
	return s;
}

void queue_lock(queue *q) { pthread_mutex_lock(&q->lock); }
void queue_unlock(queue *q) { pthread_mutex_unlock(&q->lock); }

void queue_cancel(queue *q, job *j)
{
	j->cancelled = true;
	if (j->state != WAITING) return;
	job **link = &q->first;
	while (*link != j) link = &(*link)->next;
	end_undrawn(q, take(q, link));
}

int queue_before(const queue *q, const job *j)
{
	int n = q->group_count;
	for (const job *other = q->first; other && other != j; other = other->next) n++;
	return n;
}

void queue_unload(queue *q)
{
	queue_lock(q);
	q->unload = true;
	pthread_cond_signal(&q->come);
	queue_unlock(q);
}

bool queue_refresh(queue *q, sumi_error *e)
{
	queue_lock(q);
	bool fine = !q->folder || models_add_folder(&q->models, q->folder, e);
	queue_unlock(q);
	return fine;
}

void queue_use(queue *q, int model)
{
	queue_lock(q);
	q->in_use = model;
	queue_unlock(q);
}

void queue_interrupt(queue *q)
{
	queue_lock(q);
	int i = 0;
	while (i < q->group_count && (q->group[i]->state == DONE || q->group[i]->cancelled)) i++;
	if (i < q->group_count) q->group[i]->cancelled = true;
	queue_unlock(q);
}

void queue_report(queue *q, queue_status *s)
{
	*s = q->status;
	for (int i = 0; i < q->group_count; i++) {
		if (q->group[i]->state != RUNNING) continue;
		if (!s->running) s->running = q->group[i];
		s->together++;
	}
	s->model = q->models.list[q->in_use].name;
}

int queue_model_count(const queue *q) { return models_count(&q->models); }
const char *queue_model_name(const queue *q, int i) { return q->models.list[i].name; }
const char *queue_model_path(const queue *q, int i) { return q->models.list[i].path; }
const char *queue_folder(const queue *q) { return q->folder; }
const sumi_model_options *queue_model_options(const queue *q) { return &q->open; }
int queue_find_model(const queue *q, const char *name) { return models_find(&q->models, name); }

bool queue_with_model(queue *q, int i, model_use *use, void *context, sumi_error *e)
{
	return models_with(&q->models, i, &q->open, use, context, e);
}
