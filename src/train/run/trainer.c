/* trainer.c - the loop: steps, averages, log, checkpoints, and an orderly end. */
#include "train/run/trainer.h"
#include "base/clock.h"
#include "base/file.h"
#include "train/run/benchmark.h"
#include "train/run/setup.h"
#include "train/run/folder.h"
#include "train/run/log.h"
#include "train/optimize/rate.h"
#include "train/run/snapshot.h"
#include "train/run/stepper.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

typedef struct run {
	const task *task;
	const train_options *options;
	const training_listener *listener;
	char dir[LONGEST_RUN_PATH];
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

/* ── samples ── */
static bool sample_is_due(const run *r)
{
	int64_t every = r->options->validation_steps, step = r->state.step;
	if (!r->task->validate || every < 1 || step < 1 || team_rank(r->team)) return false;
	return step % every == 0 || step == r->options->max_train_steps;
}

static bool draw_sample(run *r, error *e)
{
	char path[LONGEST_RUN_PATH + 64];
	snprintf(path, sizeof path, "%s/sample-%lld.png", r->dir, (long long)r->state.step);
	return learner_download(r->task->learner, e) && r->task->validate(r->task->context, path, e) &&
	       run_log_picture(r->log, r->state.step, path, e);
}

/* A run that was stopped behind a checkpoint may not have come to draw what was due then. */
static bool make_missing_sample(run *r, error *e)
{
	char path[LONGEST_RUN_PATH + 64];
	snprintf(path, sizeof path, "%s/sample-%lld.png", r->dir, (long long)r->state.step);
	return !sample_is_due(r) || !access(path, F_OK) || draw_sample(r, e);
}

/* ── before the first step ── */
static bool check_folder(run *r, error *e)
{
	char probe[LONGEST_RUN_PATH + 64];
	if (!run_folder(r->options, r->dir, e)) return false;
	snprintf(probe, sizeof probe, "%s/checkpoint-0.safetensors", r->dir);
	return team_rank(r->team) || (check_writable(r->options->output, e) && check_writable(probe, e));
}

static int64_t whole_batch(const run *r)
{
	return r->options->train_batch_size * r->options->gradient_accumulation_steps * team_size(r->team);
}

/* The file that --resume_from_checkpoint names; "": the run begins at step 0. */
static bool checkpoint_to_resume(const run *r, char path[4200], error *e)
{
	const train_options *o = r->options;
	error own = { 0 };
	snprintf(path, 4200, "%s", o->resume_from_checkpoint);
	if (strcasecmp(path, "latest") || snapshot_latest(r->dir, path, 4200, &own)) return true;
	if (failed(&own)) return fail(e, own.status, "%s", own.text);
	training_note(r->listener, "no checkpoint in %s yet: the run begins at step 0", r->dir);
	*path = 0;
	return true;
}

static bool resume(run *r, const char *path, error *e)
{
	const train_options *o = r->options;
	const int *indices;
	int count = stepper_trained(r->stepper, &indices);
	char changes[700];
	training_state s = { .id = r->state.id };
	if (!snapshot_read(
	        path, r->task->learner, indices, count, stepper_optimizer(r->stepper), o, &s, changes, sizeof changes, e))
		return false;
	if (s.batch != whole_batch(r) || s.ranks != team_size(r->team) || s.seed != o->seed)
		return fail(e, BAD_USAGE,
		    "%s was made with %lld samples a step, %d processes and seed %lld; this run has %lld, %d and %lld", path,
		    (long long)s.batch, s.ranks, (long long)s.seed, (long long)whole_batch(r), team_size(r->team),
		    (long long)o->seed);
	if (s.step > o->max_train_steps)
		return fail(e, BAD_USAGE, "%s is at step %lld, past --max_train_steps %lld", path, (long long)s.step,
		    (long long)o->max_train_steps);
	memcpy(s.id.data, r->state.id.data, sizeof s.id.data); /* what follows is of the set as it is now */
	r->state = s;
	training_note(r->listener, "resumed from %s at step %lld", path, (long long)s.step);
	if (*changes) training_note(r->listener, "warning: changed since that checkpoint was made: %s", changes);
	if (s.step == o->max_train_steps)
		training_note(r->listener,
		    "the run is finished: all of its %lld steps are done, and %s is written once more; a higher "
		    "--max_train_steps goes on",
		    (long long)s.step, o->output);
	return true;
}

/* What is in the folder and not of the run that goes on: a run that begins moves all, one that resumes what lies past
 * its checkpoint. One that resumes from elsewhere begins a folder. */
static bool set_others_aside(const run *r, const char *path, error *e)
{
	char moved[LONGEST_RUN_PATH] = "", own[4200];
	bool latest = !strcasecmp(r->options->resume_from_checkpoint, "latest"), fine = true;
	snprintf(own, sizeof own, "%s/checkpoint-%lld.safetensors", r->dir, (long long)r->state.step);
	if (*path && same_file(path, own))
		fine = run_folder_set_aside_from(r->dir, r->state.step + 1, moved, e);
	else if (*path || !latest)
		fine = run_folder_set_aside(r->dir, moved, e);
	if (*moved) training_note(r->listener, "warning: what another run left in %s is moved to %s", r->dir, moved);
	if (fine && *path) snapshot_prune(r->dir, r->state.id.run, r->options->checkpoints_total_limit);
	return fine;
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

static void tell_epochs(const run *r)
{
	int64_t samples = data_count(r->data), whole = whole_batch(r), steps = r->options->max_train_steps;
	if (samples < 1) return;
	double epoch = (double)samples / (double)whole;
	training_note(r->listener, "%lld samples a step: %.*f steps an epoch, %.3g epochs in %lld steps", (long long)whole,
	    epoch < 10 ? 1 : 0, epoch, (double)steps / epoch, (long long)steps);
}

/* The size of batches that steps are planned for; of buckets the square one. */
static int planned_side(const data_options *source)
{
	int side = data_side(source);
	return source->bucket_step ? side - side % source->bucket_step : side;
}

/* d: where the plan's memory is; NULL: the host */
static bool report_plan(const memory_plan *p, const device *d, const data_options *source, const train_options *o,
    const training_listener *l, error *e)
{
	double unit = 1 << 20;
	char parts[200];
	int side = planned_side(source);
	memory_plan_text(p, parts);
	training_note(l, "plan: %.0f MiB for batches of %d of %dx%d: %s; %s has %.0f MiB",
	    (double)memory_plan_total(p) / unit, source->batch, side, side, parts, device_owner(d),
	    (double)device_available(d) / unit);
	return o->plan || memory_plan_fits(p, d, false, source->batch, side, side, e);
}

bool train_plan(
    const task *t, const train_options *o, const data_options *source, const training_listener *l, bool *done, error *e)
{
	memory_plan p;
	*done = o->plan;
	if (o->benchmark_loader) return true;
	team *together = team_join(e);
	stepper *s = together ? stepper_new(t, o, together, threads_of(o), e) : NULL;
	int side = planned_side(source);
	bool fine = s && stepper_plan(s, source->batch, side, side, &p, e) &&
	            report_plan(&p, learner_backend(t->learner)->device, source, o, l, e);
	stepper_free(s);
	if (together) team_leave(together, true);
	return fine;
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
	int side = planned_side(source);
	char path[4200], joined[400];
	r->state = (training_state){ .seed = o->seed };
	if (!(r->team = team_join(e)) ||
	    !team_use_device(r->team, learner_backend(r->task->learner)->device, joined, sizeof joined, e) ||
	    !check_folder(r, e) || !checkpoint_to_resume(r, path, e) ||
	    !(r->stepper = stepper_new(r->task, o, r->team, r->threads, e)) ||
	    !stepper_prepare(r->stepper, source->batch, side, side, e))
		return false;
	run_identity_begin(&r->state.id, r->task->learner);
	if (!fingerprint_of_set(o, r->state.id.data, e) || (*path && !resume(r, path, e))) return false;
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
	if (*joined) training_note(r->listener, "%s", joined);
	tell_epochs(r);
	char steps[600];
	if (stepper_fallbacks(r->stepper, steps, sizeof steps))
		training_note(r->listener, "on the CPU, over copies, in each step: %s", steps);
	r->began = r->reported = seconds_now();
	r->began_step = r->state.step;
	if (!team_wait(r->team, e)) return false; /* all have read what the first may move */
	return team_rank(r->team) > 0 ||
	       (set_others_aside(r, path, e) && (r->log = run_log_open(r->dir, r->state.step, o->tensorboard, e)) &&
	           make_missing_sample(r, e));
}

/* ── while running ── */
static bool save(run *r, error *e)
{
	const int *indices;
	int count = stepper_trained(r->stepper, &indices);
	training_state s = r->state;
	if (r->log && !run_log_sync(r->log, e)) return false;
	s.seconds += seconds_now() - r->began;
	s.optimizer_steps = optimizer_steps(stepper_optimizer(r->stepper));
	if (!snapshot_write(r->dir, r->task->learner, indices, count, stepper_optimizer(r->stepper),
	        stepper_holders(r->stepper), r->team, &s, r->options, e))
		return false;
	if (!team_rank(r->team)) snapshot_prune(r->dir, s.id.run, r->options->checkpoints_total_limit);
	return team_wait(r->team, e);
}

static void measure(run *r)
{
	double t = seconds_now(), waited = data_counted(r->data).waited, span = fmax(1e-9, t - r->reported);
	r->images_per_second = (r->samples - r->reported_samples) / span;
	r->waited = (waited - r->reported_waited) / span;
	r->reported = t;
	r->reported_samples = r->samples;
	r->reported_waited = waited;
}

/* Once, when a step's time is known: the first ones also fill memory. */
static void estimate(const run *r)
{
	enum { AFTER = 3, WORTH_IT = 60 /* seconds */ };
	int64_t done = r->state.step - r->began_step;
	double each = (seconds_now() - r->began) / (double)done,
	       left = each * (double)(r->options->max_train_steps - r->state.step);
	if (done == AFTER && left >= WORTH_IT)
		training_note(r->listener, "%.2f s a step: about %.0f min more", each, left / 60);
}

/* Calls the listener; false: stop. Any process may request it. */
static bool report(run *r, const step_result *s, double rate)
{
	if (!r->listener || !r->listener->progress) return true;
	double steps = (double)(r->state.step - r->began_step), left = 0;
	if (steps > 0) left = (seconds_now() - r->began) / steps * (double)(r->options->max_train_steps - r->state.step);
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
	           r->state.seconds + seconds_now() - r->began, e);
}

/* The times of all nodes, once. */
static bool write_profile(const run *r, error *e)
{
	char path[4096];
	if (!r->options->profile || r->state.step != r->began_step + r->options->profile || team_rank(r->team)) return true;
	snprintf(path, sizeof path, "%s/profile.txt", r->dir);
	FILE *to = fopen(path, "w");
	if (!to) return fail(e, errno_status(), "%s: %s", path, strerror(errno));
	stepper_dump(r->stepper, to);
	if (fclose(to)) return fail(e, errno_status(), "%s: %s", path, strerror(errno));
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
	if (r->options->use_ema && !stepper_average(r->stepper, average_decay(r->options->ema_decay, ++state->averaged), e))
		return false;
	estimate(r);
	if (!log_step(r, &s, rate, e) || !write_profile(r, e)) return false;
	double stop = !report(r, &s, rate); /* all processes stop where one was asked to */
	if (!team_sum(r->team, &stop, 1, e)) return false;
	*go_on = stop == 0;
	bool last = state->step == r->options->max_train_steps;
	bool due = last || stop > 0 || state->step % r->options->checkpointing_steps == 0;
	return (!due || save(r, e)) &&
	       (stop > 0 || !sample_is_due(r) || draw_sample(r, e)); /* a stop is not kept waiting */
}

bool train(const task *t, const train_options *o, const data_options *source, const training_listener *l, error *e)
{
	if (o->benchmark_loader) return benchmark_loader(source, o->benchmark_loader, l, e);
	run r = { .task = t, .options = o, .listener = l };
	bool go_on = true, fine = start(&r, source, e);
	while (fine && go_on && r.state.step < o->max_train_steps) fine = step(&r, &go_on, e);
	if (fine && !go_on)
		fine = fail(e, STOPPED, "stopped at step %lld; all is saved in %s", (long long)r.state.step, r.dir);
	if (fine && team_rank(r.team) == 0) fine = learner_download(t->learner, e) && t->finish(t->context, o->output, e);
	if (r.data && fine) {
		data_counts c = data_counted(r.data);
		if (c.broken) training_note(l, "warning: %llu pictures could not be read", (unsigned long long)c.broken);
		if (c.uncaptioned && data_count(r.data) < 0)
			training_note(l, "warning: %llu of %llu samples had no caption", (unsigned long long)c.uncaptioned,
			    (unsigned long long)c.samples);
	}
	team_counts sent = r.team ? team_counted(r.team) : (team_counts){ 0 };
	if (fine && sent.buckets)
		training_note(l, "%d processes: %.0f %% of the gradients' sums were there before the backward pass ended",
		    team_size(r.team), 100 * (double)sent.early / (double)sent.buckets);
	run_log_close(r.log);
	data_close(r.data);
	team_leave(r.team, fine || !go_on); /* first: its sums may be under way in what the stepper frees */
	stepper_free(r.stepper);
	return fine;
}
