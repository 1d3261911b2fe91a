/* diffusers.h - a diffusers folder's scheduler/scheduler_config.json obeyed: which sampler, with which options, on
 * which trajectory. The spacings of time and sigma here are diffusers' (0.42), which differ from those of sigmas.h. */
#ifndef SUMI_DIFFUSION_DIFFUSERS_H
#define SUMI_DIFFUSION_DIFFUSERS_H
#include <jansson.h>
#include "diffusion/sampler.h"

typedef enum scheduler_family {
	TIMESTEP_SCHEDULER,  /* DDPM, DDIM, PNDM: whole timesteps, variance preserving */
	DISTILLED_SCHEDULER, /* LCM, TCD */
	SIGMA_SCHEDULER,     /* Euler, Heun, LMS, DPM2: variance exploding */
	LAMBDA_SCHEDULER,    /* DPM-Solver, UniPC, DEIS: sigmas, variance preserving or flow */
	FLOW_SCHEDULER,      /* FlowMatchEuler, FlowMatchHeun */
} scheduler_family;

typedef enum scheduler_sigmas {
	OWN_SIGMAS,
	KARRAS_SIGMAS,
	EXPONENTIAL_SIGMAS,
	BETA_SIGMAS,
	LU_SIGMAS,
	FLOW_SIGMAS
} scheduler_sigmas;

typedef struct scheduler {
	sampler_kind sampler;
	sampler_options options;
	scheduler_family family;
	schedule_config betas;
	prediction prediction;
	timestep_spacing spacing;
	int offset; /* steps_offset; of DISTILLED the strides in training */
	scheduler_sigmas sigmas;
	bool final_alpha_is_one;     /* set_alpha_to_one */
	bool final_sigma_is_min;     /* final_sigmas_type "sigma_min" */
	bool log_linear;             /* interpolation_type */
	bool continuous_v;           /* timestep_type "continuous" with v-prediction: the network's time is log(sigma)/4 */
	double least_lambda;         /* lambda_min_clipped: timesteps with less are not visited; −∞: all are */
	double sigma_min, sigma_max; /* of EulerDiscrete and UniPC: the ends of respaced sigmas; 0: the schedule's */
	bool from_one;               /* UniPC on flow: as diffusers has it since its files have "shift_terminal" */
	double terminal;             /* shift_terminal of flow: the last sigma above 0; 0: as it falls */
	double shift;                /* of flow */
	bool dynamic_shift;          /* flow: the shift is exp(mu), and mu comes with the picture's size */
	bool linear_shift;           /* time_shift_type "linear": it is mu itself */
	double mu_slope, mu_start;   /* mu over the number of positions (base_shift, max_shift, …_image_seq_len) */
} scheduler;

/* class_name may be NULL: then the configuration's "_class_name". What is absent has diffusers' default. Fails with
 * BAD_FILE where the class or a value is unknown, or something is asked for that is not done here (the message names
 * it). */
bool scheduler_read(scheduler *s, const json_t *config, const char *class_name, error *e);
/* mu of a picture that has so many positions (patches) in the denoiser, as diffusers' pipelines take it. */
double scheduler_mu(const scheduler *s, int positions);
/* schedule: made from s->betas; not used for flow and may be NULL there. mu: for dynamic_shift alone. */
bool scheduler_trajectory(
    const scheduler *s, const noise_schedule *schedule, int steps, double mu, trajectory *p, error *e);

/* Image to image as diffusers' pipelines have it: how many of the first steps are left out (maybe all), so that the
 * picture is noised as the next one begins. PNDM's list of timesteps has its second one twice: from an entry behind
 * those, its path loses a step here as there. The path is of `steps`, none left out yet; strength 0 … 1. */
int scheduler_begin(const scheduler *s, trajectory *p, int steps, double strength);
/* The faults that diffusers' Stable Diffusion pipelines mend in a folder when they load it: no clipping of x0, and an
 * offset of 1. */
void scheduler_mend(scheduler *s);

#endif
