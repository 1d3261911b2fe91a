/* diffusion.h - what the jobs that train on latents and captions share: diffusion, lora, embedding, controlnet, cache.
 */
#ifndef SUMI_TRAIN_DIFFUSION_H
#define SUMI_TRAIN_DIFFUSION_H
#include "checkpoint/checkpoint.h"
#include "train/data/latents.h"
#include "train/objective/conditions.h"
#include "train/objective/noising.h"
#include "train/run/trainer.h"

typedef struct diffusion {
	learner learner;
	const train_options *options;
	checkpoint *source; /* files that frozen weights lie in; NULL: none */
	checkpoint *vae;
	weights *given[TEXT_ENCODERS]; /* files of text encoders of their own */
	conditions conditions;
	/* Adds to what the denoiser reads, such as a control network's outputs; NULL: nothing. */
	void (*extend)(void *context, nn *n, denoiser_inputs *in);
	void *extend_context;
	noise_schedule schedule;
	noising noising;
	cache *cache; /* NULL: pictures are encoded batch by batch */
	char cache_folder[4096];
	encoder *encoder;
	dtype compute;
	bool keeps_texts;    /* the states of frozen text encoders are kept with the latents before the first step */
	bool pixel_sizes;    /* a batch's size is that of pictures; false: of latents */
	int64_t class_first; /* pictures of the set from this index on keep the class as it is; −1: there are none */
	float *scratch;      /* three latents and the moments of one */
	size_t room;         /* elements of one of them */
} diffusion;

/* Reads the models and the vocabulary; d may be uninitialized and is to be closed in any case. trains_words: of the
 * text encoders that read chunks something is trained: their weights where train_unet, else what the job adds. */
bool diffusion_open(
    diffusion *d, const train_options *o, bool train_unet, bool trains_words, const training_listener *l, error *e);
void diffusion_close(diffusion *d);
/* The set surveyed, the memory planned, and, unless --plan asks for no more, latents prepared and steps made. *source:
 * data_options_of(); changed as diffusion_prepare_latents() says. */
bool diffusion_train(diffusion *d, task *t, data_options *source, const training_listener *l, error *e);
/* Of a task. Inputs of the graph: x, t, target, weight, and those of conditions.h. */
tensor diffusion_build(void *d, nn *n, int count, int height, int width);
bool diffusion_fill(void *d, graph *g, const data_batch *b, error *e);

/* ── diffusion_texts.c ── */
/* Which text encoders there are, their tokenizers, and which are trained: of those that read chunks all or none. */
bool diffusion_open_texts(diffusion *d, bool trained, const training_listener *l, error *e);
/* Adds their weights to the learner's. trained: the weights are, of encoders that are trained. */
bool diffusion_add_texts(diffusion *d, bool trained, error *e);
/* Of a task: bytes of the text encoders that work in each step, about. */
size_t diffusion_others(void *d);

/* ── diffusion_latents.c ── */
/* Whether the states of frozen text encoders are kept with the latents. */
bool diffusion_keeps_texts(const diffusion *d, const data_options *source);
/* Opens the cache that the set is, or encodes the set once where that is wanted, and settles the latent scale. Then
 * *source is the cache: captions without pixels; and d->conditions says which text states it holds. */
bool diffusion_prepare_latents(diffusion *d, data_options *source, const training_listener *l, error *e);

/* What a family's denoiser is trained to answer; makes the schedule. */
bool noising_of(const family *f, const train_options *o, noise_schedule *schedule, noising *n, error *e);

#endif
