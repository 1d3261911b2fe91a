/* setup.h - what every job makes of its options before it begins: the family, the data's options, the device. */
#ifndef SUMI_TRAIN_SETUP_H
#define SUMI_TRAIN_SETUP_H
#include "models/families.h"
#include "train/data/data.h"
#include "train/run/learner.h"
#include "train/run/listener.h"
#include "train/run/options.h"

/* A family from a known name, a JSON file, or JSON text. */
bool family_from_option(const char *given, family *f, error *e);
/* The data options of a job; `side` is the model's size. */
data_options data_options_of(const train_options *o, const training_listener *l, int side);
/* The sides of pictures, and the steps of buckets, are multiples of what the autoencoder, and the denoiser, read as
 * one. */
bool sides_fit(const data_options *source, const family *f, error *e);
dtype precision_of_cache(const train_options *o);
/* data_fingerprint() of the set as it lies, whatever is made of its pictures. */
bool fingerprint_of_set(const train_options *o, char hex[65], error *e);
int threads_of(const train_options *o);
/* Sets what computes, as --device has it, before anything is settled; says which GPU it is and what it lacks. */
bool choose_device(learner *m, const train_options *o, const training_listener *l, error *e);

#endif
