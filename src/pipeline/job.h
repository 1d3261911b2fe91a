/* job.h - one picture, from a caller's options to what is known before anything is computed: sizes, sampler and path,
 * seed, texts, adapters. The engine draws jobs that are alike together. */
#ifndef SUMI_PIPELINE_JOB_H
#define SUMI_PIPELINE_JOB_H
#include "diffusion/brownian.h"
#include "diffusion/diffusers.h"
#include "diffusion/guidance.h"
#include "models/unet_changes.h"
#include "pipeline/conditioning.h"
#include "pipeline/first_picture.h"
#include "pipeline/noise.h"
#include "pipeline/session.h"

/* Skip-layer guidance (Stability AI sd3.5; diffusers' skip_guidance_layers): scale·(conditional − the conditional
 * output without these blocks) is added in the steps that lie between `from` and `to` of all. */
typedef struct skip_layer_guidance {
	uint64_t layers; /* bit i: block i is left out; 0: it is off */
	double scale, from, to;
} skip_layer_guidance;

enum { MOST_CONTROLS = 8 };
typedef struct job_control {
	sumi_control options; /* the caller's, checked; texts and pixels are borrowed */
	sumi_image image;
	const control_file *file; /* the session's */
	control_mode mode;
} job_control;

enum { MOST_IP_IMAGES = 16 }; /* of an adapter */
typedef struct job_image_prompt {
	sumi_ip_adapter options; /* the caller's, checked; texts and pixels are borrowed */
	sumi_image images[MOST_IP_IMAGES], mask;
	int image_count;
	bool masked;
	float weights[IP_BLOCKS];    /* of the U-Net's blocks */
	uint64_t absent;             /* bit i: that of block i is 0 */
	const ip_adapter_file *file; /* the session's */
} job_image_prompt;

typedef struct job {
	const model *m;
	int index;            /* among those that are drawn in one call */
	sumi_options options; /* the caller's, checked; texts and pixels are borrowed */
	const sumi_options *o;
	sumi_image init_image, mask_image;
	struct first_picture *first; /* NULL: both are used as they are */
	mask_filling fill;
	bool latent_comes;   /* `original` is set by who draws the job, not encoded: of a second pass on latents */
	struct hires *hires; /* the second pass; NULL: there is none */
	int width, height;   /* of the picture */
	int latent_width, latent_height; /* … and of the latent */
	size_t positions;                /* of the latent */
	int tile;                        /* side of the autoencoder's tiles in pixels; 0: in one piece */
	int channels, extra;             /* of the latent; of the inpainting input, 0: none */
	int embedded;                    /* width of the guidance embedding of a distilled model; 0: it has none */
	int64_t seed;
	bool cuda;
	sampler_kind sampler;
	sigma_spacing spacing;
	sampler_options settings;
	bool own_scheduler; /* the folder's, on diffusers' trajectories */
	scheduler scheduler;
	prediction prediction;
	guidance guidance;
	skip_layer_guidance skip_layers;
	unet_changes changes; /* of a U-Net: PAG, FreeU, DeepCache's branch */
	int deep_cache;       /* every so many calls of the U-Net one is whole; 0: all are */
	noise_schedule schedule;
	trajectory path;
	int skipped;      /* steps of the path that image to image leaves out */
	path_point start; /* where the first latent lies */
	char *prompt;     /* without its <lora:…> */
	adapter_list of_prompt;
	const adapter_set *adapters;
	job_control controls[MOST_CONTROLS];
	int control_count;
	job_image_prompt image_prompts[MOST_IP_ADAPTERS];
	int image_prompt_count;
	conditioning text, text_to; /* text_to: blended in; no branches: there is none */
	int skip;                   /* of the text encoder's last blocks; −1: the family's own */
	struct job *refiner;        /* what the second model reads for the same picture, owned; NULL: there is none */
	int refined_from;           /* the step of the path at which it takes over */

	/* while it is drawn */
	float *original; /* latent of the picture that is begun from, [positions][C]; NULL: there is none */
	float *mask;     /* [positions] 1: paint; NULL */
	float *maps;     /* [text.words][positions] where words are heard (heard.h); NULL: not asked for, or not yet */
	float *inpainting_input; /* [positions][1 + C]: mask and masked latent; NULL if the model is not for inpainting */
	noise noise;
	brownian_tree tree; /* the noise of the SDE samplers */
} job;

/* Checks the options and fills the upper part. j must be zeros, and stay where it is. */
bool job_prepare(job *j, session *s, const watcher *w, const sumi_options *o, error *e);
void job_free(job *j);

/* Whether two jobs can share every run of a network: sizes, path, branches, tokens, adapters, control networks,
 * IP-Adapters. */
bool jobs_alike(const job *a, const job *b);

#endif
