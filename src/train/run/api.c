/* api.c - the public functions of training: a job's name and options by their names in, a run out. */
#include "checkpoint/caller.h"
#include "train/run/jobs.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct sumi_training {
	training_job job;
	train_options options;
};

static bool job_by_name(const char *name, training_job *job, error *e)
{
	for (int i = 0; name && i < TRAINING_JOBS; i++) {
		*job = (training_job)i;
		if (!strcasecmp(name, training_job_name(*job))) return true;
	}
	return fail(e, BAD_USAGE, "no training job '%.80s': autoencoder, diffusion, lora, embedding, controlnet or cache",
	    name ? name : "");
}

sumi_training *sumi_training_new(const char *job, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_training *t = failed(&own) ? NULL : calloc(1, sizeof *t);
	if (!failed(&own) && !t) fail(&own, NO_MEMORY, "no memory for a training run");
	if (t && (!job_by_name(job, &t->job, &own) || !train_options_make(&t->options, t->job, &own))) {
		free(t);
		t = NULL;
	}
	tell_caller(e, &own);
	return t;
}

void sumi_training_free(sumi_training *t)
{
	if (!t) return;
	train_options_free(&t->options);
	free(t);
}

bool sumi_training_set(sumi_training *t, const char *name, const char *value, sumi_error *e)
{
	error own = error_of_caller(e);
	if (!failed(&own) && !t) fail(&own, BAD_USAGE, "no training run to set an option of");
	if (!failed(&own) && !name) fail(&own, BAD_USAGE, "no name of an option");
	if (!failed(&own) && !value) fail(&own, BAD_USAGE, "no value for the option %s", name);
	if (!failed(&own)) train_options_set(&t->options, t->job, name, value, &own);
	return tell_caller(e, &own);
}

bool sumi_training_load(sumi_training *t, const char *path, sumi_error *e)
{
	error own = error_of_caller(e);
	if (!failed(&own) && !t) fail(&own, BAD_USAGE, "no training run to load options for");
	if (!failed(&own) && !path) fail(&own, BAD_USAGE, "no path of a file with options");
	if (!failed(&own)) train_options_load(&t->options, t->job, path, &own);
	return tell_caller(e, &own);
}

void sumi_training_listener_init(sumi_training_listener *listener, size_t size)
{
	const sumi_training_listener standard = { 0 };
	hand_out(listener, size, &standard, sizeof standard);
}

static bool on_progress(void *context, const training_progress *p)
{
	const sumi_training_listener *l = context;
	return !l->progress || !l->progress(l->context, &(sumi_training_progress){ .step = p->step,
	                                                    .steps = p->steps,
	                                                    .loss = p->loss,
	                                                    .smoothed_loss = p->smoothed,
	                                                    .learning_rate = p->rate,
	                                                    .gradient_norm = p->gradient_norm,
	                                                    .images_per_second = p->images_per_second,
	                                                    .seconds_left = p->seconds_left,
	                                                    .waited = p->waited,
	                                                    .rank = p->rank });
}

static void on_note(void *context, const char *line)
{
	const sumi_training_listener *l = context;
	if (l->note) l->note(l->context, line);
}

bool sumi_training_run(const sumi_training *t, const sumi_training_listener *listener, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_training_listener l = sumi_training_listener_defaults();
	if (!failed(&own) && !t) fail(&own, BAD_USAGE, "no training run");
	if (!failed(&own) && adopt(&l, sizeof l, listener, "sumi_training_listener", &own))
		train_run(
		    t->job, &t->options, &(training_listener){ .progress = on_progress, .note = on_note, .context = &l }, &own);
	return tell_caller(e, &own);
}

bool sumi_training_get(const sumi_training *t, const char *name, char *text, size_t size, sumi_error *e)
{
	error own = error_of_caller(e);
	if (!failed(&own) && (!t || !name || !text || !size)) fail(&own, BAD_USAGE, "no training run, name or room");
	const train_option *o = failed(&own) ? NULL : train_option_find(t->job, name, &own);
	if (o) train_option_text(&t->options, o, text, size);
	return tell_caller(e, &own);
}

/* ── the table ── */

/* A heading has a meaning for the jobs of the options under it. */
static bool means(const train_option *o, int at, training_job job)
{
	if (o->kind != OPTION_HEADING) return o->jobs & 1u << job;
	while ((o = train_option_at(++at)) && o->kind != OPTION_HEADING)
		if (o->jobs & 1u << job) return true;
	return false;
}

static sumi_training_option public_option(const train_option *o, training_job job)
{
	if (o->kind == OPTION_HEADING) return (sumi_training_option){ .name = o->help, .heading = true };
	return (sumi_training_option){ .name = o->name,
		.value = o->kind == OPTION_TEXT   ? "TEXT"
		         : o->kind == OPTION_FLAG ? "true|false"
		                                  : "N",
		.flag = o->kind == OPTION_FLAG,
		.standard = train_option_default(o, job),
		.help = o->help,
		.choices = o->kind == OPTION_TEXT && *o->choices ? o->choices : NULL };
}

/* To the caller's struct, which may be an older and shorter one. */
static bool give_option(const train_option *o, training_job job, sumi_training_option *option, error *e)
{
	sumi_training_option known = { .size = sizeof known };
	if (!option) return fail(e, BAD_USAGE, "no room for an option");
	if (!adopt(&known, sizeof known, option, "sumi_training_option", e)) return false;
	size_t size = option->size;
	known = public_option(o, job);
	known.size = size;
	memcpy(option, &known, size < sizeof known ? size : sizeof known);
	return true;
}

bool sumi_training_option_at(const char *job, int i, sumi_training_option *option)
{
	training_job j;
	const train_option *o;
	if (!job_by_name(job, &j, NULL)) return false;
	for (int k = 0; (o = train_option_at(k)); k++)
		if (means(o, k, j) && i-- == 0) return give_option(o, j, option, NULL);
	return false;
}

bool sumi_training_find(const char *job, const char *name, sumi_training_option *option, sumi_error *e)
{
	training_job j;
	error own = error_of_caller(e);
	const train_option *o = NULL;
	if (!failed(&own) && !name) fail(&own, BAD_USAGE, "no name of an option to find");
	if (!failed(&own) && job_by_name(job, &j, &own)) o = train_option_find(j, name, &own);
	if (o) give_option(o, j, option, &own);
	return tell_caller(e, &own);
}
