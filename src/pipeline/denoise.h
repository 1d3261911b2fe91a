/* denoise.h - the denoiser as a sampler asks for it: one latent and a time go in, the guided output comes out. The
 * unconditional and all conditional branches run as one batch through the network. */
#ifndef SUMI_PIPELINE_DENOISE_H
#define SUMI_PIPELINE_DENOISE_H
#include "diffusion/guidance.h"
#include "diffusion/sampler.h"
#include "pipeline/conditioning.h"
#include "pipeline/stage.h"

typedef struct denoiser {
	const model *model;
	stage stage;
	int width, height;   /* of the latent */
	int channels, extra; /* of the latent; what an inpainting model reads beside it */
	int embedded;        /* width of the guidance that a distilled model is told; 0: it is not */
	const conditioning *text;
	const conditioning *text_to; /* its contexts are mixed in; NULL: none */
	double blend;                /* how much of them, 0 … 1 */
	guidance guidance;
	int first_step, steps; /* image to image leaves out the first steps; of the whole trajectory */
	const float *beside;   /* [extra][places]: mask and masked latent of an inpainting model; borrowed */
	/* owned */
	float *batch, *times, *contexts, *outputs;
	int context_step; /* whose contexts are in the stage; −1: nobody's */
} denoiser;

/* Sets the fields above the owned ones first. Compiles the stage; its memory is then known. */
bool denoiser_compile(denoiser *d, error *e);
bool denoiser_allocate(denoiser *d, error *e);
denoise_fn denoiser_call; /* context: the denoiser */
void denoiser_free(denoiser *d);

#endif
