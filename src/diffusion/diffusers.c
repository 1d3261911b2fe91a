/* diffusers.c - diffusers' schedulers as samplers and trajectories of ours. */
#include "diffusion/diffusers.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* LCM's time times this leaves nothing of its boundary condition. */
static const double NO_BOUNDARY = 1e6;

static const struct scheduler_class {
	const char *name;
	sampler_kind sampler;
	scheduler_family family;
	timestep_spacing spacing;
} classes[] = {
	{ "DDPMScheduler", DDPM, TIMESTEP_SCHEDULER, LEADING_TIMESTEPS },
	{ "DDPMParallelScheduler", DDPM, TIMESTEP_SCHEDULER, LEADING_TIMESTEPS },
	{ "DDIMScheduler", DDIM, TIMESTEP_SCHEDULER, LEADING_TIMESTEPS },
	{ "DDIMParallelScheduler", DDIM, TIMESTEP_SCHEDULER, LEADING_TIMESTEPS },
	{ "PNDMScheduler", PLMS, TIMESTEP_SCHEDULER, LEADING_TIMESTEPS },
	{ "LCMScheduler", LCM, DISTILLED_SCHEDULER, LEADING_TIMESTEPS },
	{ "TCDScheduler", TCD, DISTILLED_SCHEDULER, LEADING_TIMESTEPS },
	{ "EulerDiscreteScheduler", EULER, SIGMA_SCHEDULER, LINSPACE_TIMESTEPS },
	{ "EulerAncestralDiscreteScheduler", EULER_ANCESTRAL, SIGMA_SCHEDULER, LINSPACE_TIMESTEPS },
	{ "HeunDiscreteScheduler", HEUN, SIGMA_SCHEDULER, LINSPACE_TIMESTEPS },
	{ "LMSDiscreteScheduler", LMS, SIGMA_SCHEDULER, LINSPACE_TIMESTEPS },
	{ "KDPM2DiscreteScheduler", DPM2, SIGMA_SCHEDULER, LINSPACE_TIMESTEPS },
	{ "KDPM2AncestralDiscreteScheduler", DPM2_ANCESTRAL, SIGMA_SCHEDULER, LINSPACE_TIMESTEPS },
	{ "DPMSolverMultistepScheduler", DPMPP_2M, LAMBDA_SCHEDULER, LINSPACE_TIMESTEPS },
	{ "DPMSolverSinglestepScheduler", DPMPP_2S, LAMBDA_SCHEDULER, LINSPACE_TIMESTEPS },
	{ "UniPCMultistepScheduler", UNIPC, LAMBDA_SCHEDULER, LINSPACE_TIMESTEPS },
	{ "DEISMultistepScheduler", DEIS, LAMBDA_SCHEDULER, LINSPACE_TIMESTEPS },
	{ "FlowMatchEulerDiscreteScheduler", EULER, FLOW_SCHEDULER, LINSPACE_TIMESTEPS },
	{ "FlowMatchHeunDiscreteScheduler", HEUN, FLOW_SCHEDULER, LINSPACE_TIMESTEPS },
};

/* A JSON configuration and the first thing about it that is wrong. */
typedef struct reader {
	const json_t *config;
	error *e;
	bool failed;
} reader;

static double number(reader *r, const char *key, double otherwise)
{
	const json_t *v = json_object_get(r->config, key);
	if (!v || json_is_null(v)) return otherwise;
	if (!json_is_number(v)) r->failed = !fail(r->e, BAD_FILE, "scheduler: \"%s\" is not a number", key);
	return json_number_value(v);
}

static int integer(reader *r, const char *key, int otherwise)
{
	double v = number(r, key, otherwise);
	if (!(fabs(v) <= 100000)) r->failed = !fail(r->e, BAD_FILE, "scheduler: \"%s\" is %g", key, v);
	return r->failed ? 0 : (int)v;
}

static bool flag(reader *r, const char *key, bool otherwise)
{
	const json_t *v = json_object_get(r->config, key);
	return v && !json_is_null(v) ? json_is_true(v) : otherwise;
}

/* The place of the value among the choices, which end in NULL; the first where it is absent. */
static int choice(reader *r, const char *key, const char *const *choices)
{
	const char *v = json_string_value(json_object_get(r->config, key));
	if (!v) return 0;
	for (int i = 0; choices[i]; i++)
		if (!strcmp(choices[i], v)) return i;
	r->failed = !fail(r->e, BAD_FILE, "scheduler: \"%s\": \"%.60s\" is not known here", key, v);
	return 0;
}

/* Something that changes the result and is not done here. */
static void refuse(reader *r, const char *key, const char *harmless)
{
	const json_t *v = json_object_get(r->config, key);
	bool fine =
	    !v || json_is_null(v) || json_is_false(v) || (json_is_string(v) && !strcmp(json_string_value(v), harmless));
	if (!fine) r->failed = !fail(r->e, BAD_FILE, "scheduler: \"%s\" is set, which is not done here", key);
}

static void read_betas(reader *r, scheduler *s)
{
	bool distilled = s->family == DISTILLED_SCHEDULER;
	const char *curve = json_string_value(json_object_get(r->config, "beta_schedule"));
	s->betas = (schedule_config){ .curve = distilled ? SCALED_LINEAR_BETAS : LINEAR_BETAS,
		.start = number(r, "beta_start", distilled ? 0.00085 : 0.0001),
		.end = number(r, "beta_end", distilled ? 0.012 : 0.02),
		.count = integer(r, "num_train_timesteps", 1000),
		.zero_terminal_snr = flag(r, "rescale_betas_zero_snr", false) };
	if (curve && !beta_curve_from_name(curve, &s->betas.curve))
		r->failed = !fail(r->e, BAD_FILE, "scheduler: \"beta_schedule\": \"%.60s\" is not known here", curve);
	if (s->betas.count < 2)
		r->failed = !fail(r->e, BAD_FILE, "scheduler: \"num_train_timesteps\" is %d", s->betas.count);
}

static void read_sigmas(reader *r, scheduler *s)
{
	static const char *const finals[] = { "zero", "sigma_min", NULL };
	static const char *const interpolations[] = { "linear", "log_linear", NULL };
	static const char *const kinds[] = { "discrete", "continuous", NULL };
	static const char *const shifts[] = { "exponential", "linear", NULL };
	s->sigmas = flag(r, "use_karras_sigmas", false)        ? KARRAS_SIGMAS
	            : flag(r, "use_lu_lambdas", false)         ? LU_SIGMAS
	            : flag(r, "use_exponential_sigmas", false) ? EXPONENTIAL_SIGMAS
	            : flag(r, "use_beta_sigmas", false)        ? BETA_SIGMAS
	            : s->prediction == PREDICT_FLOW            ? FLOW_SIGMAS
	                                                       : OWN_SIGMAS;
	s->final_sigma_is_min = s->sampler == DEIS || choice(r, "final_sigmas_type", finals) == 1;
	s->log_linear = choice(r, "interpolation_type", interpolations) == 1;
	s->continuous_v = choice(r, "timestep_type", kinds) == 1 && s->prediction == PREDICT_VELOCITY;
	s->least_lambda = number(r, "lambda_min_clipped", -INFINITY);
	s->terminal = number(r, "shift_terminal", 0);
	s->from_one = json_object_get(r->config, "shift_terminal") != NULL;
	if ((s->sampler == EULER && s->family == SIGMA_SCHEDULER) || s->sampler == UNIPC) {
		s->sigma_min = number(r, "sigma_min", 0);
		s->sigma_max = number(r, "sigma_max", 0);
	}
	s->shift = s->family == FLOW_SCHEDULER ? number(r, "shift", 1) : number(r, "flow_shift", 1);
	s->dynamic_shift = flag(r, "use_dynamic_shifting", false);
	s->linear_shift = choice(r, "time_shift_type", shifts) == 1;
	s->mu_slope = (number(r, "max_shift", 1.16) - number(r, "base_shift", 0.5)) /
	              (number(r, "max_image_seq_len", 4096) - number(r, "base_image_seq_len", 256));
	s->mu_start = number(r, "base_shift", 0.5) - s->mu_slope * number(r, "base_image_seq_len", 256);
	bool flows = flag(r, "use_flow_sigmas", false), fits = s->sigmas == FLOW_SIGMAS && s->family == LAMBDA_SCHEDULER;
	if (s->family != FLOW_SCHEDULER && (flows || s->prediction == PREDICT_FLOW) && !(flows && fits))
		r->failed =
		    !fail(r->e, BAD_FILE, "scheduler: \"use_flow_sigmas\" and \"flow_prediction\" do not fit together here");
	if (!(s->shift > 0)) r->failed = !fail(r->e, BAD_FILE, "scheduler: shift %g, expected more than 0", s->shift);
	if (!(s->terminal >= 0 && s->terminal < 1))
		r->failed = !fail(r->e, BAD_FILE, "scheduler: \"shift_terminal\" %g, expected 0 to 1", s->terminal);
	if (s->sigma_min < 0 || s->sigma_max < 0 || (s->sigma_max > 0 && s->sigma_max < s->sigma_min))
		r->failed =
		    !fail(r->e, BAD_FILE, "scheduler: \"sigma_min\" %g and \"sigma_max\" %g", s->sigma_min, s->sigma_max);
	if (s->least_lambda > -INFINITY && (s->family != LAMBDA_SCHEDULER || s->spacing == TRAILING_TIMESTEPS))
		r->failed = !fail(r->e, BAD_FILE, "scheduler: \"lambda_min_clipped\" is not done here with this spacing");
}

/* The list of steps after which UniPC does not correct, as bits. */
static uint64_t uncorrected_steps(reader *r)
{
	uint64_t steps = 0;
	const json_t *list = json_object_get(r->config, "disable_corrector"), *item;
	size_t i;
	json_array_foreach((json_t *)list, i, item)
	{
		json_int_t step = json_integer_value(item);
		if (step >= 0 && step < 64)
			steps |= (uint64_t)1 << step;
		else
			r->failed = !fail(
			    r->e, BAD_FILE, "scheduler: \"disable_corrector\" has step %lld, expected 0 to 63", (long long)step);
	}
	return steps;
}

static void read_solver(reader *r, scheduler *s)
{
	static const char *const algorithms[] = { "dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver", NULL };
	static const char *const corrections[] = { "midpoint", "heun", NULL };
	static const char *const functions[] = { "bh2", "bh1", NULL };
	sampler_options *o = &s->options;
	o->order = integer(r, "solver_order", 2);
	o->lower_order_final = flag(r, "lower_order_final", s->sampler != DPMPP_2S);
	o->euler_at_final = flag(r, "euler_at_final", false);
	if (s->sampler == UNIPC) {
		o->bh1 = choice(r, "solver_type", functions) == 1;
		o->noise_form = !flag(r, "predict_x0", true);
		o->uncorrected = uncorrected_steps(r);
		refuse(r, "solver_p", "");
	} else if (s->sampler != DEIS) {
		int algorithm = choice(r, "algorithm_type", algorithms);
		o->heun = choice(r, "solver_type", corrections) == 1;
		o->noise_form = algorithm == 1 || algorithm == 3;
		o->eta = algorithm >= 2;
		o->plus_half = true;
		if (algorithm == 3 && (o->order > 2 || s->sampler == DPMPP_2S))
			r->failed = !fail(r->e, BAD_FILE,
			    "scheduler: \"algorithm_type\" sde-dpmsolver is a multistep solver of first "
			    "or second order");
	}
	if (o->noise_form && !s->final_sigma_is_min)
		r->failed = !fail(r->e, BAD_FILE,
		    "scheduler: the noise form cannot reach sigma 0; \"final_sigmas_type\" must be "
		    "\"sigma_min\"");
	if (o->order < 1 || o->order > 3) r->failed = !fail(r->e, BAD_FILE, "scheduler: \"solver_order\" is %d", o->order);
}

static void read_timesteps(reader *r, scheduler *s)
{
	static const char *const variances[] = { "fixed_small", "fixed_large", NULL };
	sampler_options *o = &s->options;
	if (s->sampler == PLMS) o->raw_history = true, o->runge_kutta = !flag(r, "skip_prk_steps", false);
	if (s->sampler == DDPM) o->large_variance = choice(r, "variance_type", variances) == 1;
	if (s->family == DISTILLED_SCHEDULER) {
		s->offset = integer(r, "original_inference_steps", 50);
		o->boundary_scale = number(r, "timestep_scaling", 10);
		if (s->offset < 1 || s->offset > s->betas.count)
			r->failed = !fail(r->e, BAD_FILE, "scheduler: \"original_inference_steps\" is %d", s->offset);
	}
	if (s->sampler == TCD) o->eta = 0; /* the pipeline's, whatever the scheduler's own */
	s->final_alpha_is_one = s->sampler == DDPM || s->sampler == LCM || flag(r, "set_alpha_to_one", s->sampler != PLMS);
}

bool scheduler_read(scheduler *s, const json_t *config, const char *class_name, error *e)
{
	static const char *const predictions[] = { "epsilon", "v_prediction", "sample", "flow_prediction", NULL };
	static const char *const spacings[] = { "leading", "trailing", "linspace", NULL };
	reader r = { config, e, false };
	const struct scheduler_class *c = NULL;
	if (!class_name) class_name = json_string_value(json_object_get(config, "_class_name"));
	for (size_t i = 0; class_name && i < sizeof classes / sizeof *classes; i++)
		if (!strcmp(classes[i].name, class_name)) c = &classes[i];
	if (!c) return fail(e, BAD_FILE, "scheduler: class \"%.60s\" is not known here", class_name ? class_name : "");
	*s = (scheduler){ c->sampler, sampler_defaults(c->sampler), c->family, .spacing = c->spacing };
	if (s->sampler != DPMPP_2S && json_string_value(json_object_get(config, "timestep_spacing")))
		s->spacing = (timestep_spacing)choice(&r, "timestep_spacing", spacings);
	s->prediction = (prediction)choice(&r, "prediction_type", predictions);
	s->offset = integer(&r, "steps_offset", 0);
	read_betas(&r, s);
	read_sigmas(&r, s);
	if (s->family == FLOW_SCHEDULER) s->prediction = PREDICT_FLOW;
	if (s->family == LAMBDA_SCHEDULER) read_solver(&r, s);
	s->options.as_begun = s->sampler == LMS;
	if (s->family == TIMESTEP_SCHEDULER || s->family == DISTILLED_SCHEDULER) read_timesteps(&r, s);
	bool clips = s->sampler == DDPM || s->sampler == DDIM, never = s->sampler == TCD;
	s->options.clip = !never && flag(&r, "clip_sample", clips) ? number(&r, "clip_sample_range", 1) : 0;
	if (s->family == FLOW_SCHEDULER && flag(&r, "stochastic_sampling", false)) {
		s->sampler = LCM; /* which is what it does: the guess is noised again */
		s->options = sampler_defaults(LCM);
		s->options.boundary_scale = NO_BOUNDARY;
	}
	static const char *const refused[] = { "thresholding", "invert_sigmas", "trained_betas" };
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) refuse(&r, refused[i], "");
	return !r.failed;
}

/* DDIM and PNDM go T/steps down from each timestep, wherever the next one is; but PNDM's first step goes to the second
 * timestep, which it lists twice. */
static bool timestep_trajectory(const scheduler *s, const noise_schedule *schedule, int steps, trajectory *p, error *e)
{
	int count = 0;
	timestep_spacing spacing = s->family == DISTILLED_SCHEDULER ? DISTILLED_TIMESTEPS : s->spacing;
	double final = s->final_alpha_is_one ? 1 : schedule->alphas_cumprod[0];
	if (s->sampler == TCD) final = schedule->alphas_cumprod[0];
	double *t = make_timesteps(spacing, schedule->count, steps, s->offset, true, &count, e);
	bool fine = t && trajectory_from_timesteps(p, schedule, t, count, final, e);
	if (fine && (s->sampler == DDIM || s->sampler == PLMS))
		for (int i = 0; i < count; i++)
			p->steps[i].to = point_of_timestep(schedule, t[i] - schedule->count / steps, final); /* whole */
	if (fine && s->sampler == PLMS && !s->options.runge_kutta && count > 1) p->steps[0].to = p->steps[1].from;
	free(t);
	return fine;
}

/* sigmas between their own first and last, the kind's way; OWN leaves them. */
static void respace(scheduler_sigmas kind, double *sigmas, int count, double low, double high)
{
	if (kind == KARRAS_SIGMAS) karras_sigmas(sigmas, count, low, high, 7);
	if (kind == EXPONENTIAL_SIGMAS || kind == LU_SIGMAS) exponential_sigmas(sigmas, count, low, high, 1);
	if (kind == BETA_SIGMAS) beta_sigmas(sigmas, count, low, high);
}

/* The list of sigmas with the last one behind it, and the timesteps for the model; the caller frees both. */
typedef struct sigma_list {
	double *sigmas, *times;
	int count;
} sigma_list;

static bool allocate(sigma_list *l, int count, error *e)
{
	l->count = count;
	l->sigmas = calloc((size_t)count + 1, sizeof *l->sigmas);
	if (!l->times) l->times = calloc((size_t)count + 1, sizeof *l->times);
	return (l->sigmas && l->times) || fail(e, NO_MEMORY, "no memory for %d sigmas", count);
}

/* How many timesteps have at least this lambda = −log sigma. */
static int clipped_count(const noise_schedule *s, double least)
{
	int n = s->count;
	while (n > 2 && -s->log_sigmas[n - 1] < least) n--;
	return n;
}

/* Spaced timesteps. DPM-Solver's kind takes the first of steps + 1, but with "trailing". */
static bool spaced_times(const scheduler *s, const noise_schedule *schedule, int steps, sigma_list *l, error *e)
{
	bool lambda = s->family == LAMBDA_SCHEDULER, more = lambda && s->spacing != TRAILING_TIMESTEPS;
	bool whole = lambda || s->spacing != LINSPACE_TIMESTEPS;
	int count = 0;
	int training = clipped_count(schedule, s->least_lambda), most = training - more;
	if (steps < 1 || steps > most) return fail(e, BAD_USAGE, "%d steps: expected 1 to %d", steps, most);
	l->times = make_timesteps(s->spacing, training, steps + more, s->offset, whole, &count, e);
	return l->times && allocate(l, steps, e);
}

/* The times of respaced sigmas: rounded, cut to whole ones, or as they are, as each class has it. */
static double time_of_respaced(const scheduler *s, const noise_schedule *schedule, double sigma)
{
	bool lambda = s->family == LAMBDA_SCHEDULER, smooth = s->sigmas == KARRAS_SIGMAS || s->sigmas == LU_SIGMAS;
	if (smooth && s->sampler == DPMPP_2M && s->betas.curve == COSINE_BETAS) smooth = false;
	double t = timestep_of_sigma(schedule, sigma);
	if (lambda && !smooth) return floor(fmin(t, schedule->count - 1 - 1e-6)); /* f32 falls short of the last, too */
	return smooth && (lambda || s->sampler == DPM2 || s->sampler == DPM2_ANCESTRAL) ? rint(t) : t;
}

/* Sigmas even in their logarithm from the largest of the schedule to the smallest, where the last step ends; the times
 * stay where they are spaced (diffusers' "log_linear", as Stable Video Diffusion has it). */
static void space_log_linear(const noise_schedule *schedule, sigma_list *l)
{
	double high = schedule->log_sigmas[schedule->count - 1], low = schedule->log_sigmas[0];
	for (int i = 0; i <= l->count; i++) l->sigmas[i] = exp(high + (low - high) * i / l->count);
}

static bool list_sigmas(const scheduler *s, const noise_schedule *schedule, int steps, sigma_list *l, error *e)
{
	if (!spaced_times(s, schedule, steps, l, e)) return false;
	bool lambda = s->family == LAMBDA_SCHEDULER;
	double least = exp(schedule->log_sigmas[0]), most = exp(schedule->log_sigmas[schedule->count - 1]);
	for (int i = 0; i < steps; i++) l->sigmas[i] = linear_sigma_of_timestep(schedule, l->times[i]);
	double low = lambda || s->log_linear ? least : l->sigmas[steps - 1];
	double high = lambda || s->log_linear ? most : l->sigmas[0];
	if (s->log_linear) space_log_linear(schedule, l);
	if (s->sigmas != OWN_SIGMAS) {
		if (s->sigma_min > 0) low = s->sigma_min;
		if (s->sigma_max > 0) high = s->sigma_max;
		respace(s->sigmas, l->sigmas, steps, low, high);
		for (int i = 0; i < steps; i++) l->times[i] = time_of_respaced(s, schedule, l->sigmas[i]);
	}
	if ((s->sampler == DEIS || s->sampler == UNIPC) && s->sigmas != OWN_SIGMAS) least = l->sigmas[steps - 1];
	if (!s->log_linear || s->sigmas != OWN_SIGMAS) l->sigmas[steps] = s->final_sigma_is_min ? least : 0;
	for (int i = 0; s->continuous_v && i < steps; i++) l->times[i] = 0.25 * log(l->sigmas[i]);
	return true;
}

/* The last sigma of flow becomes `terminal`, the first stays 1, and those between are stretched. */
static void stretch_to_terminal(const scheduler *s, double *sigmas, int count)
{
	double factor = (1 - sigmas[count - 1]) / (1 - s->terminal);
	for (int i = 0; s->terminal > 0 && factor > 0 && i < count; i++) sigmas[i] = 1 - (1 - sigmas[i]) / factor;
}

double scheduler_mu(const scheduler *s, int positions) { return s->mu_start + s->mu_slope * positions; }

static double shift_of(const scheduler *s, double mu)
{
	return !s->dynamic_shift ? s->shift : s->linear_shift ? mu : exp(mu);
}

/* DPM-Solver, DEIS and UniPC on flow: even in sigma (rounded as numpy's linspace rounds, for the timestep is cut to a
 * whole one), shifted. They begin short of 1; UniPC of newer diffusers at 1, but for what keeps its logarithm finite.
 */
static bool list_flow_sigmas(
    const scheduler *s, const noise_schedule *schedule, int steps, double mu, sigma_list *l, error *e)
{
	if (steps < 1 || steps > 100000) return fail(e, BAD_USAGE, "%d steps: expected 1 to 100000", steps);
	if (!allocate(l, steps, e)) return false;
	bool unipc = s->sampler == UNIPC && s->from_one;
	double T = s->betas.count, end = 1 / T, step = (end - 1) / steps, shift = shift_of(s, mu);
	for (int i = 0; i < steps; i++) {
		double even = unipc ? i * step + 1 : 1 - (i ? (steps - i) * step + 1 : end);
		l->sigmas[i] = shift_sigma(even, shift);
	}
	if (unipc) {
		stretch_to_terminal(s, l->sigmas, steps);
		if (fabs(l->sigmas[0] - 1) < 1e-6) l->sigmas[0] -= 1e-6;
	}
	for (int i = 0; i < steps; i++) l->times[i] = floor(l->sigmas[i] * T);
	bool stays = s->sampler == DEIS || s->sampler == UNIPC;
	if (s->final_sigma_is_min) l->sigmas[steps] = stays ? l->sigmas[steps - 1] : exp(schedule->log_sigmas[0]);
	return true;
}

/* FlowMatchEuler and Heun: the ends of the range are shifted once, and the range between them again. */
static bool list_flow_match_sigmas(const scheduler *s, int steps, double mu, sigma_list *l, error *e)
{
	if (steps < 1 || steps > 100000) return fail(e, BAD_USAGE, "%d steps: expected 1 to 100000", steps);
	if (!allocate(l, steps, e)) return false;
	double least = 1.0 / s->betas.count, low = s->dynamic_shift ? least : shift_sigma(least, s->shift);
	for (int i = 0; i < steps; i++) {
		double even = steps > 1 ? 1 + (low - 1) * i / (steps - 1) : 1;
		l->sigmas[i] = shift_sigma(even, shift_of(s, mu));
	}
	stretch_to_terminal(s, l->sigmas, steps);
	respace(s->sigmas, l->sigmas, steps, l->sigmas[steps - 1], l->sigmas[0]);
	for (int i = 0; i < steps; i++) l->times[i] = l->sigmas[i] * s->betas.count;
	return true;
}

bool scheduler_trajectory(
    const scheduler *s, const noise_schedule *schedule, int steps, double mu, trajectory *p, error *e)
{
	if (s->family == TIMESTEP_SCHEDULER || s->family == DISTILLED_SCHEDULER)
		return timestep_trajectory(s, schedule, steps, p, e);
	bool flow = s->family == FLOW_SCHEDULER || s->sigmas == FLOW_SIGMAS;
	double shift = flow ? shift_of(s, mu) : 1;
	if (!(shift > 0 && shift < INFINITY))
		return fail(e, BAD_FILE,
		    "scheduler: a shift of %g for this size (of base_shift, max_shift, base_image_seq_len and "
		    "max_image_seq_len), expected more than 0",
		    shift);
	sigma_list l = { 0 };
	bool fine = s->family == FLOW_SCHEDULER ? list_flow_match_sigmas(s, steps, mu, &l, e)
	            : flow                      ? list_flow_sigmas(s, schedule, steps, mu, &l, e)
	                                        : list_sigmas(s, schedule, steps, &l, e);
	path_form form = flow ? FLOW_MATCHING : s->family == LAMBDA_SCHEDULER ? VARIANCE_PRESERVING : VARIANCE_EXPLODING;
	fine = fine && trajectory_from_sigmas(p, form, schedule, l.sigmas, steps, e);
	for (int i = 0; fine && i < steps; i++) {
		p->steps[i].from.t = l.times[i];
		if (i) p->steps[i - 1].to.t = l.times[i];
	}
	if (fine && s->family == SIGMA_SCHEDULER && s->spacing == LEADING_TIMESTEPS) p->start = hypot(p->start, 1);
	free(l.sigmas);
	free(l.times);
	return fine;
}

int scheduler_begin(const scheduler *s, trajectory *p, int steps, double strength)
{
	int kept = (int)(steps * strength), begin = steps - (kept < steps ? kept : steps);
	if (begin >= p->count) return p->count;
	path_step *first = &p->steps[begin];
	if (s->sampler == PLMS && !s->options.runge_kutta && begin > 0)
		*first = (path_step){ begin > 1 ? first[-1].from : first->from, first->from };
	return begin;
}

void scheduler_mend(scheduler *s)
{
	s->options.clip = 0;
	if (s->family != DISTILLED_SCHEDULER) s->offset = 1;
}
