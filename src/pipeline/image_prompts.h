/* image_prompts.h - IP-Adapters of a group of pictures: the tokens that they make of their images, computed once,
 * before the denoiser, which attends to them as strongly as each step has it. */
#ifndef SUMI_PIPELINE_IMAGE_PROMPTS_H
#define SUMI_PIPELINE_IMAGE_PROMPTS_H
#include "pipeline/job.h"

/* Checks the caller's and opens their files. */
bool image_prompts_prepare(job *j, session *s, error *e);
/* Whether two jobs have the same files, in the same order, for as many images, in the same blocks. */
bool image_prompts_alike(const job *a, const job *b);

/* For the denoiser's build: tokens, strengths and masks of all as inputs of the stage; `out`, of room for
 * MOST_IP_ADAPTERS, must live until the network is built. Nothing where the job has none, as in the rest. */
void image_prompts_inputs(nn *n, const job *j, int items, stage *s, image_prompt *out);
void image_prompts_key(const job *j, network_key *key); /* what the denoiser's key has of them */

/* The compiled network of `which`, for one picture. NULL: failed. */
stage *image_prompt_network(session *s, const job *j, int which, error *e);
uint64_t image_prompts_bytes(const job *j, int pictures); /* what is held besides the networks */

typedef struct image_prompts {
	job *const *jobs;                /* that are alike */
	int count;                       /* of pictures */
	float *tokens[MOST_IP_ADAPTERS]; /* [picture][its images, and a blank one where there are unconditional
	                                    branches][tokens][width]; owned */
	float *strengths;                /* as the denoiser's input has them; owned */
	const stage *written;            /* the network whose inputs hold them; NULL: none yet */
} image_prompts;

/* Makes the tokens. */
bool image_prompts_begin(image_prompts *y, session *s, job *const *jobs, int count, const watcher *w, error *e);
/* Writes what is new to the denoiser's inputs, before a step of `steps`. */
bool image_prompts_write(image_prompts *y, int step, int steps, const stage *denoiser, error *e);
void image_prompts_end(image_prompts *y);

#endif
