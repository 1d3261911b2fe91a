/* autoencoder.h - the parts of `train autoencoder` that its tests use as well. */
#ifndef SUMI_TRAIN_AUTOENCODER_H
#define SUMI_TRAIN_AUTOENCODER_H
#include "checkpoint/checkpoint.h"
#include "train/objective/adversary.h"
#include "train/objective/perceptual.h"
#include "train/run/trainer.h"

typedef struct autoencoder {
	learner learner;
	const train_options *options;
	checkpoint *source;    /* that it starts from; NULL: new */
	perceptual perceptual; /* empty: none */
	adversary adversary;
	bool plays; /* the graph that is built has the adversary */
	char logvar[PREFIX_LENGTH + 32];
} autoencoder;

/* Reads the models; a may be uninitialized and is to be closed in any case. */
bool autoencoder_open(autoencoder *a, const train_options *o, error *e);
void autoencoder_close(autoencoder *a);
task autoencoder_task(autoencoder *a);

/* Of the task. Inputs of the graph: image, noise. The loss is the autoencoder's; the discriminator's is hidden in it,
 * as a term whose value is taken away again. */
tensor autoencoder_build(void *a, nn *n, int count, int height, int width);

#endif
