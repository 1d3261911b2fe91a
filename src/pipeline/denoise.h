/* denoise.h - the denoiser as a sampler asks for it: latents and a time go in, the guided outputs come out. All
 * branches of all pictures of a group run as one batch through the network: [picture][branch]. */
#ifndef SUMI_PIPELINE_DENOISE_H
#define SUMI_PIPELINE_DENOISE_H
#include "diffusion/sampler.h"
#include "pipeline/control.h"
#include "pipeline/image_prompts.h"
#include "pipeline/heard.h"

typedef struct denoiser {
	session *session;
	job *const *jobs;     /* that are alike, as far as shapes go */
	job *const *refiners; /* jobs of a second model, which takes over at jobs[0]->refined_from; NULL: none */
	int count;
	int first_step, steps; /* image to image leaves out the first steps; of the whole trajectory */
	/* owned */
	stage *whole, *shallow; /* shallow: DeepCache's steps, on what the whole one kept; NULL: none */
	stage *network;         /* of the two, the one that is run now */
	int calls;              /* of either, since denoiser_begin() */
	float *inputs, *times, *contexts, *vectors, *outputs, *scratch;
	float *averages; /* [count][positions][C] what guidance remembers */
	float *skipped;  /* as outputs, of the network without the blocks that skip-layer guidance leaves out; NULL: it is
	                    off */
	controller control;
	image_prompts images;
	heard heard;
	int context_step; /* whose contexts and vectors are in the network; −1: of none */
	const watcher *w;
} denoiser;

/* The compiled network for so many of these pictures, so that its memory is known. NULL: failed. */
stage *denoiser_network(session *s, job *const *jobs, int count, error *e);
/* … and for DeepCache's other steps; NULL without a failure: there are none. */
stage *shallow_network(session *s, job *const *jobs, int count, error *e);
/* Sets the fields above the owned ones first. */
bool denoiser_begin(denoiser *d, const watcher *w, error *e);
denoise_fn denoiser_call; /* context: the denoiser. Latents are [count][positions][C] */
bool denoiser_maps(denoiser *d, job *const *jobs, error *e); /* after the last call: gives each job its maps */
void denoiser_end(denoiser *d);

#endif
