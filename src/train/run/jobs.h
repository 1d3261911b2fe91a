/* jobs.h - what can be trained: each job reads its models, says what a batch's graph is, and hands the rest to train().
 * sumi_training_run() of the public header is train_run() with the options as texts. */
#ifndef SUMI_TRAIN_JOBS_H
#define SUMI_TRAIN_JOBS_H
#include "checkpoint/checkpoint.h"
#include "train/run/trainer.h"

/* Checks the options and runs the job. */
bool train_run(training_job job, const train_options *o, const training_listener *l, error *e);

bool train_autoencoder(const train_options *o, const training_listener *l, error *e);
bool train_diffusion(const train_options *o, const training_listener *l, error *e);
bool train_lora(const train_options *o, const training_listener *l, error *e);
bool train_embedding(const train_options *o, const training_listener *l, error *e);
bool train_controlnet(const train_options *o, const training_listener *l, error *e);
bool train_cache(const train_options *o, const training_listener *l, error *e); /* trains nothing: cache.h */

/* ── shared by the jobs ── */
/* A family from a known name, a JSON file, or JSON text. */
bool family_from_option(const char *given, family *f, error *e);
/* The data options of a job; `side` is the model's size. */
data_options data_options_of(const train_options *o, const training_listener *l, int side);
/* The sides of pictures, and the steps of buckets, are multiples of what the autoencoder, and the denoiser, read as
 * one. */
bool sides_fit(const data_options *source, const family *f, error *e);
dtype precision_of_cache(const train_options *o);
/* Surveys the set before the work and reports what is in it, what is missing and what is left out; a set without
 * captions is refused with --require_captions. From then on the data's log receives faults of pixels alone. */
bool survey_source(const train_options *o, data_options *source, const training_listener *l, error *e);
/* data_fingerprint() of the set as it lies, whatever is made of its pictures. */
bool fingerprint_of_set(const train_options *o, char hex[65], error *e);
int threads_of(const train_options *o);
/* Sets what computes, as --device has it, before anything is settled; says which GPU it is and what it lacks. */
bool choose_device(learner *m, const train_options *o, const training_listener *l, error *e);

#endif
