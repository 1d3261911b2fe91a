/* jobs.h - what can be trained: each job reads its models, says what a batch's graph is, and hands the rest to train().
 * sumi_training_run() of the public header is train_run() with the options as texts. */
#ifndef SUMI_TRAIN_JOBS_H
#define SUMI_TRAIN_JOBS_H
#include "train/run/listener.h"
#include "train/run/options.h"

/* Checks the options, keeps other runs out of the folder, and runs the job. */
bool train_run(training_job job, const train_options *o, const training_listener *l, error *e);

bool train_autoencoder(const train_options *o, const training_listener *l, error *e);
bool train_diffusion(const train_options *o, const training_listener *l, error *e);
bool train_lora(const train_options *o, const training_listener *l, error *e);
bool train_embedding(const train_options *o, const training_listener *l, error *e);
bool train_controlnet(const train_options *o, const training_listener *l, error *e);
bool train_cache(const train_options *o, const training_listener *l, error *e); /* trains nothing: cache.h */

#endif
