/* plms.c - pseudo linear multistep (Liu et al. 2022, PNDM): Adams and Bashforth's weights on the noise, DDIM's step. */
#include "diffusion/solver.h"

enum { HISTORY = 4 };

/* The network's output is remembered instead of the noise: as diffusers has it, and on flow, whose velocity it is. */
static bool raw(const solver *s) { return s->options.raw_history || s->path->form == FLOW_MATCHING; }

/* One step with the noise given: DDIM's transfer. what holds the noise, or the network's output where history is raw.
 */
static void transfer(solver *s, path_point from, path_point to, const float *x, const float *what, float *out)
{
	float *denoised = s->buffers[0], *noise = s->buffers[1];
	if (raw(s))
		interpret(s, from, x, what, denoised, noise);
	else {
		MIX(s, denoised, { 1 / from.alpha, x }, { -from.sigma / from.alpha, what });
		MIX(s, noise, { 1, what });
	}
	MIX(s, out, { to.alpha, denoised }, { to.sigma, noise });
}

static void evaluate(solver *s, path_point at, const float *x, float *out)
{
	call_denoiser(s, at, x, out);
	if (!raw(s)) interpret(s, at, x, out, NULL, out);
}

/* Whole timesteps from one step to the next where training is cut evenly, whatever the list is. */
static int stride_of(const solver *s) { return s->path->schedule->count / (s->path->count + s->path->skipped); }

/* The first step: the mean of the noise here and at the end (improved Euler), which costs a second call. diffusers
 * makes it two steps of one stride, one down from the start, one that ends where this step does. */
static void improved_euler_step(solver *s, const path_step *now, const float *noise)
{
	float *mean = s->buffers[6], *ahead = s->buffers[7];
	const noise_schedule *schedule = s->path->schedule;
	path_point start = now->from, down = now->to;
	path_point end = is_last_step(s) ? now->from : now->to; /* the original does not go below the first timestep */
	if (s->options.raw_history) {
		end = now->to;
		down = point_of_timestep(schedule, now->from.t - stride_of(s), 1);
		start = point_of_timestep(schedule, end.t + stride_of(s), 1);
	}
	transfer(s, now->from, down, s->x, noise, ahead);
	evaluate(s, end, ahead, mean);
	MIX(s, mean, { 0.5, mean }, { 0.5, noise });
	transfer(s, start, now->to, s->x, mean, s->x);
}

/* Fourth order Runge-Kutta over one step, with DDIM's transfer as its sum. The network is asked half a stride above
 * the end, where the first half of an odd stride does not quite arrive. */
static void runge_kutta_step(solver *s, const path_step *now, const float *first)
{
	float *sum = s->buffers[6], *x = s->buffers[7], *slope = s->buffers[8];
	const noise_schedule *schedule = s->path->schedule;
	int half = stride_of(s) / 2;
	path_point end = is_last_step(s) ? now->to : (now + 1)->from;
	path_point middle = point_of_timestep(schedule, end.t + half, 1);
	MIX(s, sum, { 1 / 6., first });
	transfer(s, now->from, point_of_timestep(schedule, now->from.t - half, 1), s->x, first, x);
	evaluate(s, middle, x, slope);
	MIX(s, sum, { 1, sum }, { 1 / 3., slope });
	transfer(s, now->from, middle, s->x, slope, x);
	evaluate(s, middle, x, slope);
	MIX(s, sum, { 1, sum }, { 1 / 3., slope });
	transfer(s, now->from, end, s->x, slope, x);
	evaluate(s, end, x, slope);
	MIX(s, sum, { 1, sum }, { 1 / 6., slope });
	transfer(s, now->from, end, s->x, sum, s->x);
}

static void multistep_step(solver *s, const path_step *now, float *const past[HISTORY], int known)
{
	static const double weights[HISTORY][HISTORY] = { { 1 }, { 3 / 2., -1 / 2. }, { 23 / 12., -16 / 12., 5 / 12. },
		{ 55 / 24., -59 / 24., 37 / 24., -9 / 24. } };
	float *mean = s->buffers[6];
	const double *w = weights[known - 1];
	MIX(s, mean, { w[0], past[0] }, { w[1], past[known > 1] }, { w[2], past[known > 2 ? 2 : 0] },
	    { w[3], past[known > 3 ? 3 : 0] });
	transfer(s, now->from, now->to, s->x, mean, s->x);
}

void solve_plms(solver *s)
{
	float *past[HISTORY] = { s->buffers[2], s->buffers[3], s->buffers[4], s->buffers[5] };
	int known = 0; /* noises remembered, the newest first */
	for (const path_step *now; (now = next_step(s));) {
		shift_arrays(past, HISTORY);
		evaluate(s, now->from, s->x, past[0]);
		known += known < HISTORY;
		if (s->options.runge_kutta && step_index(s) < 3)
			runge_kutta_step(s, now, past[0]);
		else if (known == 1 && (!s->options.raw_history || s->path->count + s->path->skipped > 1))
			improved_euler_step(s, now, past[0]);
		else
			multistep_step(s, now, past, known);
	}
}
