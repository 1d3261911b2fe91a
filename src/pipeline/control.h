/* control.h - control networks of a group of pictures: run before the denoiser at each of its calls, on the same
 * latents, times and texts; what they give is weighted, summed and handed to the denoiser. A T2I-Adapter is a control
 * to its caller, and feature_maps.h's work. */
#ifndef SUMI_PIPELINE_CONTROL_H
#define SUMI_PIPELINE_CONTROL_H
#include "pipeline/feature_maps.h"

/* Checks the caller's controls and opens their files. */
bool control_prepare(job *j, session *s, const watcher *w, error *e);
/* Whether two jobs have the same control networks, in the same order. */
bool controls_alike(const job *a, const job *b);

/* How strongly something counts in this step of `steps` that counts between two shares of all of them; a control. */
double strength_in_step(double strength, double from, double to, int step, int steps);
double control_strength(const job_control *c, int step, int steps);

/* The compiled network of control `which`, of either kind, for so many of these pictures. NULL: failed. */
stage *control_network(session *s, job *const *jobs, int count, int which, error *e);

/* All residuals lie in one array, output by output in the order of the network, each [item][height][width][channels].
 * For the denoiser's build: that array as an input (0: the job has no controls), and its parts, to out[], of room for
 * UNET_SKIPS + 1; *count of them. */
tensor control_input(graph *g, const job *j, int items, tensor *out, int *count);
size_t control_values(const job *j, int items); /* how many numbers it has; 0: no control networks */

typedef struct controller {
	session *session;
	job *const *jobs; /* that are alike */
	int count, items; /* pictures; pictures × branches */
	stage *networks[MOST_CONTROLS];
	bool is_first[MOST_CONTROLS];            /* nothing comes before it: its input for that holds zeros */
	float *latents, *times, *shares, *zeros; /* owned */
	const stage *nothing;                    /* the denoiser's network whose input holds zeros; NULL: none */
	feature_maps features;
} controller;

/* Runs T2I-Adapters, makes control networks ready and gives them their hints. Nothing where the jobs have no controls,
 * as in the rest. */
bool controls_begin(controller *c, session *s, job *const *jobs, int count, const watcher *w, error *e);
/* The contexts [items][tokens][width] and vectors [items][width] that the denoiser reads from now on. */
bool controls_write_conditioning(controller *c, const float *contexts, const float *vectors, error *e);
/* Runs the networks that count in this step of `steps`, for latents [count][positions][C], and writes the sum to the
 * denoiser's input `residuals`, and what T2I-Adapters gave to `maps`. */
bool controls_run(controller *c, int step, int steps, double t, const float *x, const stage *denoiser, tensor residuals,
    tensor maps, error *e);
void controls_end(controller *c);

#endif
