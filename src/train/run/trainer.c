/* trainer.c - the loop: steps, averages, log, checkpoints, and an orderly end. */
#include "train/run/trainer.h"
#include "base/file.h"
#include "train/run/benchmark.h"
#include "train/run/jobs.h"
#include "train/run/log.h"
#include "train/optimize/rate.h"
#include "train/run/snapshot.h"
#include "train/run/stepper.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef struct run {
	const task *task;
	const train_options *options;
	const training_listener *listener;
	char dir[4000];
	int threads;
	team *team;
	stepper *stepper;
	data *data;
	run_log *log;
	training_state state;
	rate_schedule rates;
	double began, reported; /* seconds of the clock */
	int64_t began_step;
	double reported_samples, samples; /* of all processes, in this piece of the run */
	double reported_waited, images_per_second, waited;
} run;

void training_note(const training_listener *l, const char *format, ...)
{
	if (!l || !l->note) return;
	char line[1024];
	va_list list;
	va_start(list, format);
	vsnprintf(line, sizeof line, format, list);
	va_end(list);
	l->note(l->context, line);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ── before the first step ── */
static bool make_folder(run *r, error *e)
{
	const train_options *o = r->options;
	if (*o->output_dir) {
		snprintf(r->dir, sizeof r->dir, "%s", o->output_dir);
	} else {
		const char *end = strstr(o->output, ".safetensors");
		int n = end ? (int)(end - o->output) : (int)strlen(o->output);
		snprintf(r->dir, sizeof r->dir, "%.*s.training", n, o->output);
	}
	if (team_rank(r->team)) return true;
	if (mkdir(r->dir, 0777) && errno != EEXIST) return fail(e, BAD_FILE, "%s: %s", r->dir, strerror(errno));
	char probe[4096];
	snprintf(probe, sizeof probe, "%s/checkpoint-", r->dir);
	remove_leftovers(probe);
	snprintf(probe, sizeof probe, "%s/checkpoint-0.safetensors", r->dir);
	return check_writable(o->output, e) && check_writable(probe, e);
}

static int64_t whole_batch(const run *r)
{
	return r->options->train_batch_size * r->options->gradient_accumulation_steps * team_size(r->team);
}

static bool resume(run *r, error *e)
{
	const train_options *o = r->options;
	char path[4096];
	const int *indices;
	int count = stepper_trained(r->stepper, &indices);
	if (!*o->resume_from_checkpoint) return true;
	snprintf(path, sizeof path, "%s", o->resume_from_checkpoint);
	if (!strcmp(path, "latest")) {
		error own = { 0 };
		if (!snapshot_latest(r->dir, path, sizeof path, &own)) {
			training_note(r->listener, "no checkpoint in %s yet: the run begins at step 0", r->dir);
			return !failed(&own) || fail(e, own.status, "%s", own.text);
		}
	}
	training_state s = { 0 };
	if (!snapshot_read(path, r->task->learner, indices, count, stepper_optimizer(r->stepper), &s, e)) return false;
	if (s.batch != whole_batch(r) || s.ranks != team_size(r->team) || s.seed != o->seed)
		return fail(e, BAD_USAGE,
		    "%s was made with %lld samples a step, %d processes and seed %lld; this run has %lld, %d and %lld", path,
		    (long long)s.batch, s.ranks, (long long)s.seed, (long long)whole_batch(r), team_size(r->team),
		    (long long)o->seed);
	r->state = s;
	training_note(r->listener, "resumed from %s at step %lld", path, (long long)s.step);
	return true;
}

static bool open_data(run *r, const data_options *source, error *e)
{
	data_options d = *source;
	d.first_batch = (uint64_t)r->state.batches;
	d.rank = team_rank(r->team);
	d.ranks = team_size(r->team);
	r->data = data_open(&d, e);
	return r->data != NULL;
}

static bool start(run *r, const data_options *source, error *e)
{
	const train_options *o = r->options;
	r->threads = threads_of(o);
	if (!rate_kind_from_name(o->lr_scheduler, &r->rates))
		return fail(e, BAD_USAGE, "no schedule '%s'", o->lr_scheduler);
	r->rates.highest = o->learning_rate;
	r->rates.warmup = o->lr_warmup_steps;
	r->rates.steps = o->max_train_steps;
	int side = source->crop ? source->crop : source->resolution;
	if (source->bucket_step) side -= side % source->bucket_step;
	r->state = (training_state){ .seed = o->seed };
	if (!(r->team = team_join(e)) || !make_folder(r, e) ||
	    !(r->stepper = stepper_new(r->task, o, r->team, r->threads, e)) ||
	    !stepper_prepare(r->stepper, source->batch, side, side, e) || !resume(r, e))
		return false;
	if (o->profile) stepper_profile(r->stepper);
	stepper_seek(r->stepper, r->state.step);
	if (!stepper_prepare(r->stepper, source->batch, side, side, e) || !open_data(r, source, e)) return false;
	r->state.ranks = team_size(r->team);
	r->state.batch = whole_batch(r);
	const learner *m = r->task->learner;
	training_note(r->listener,
	    "%.2f M parameters, %.2f M of them trained; memory: %.0f MB of values, %.0f MB of weights and optimizer",
	    1e-6 * (double)learner_parameters(m, false), 1e-6 * (double)learner_parameters(m, true),
	    1e-6 * (double)stepper_arena_bytes(r->stepper), 1e-6 * (double)stepper_state_bytes(r->stepper));
	r->began = r->reported = now();
	r->began_step = r->state.step;
	return team_rank(r->team) > 0 ||
	       (r->log = run_log_open(r->dir, r->state.log_bytes, r->state.step, o->tensorboard, e));
}

/* ── while running ── */
static bool save(run *r, error *e)
{
	const int *indices;
	int count = stepper_trained(r->stepper, &indices);
	training_state s = r->state;
	if (r->log) s.log_bytes = run_log_bytes(r->log);
	s.seconds += now() - r->began;
	s.optimizer_steps = optimizer_steps(stepper_optimizer(r->stepper));
	if (!snapshot_write(r->dir, r->task->learner, indices, count, stepper_optimizer(r->stepper),
	        stepper_holders(r->stepper), r->team, &s, e))
		return false;
	if (!team_rank(r->team)) snapshot_prune(r->dir, r->options->checkpoints_total_limit);
	return team_wait(r->team, e);
}

static void average(run *r)
{
	const int *indices;
	int count = stepper_trained(r->stepper, &indices);
	double decay = average_decay(r->options->ema_decay, ++r->state.averaged);
	for (int i = 0; i < count; i++) {
		learner_weight *w = &r->task->learner->weights[indices[i]];
		if (w->average) average_into(w->average, w->value, shape_count(w->shape), decay, r->threads);
	}
}

static void measure(run *r)
{
	double t = now(), waited = data_counted(r->data).waited, span = fmax(1e-9, t - r->reported);
	r->images_per_second = (r->samples - r->reported_samples) / span;
	r->waited = (waited - r->reported_waited) / span;
	r->reported = t;
	r->reported_samples = r->samples;
	r->reported_waited = waited;
}

/* Tells the listener; whether to go on. Each process may be asked to stop. */
static bool report(run *r, const step_result *s, double rate)
{
	if (!r->listener || !r->listener->progress) return true;
	double steps = (double)(r->state.step - r->began_step), left = 0;
	if (steps > 0) left = (now() - r->began) / steps * (double)(r->options->max_train_steps - r->state.step);
	return r->listener->progress(r->listener->context, &(training_progress){ .step = r->state.step,
	                                                       .steps = r->options->max_train_steps,
	                                                       .loss = s->loss,
	                                                       .smoothed = r->state.smoothed,
	                                                       .rate = rate,
	                                                       .gradient_norm = s->gradient_norm,
	                                                       .images_per_second = r->images_per_second,
	                                                       .seconds_left = left,
	                                                       .waited = r->waited,
	                                                       .rank = team_rank(r->team) });
}

static bool log_step(run *r, const step_result *s, double rate, error *e)
{
	bool line = r->state.step % r->options->log_steps == 0;
	if (line || r->state.step == r->began_step + 1) measure(r);
	return !line || !r->log ||
	       run_log_line(r->log, r->state.step, s->loss, r->state.smoothed, rate, s->gradient_norm, r->images_per_second,
	           r->state.seconds + now() - r->began, e);
}

static bool validate(run *r, error *e)
{
	int64_t every = r->options->validation_steps;
	if (!r->task->validate || every < 1 || r->state.step % every || team_rank(r->team)) return true;
	char path[4096];
	snprintf(path, sizeof path, "%s/sample-%lld.png", r->dir, (long long)r->state.step);
	return r->task->validate(r->task->context, path, e) && run_log_picture(r->log, r->state.step, path, e);
}

/* The times of all nodes, once. */
static bool write_profile(const run *r, error *e)
{
	char path[4096];
	if (!r->options->profile || r->state.step != r->began_step + r->options->profile || team_rank(r->team)) return true;
	snprintf(path, sizeof path, "%s/profile.txt", r->dir);
	FILE *to = fopen(path, "w");
	if (!to) return fail(e, BAD_FILE, "%s: %s", path, strerror(errno));
	stepper_dump(r->stepper, to);
	if (fclose(to)) return fail(e, BAD_FILE, "%s: %s", path, strerror(errno));
	training_note(r->listener, "the time of each node: %s", path);
	return true;
}

static bool step(run *r, bool *go_on, error *e)
{
	training_state *state = &r->state;
	double rate = rate_of_step(&r->rates, state->step);
	step_result s;
	if (!stepper_step(r->stepper, r->data, state->step, rate, &s, e)) return false;
	state->smoothed = state->step ? 0.98 * state->smoothed + 0.02 * s.loss : s.loss;
	state->step++;
	state->batches += r->options->gradient_accumulation_steps;
	r->samples += (double)s.samples * team_size(r->team);
	if (r->options->use_ema) average(r);
	if (!log_step(r, &s, rate, e) || !write_profile(r, e)) return false;
	double stop = !report(r, &s, rate); /* all processes stop where one was asked to */
	if (!team_sum(r->team, &stop, 1, e)) return false;
	*go_on = stop == 0;
	bool last = state->step == r->options->max_train_steps;
	bool due = last || stop > 0 || state->step % r->options->checkpointing_steps == 0;
	return (!due || save(r, e)) && validate(r, e);
}

bool train(const task *t, const train_options *o, const data_options *source, const training_listener *l, error *e)
{
	if (o->benchmark_loader) return benchmark_loader(source, o->benchmark_loader, l, e);
	run r = { .task = t, .options = o, .listener = l };
	bool go_on = true, fine = start(&r, source, e);
	while (fine && go_on && r.state.step < o->max_train_steps) fine = step(&r, &go_on, e);
	if (fine && !go_on)
		fine = fail(e, STOPPED, "stopped at step %lld; all is saved in %s", (long long)r.state.step, r.dir);
	if (fine && team_rank(r.team) == 0) fine = t->finish(t->context, o->output, e);
	if (r.data && fine) {
		data_counts c = data_counted(r.data);
		if (c.broken) training_note(l, "%llu pictures could not be read", (unsigned long long)c.broken);
	}
	team_counts sent = r.team ? team_counted(r.team) : (team_counts){ 0 };
	if (fine && sent.buckets)
		training_note(l, "%d processes: %.0f %% of the gradients' sums were there before the backward pass ended",
		    team_size(r.team), 100 * (double)sent.early / (double)sent.buckets);
	run_log_close(r.log);
	data_close(r.data);
	stepper_free(r.stepper);
	team_leave(r.team, true);
	return fine;
}
