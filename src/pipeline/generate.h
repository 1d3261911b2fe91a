/* generate.h - a picture, from options to pixels: read the words, plan all stages, then encode, denoise and decode,
 * each stage freed before the next begins. */
#ifndef SUMI_PIPELINE_GENERATE_H
#define SUMI_PIPELINE_GENERATE_H
#include "diffusion/brownian.h"
#include "diffusion/diffusers.h"
#include "pipeline/conditioning.h"
#include "pipeline/denoise.h"
#include "checkpoint/model.h"
#include "pipeline/noise.h"

typedef struct job {
	model *m;
	const sumi_options *o;
	int width, height;               /* of the picture */
	int latent_width, latent_height; /* … and of the latent */
	size_t places;                   /* of the latent */
	int channels;
	int64_t seed;
	bool cuda;
	sampler_kind sampler;
	sigma_spacing spacing;
	sampler_options settings;
	bool own_scheduler; /* the folder's, on diffusers' trajectories */
	scheduler scheduler;
	prediction prediction;
	double guidance;
	noise_schedule schedule;
	trajectory path;
	int skipped;      /* steps of the path that image to image leaves out */
	path_point start; /* where the first latent lies */
	char *prompt;     /* without its <lora:…> */
	adapter_list of_prompt;
	adapted *adapters;

	conditioning text;
	conditioning text_to; /* that is blended in; no branches: there is none */
	stage encoder;        /* of a picture; not needed without one */
	denoiser denoiser;
	stage decoder;
	uint64_t before, planned, measured; /* bytes */

	float *latent;   /* [C][places] */
	float *original; /* of the picture that is begun from; NULL: there is none */
	float *mask;     /* [places] 1: paint; NULL */
	float *beside;   /* [1 + C][places] of an inpainting model; NULL */
	float *picture;  /* [height][width][3], −1 … 1 */
	noise noise;
	brownian_tree tree; /* the noise of the SDE samplers */
} job;

/* Checks the options and fills the upper half; then everything is compiled and nothing allocated. j must be zeros. */
bool job_prepare(job *j, model *m, const sumi_options *o, error *e);
bool job_compile(job *j, error *e);
/* Compares what the stages will take with what there is; tells the listener. */
bool job_plan(job *j, error *e);
/* Reads the words and the pictures, then: */
bool job_run(job *j, error *e);
bool job_denoise(job *j, error *e); /* texts, original → latent */
bool job_decode(job *j, error *e);  /* latent → picture */
void job_free(job *j);

/* What sumi_generate() and sumi_dump() do. */
sumi_image *generate(model *m, const sumi_options *o, error *e);
bool dump_stage(
    model *m, const sumi_options *o, const char *name, bool profile, sumi_write_fn *write, void *context, error *e);

#endif
