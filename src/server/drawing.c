/* drawing.c - a group of jobs as one batch of the session. */
#include "server/drawing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_text(const char *a, const char *b) { return (!a && !b) || (a && b && !strcmp(a, b)); }

/* What only one job of a batch may have: pictures, and networks of its own. */
static bool stands_alone(const job *j)
{
	const sumi_options *o = &j->options;
	return j->make || o->init || o->control_count || o->ip_adapter_count || (o->prompt && strstr(o->prompt, "<lora:"));
}

bool jobs_alike(const job *a, const job *b)
{
	sumi_options x = a->options, y = b->options;
	if (stands_alone(a) || stands_alone(b) || !same_text(x.sampler, y.sampler) || !same_text(x.schedule, y.schedule) ||
	    !same_text(x.refiner, y.refiner) || !same_text(x.hires_upscaler, y.hires_upscaler))
		return false;
	x.prompt = y.prompt, x.negative_prompt = y.negative_prompt;
	x.sampler = y.sampler, x.schedule = y.schedule, x.refiner = y.refiner, x.hires_upscaler = y.hires_upscaler;
	x.seed = y.seed, x.variation_seed = y.variation_seed;
	x.controls = y.controls, x.ip_adapters = y.ip_adapters;
	return !memcmp(&x, &y, sizeof x); /* padding too: where it differs, they are drawn apart */
}

typedef struct group {
	queue *q;
	job *const *jobs;
	int count;
} group;

/* Nonzero, which stops the batch, once nobody waits for any of it. */
static int progress(void *context, const char *stage, int step, int steps)
{
	group *g = context;
	int left = 0;
	queue_lock(g->q);
	for (int i = 0; i < g->count; i++) {
		job *j = g->jobs[i];
		if (j->state == DONE) continue;
		snprintf(j->stage, sizeof j->stage, "%s", stage);
		j->step = step;
		j->steps = steps;
		if (j->cancelled) {
			j->error = (sumi_error){ .status = SUMI_STOPPED, .text = "cancelled while it was drawn" };
			queue_end(g->q, j);
		} else {
			left++;
			if (j->followed) pthread_cond_signal(&j->changed);
		}
	}
	queue_unlock(g->q);
	return !left;
}

/* The job whose first picture this is; NULL: it is another's, or nobody waits for it. */
static job *first_picture_of(const group *g, int index)
{
	for (int i = 0; i < g->count; index -= g->jobs[i++]->count)
		if (!index) return g->jobs[i];
	return NULL;
}

static void preview(void *context, int index, int step, const sumi_image *picture)
{
	group *g = context;
	job *j = first_picture_of(g, index);
	(void)step;
	sumi_image *copy = j ? sumi_image_new(picture->width, picture->height, picture->pixels, NULL) : NULL;
	if (!copy) return;
	queue_lock(g->q);
	sumi_image *old = j->preview;
	if (j->state == RUNNING) {
		j->preview = copy;
		j->previews++;
		copy = NULL;
		if (j->followed) pthread_cond_signal(&j->changed);
	} else {
		old = NULL;
	}
	queue_unlock(g->q);
	sumi_image_free(old);
	sumi_image_free(copy);
}

/* The options of each picture of a job to `each`. */
static void spread(const job *j, const sumi_listener *l, sumi_options *each)
{
	for (int i = 0; i < j->count; i++) {
		each[i] = j->options;
		each[i].listener = l;
		if (each[i].variation_strength > 0)
			each[i].variation_seed += i;
		else if (each[i].seed >= 0)
			each[i].seed += i;
	}
}

/* What was made to its jobs, in the lock; what nobody waits for is freed. */
static void hand_over(const group *g, sumi_image **made)
{
	for (int i = 0; i < g->count; made += g->jobs[i++]->count)
		for (int k = 0; k < g->jobs[i]->count; k++) {
			if (g->jobs[i]->state == DONE)
				sumi_image_free(made[k]);
			else
				g->jobs[i]->pictures[k] = made[k];
		}
}

/* False: something went wrong that may be one job's alone. */
static bool draw_together(group *g, sumi_session *session)
{
	sumi_options each[MOST_PICTURES];
	const sumi_options *all[MOST_PICTURES];
	sumi_image *made[MOST_PICTURES] = { NULL };
	sumi_error e = { 0 };
	sumi_listener listener = sumi_listener_defaults();
	int count = 0;
	listener.context = g;
	listener.progress = progress;
	listener.preview = preview;
	for (int i = 0; i < g->count; count += g->jobs[i++]->count) spread(g->jobs[i], &listener, each + count);
	for (int i = 0; i < count; i++) all[i] = &each[i];
	if (g->jobs[0]->make)
		made[0] = g->jobs[0]->make(g->jobs[0], &listener, &e);
	else
		sumi_session_draw_batch(session, all, count, made, &e);
	if (e.status && e.status != SUMI_STOPPED && g->count > 1) return false;
	queue_lock(g->q);
	hand_over(g, made);
	for (int i = 0; i < g->count; i++)
		if (g->jobs[i]->state != DONE) g->jobs[i]->error = e;
	queue_unlock(g->q);
	return true;
}

void draw_group(queue *q, sumi_session *session, job *const *jobs, int count)
{
	group all = { q, jobs, count };
	if (draw_together(&all, session)) return;
	for (int i = 0; i < count; i++) {
		group one = { q, jobs + i, 1 };
		queue_lock(q);
		bool wanted = jobs[i]->state != DONE;
		queue_unlock(q);
		if (wanted) draw_together(&one, session);
	}
}
