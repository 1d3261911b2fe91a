/* diffusers.h - a diffusers folder's scheduler/scheduler_config.json obeyed: which sampler, with which options, on
 * which trajectory. The spacings of time and sigma here are diffusers' (0.32), which differ from those of sigmas.h. */
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
	bool final_alpha_is_one; /* set_alpha_to_one */
	bool final_sigma_is_min; /* final_sigmas_type "sigma_min" */
	double shift;            /* of flow */
	bool dynamic_shift;      /* flow: the shift is exp(mu), and mu comes with the picture's size */
} scheduler;

/* class_name may be NULL: then the configuration's "_class_name". What is absent has diffusers' default. Fails with
 * BAD_FILE where the class or a value is unknown, or something is asked for that is not done here (the message names
 * it). */
bool scheduler_read(scheduler *s, const json_t *config, const char *class_name, error *e);
/* schedule: made from s->betas; not used for flow and may be NULL there. mu: for dynamic_shift alone. */
bool scheduler_trajectory(
    const scheduler *s, const noise_schedule *schedule, int steps, double mu, trajectory *p, error *e);

#endif
