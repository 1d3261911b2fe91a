/* adversary.h - the discriminator that an autoencoder is trained against, and its part of the losses, as
 * latent-diffusion has them (CompVis, losses/contperceptual.py and vqperceptual.py): hinge loss, and for the
 * autoencoder −mean(logits) weighted by how much less it moves the last layer than the reconstruction does. */
#ifndef SUMI_TRAIN_ADVERSARY_H
#define SUMI_TRAIN_ADVERSARY_H
#include "models/discriminator.h"
#include "train/run/learner.h"

typedef struct adversary {
	discriminator_config config;
	char scope[PREFIX_LENGTH + 32]; /* of its keys: PREFIX.loss.discriminator */
	double weight;                  /* disc_weight */
} adversary;

/* Adds its weights to the model: those that `lookup` finds (NULL: none), else new ones, from N(0, 0.02). */
bool adversary_open(adversary *a, learner *m, tensor_lookup *lookup, void *context, uint64_t seed, error *e);

typedef struct contest { /* of one batch; all [1] full precision */
	tensor generator;    /* −mean(logits of the decoded pictures): of the detached pictures */
	tensor weight; /* of the generator's part: min(‖∇nll‖ / (‖∇generator‖ + 1e-4), 1e4) · disc_weight, detached */
	tensor pull;  /* its gradient gives the decoded pictures those of nll and of the weighted generator */
	tensor hinge; /* ½ mean(max(0, 1 − real)) + ½ mean(max(0, 1 + decoded)): for the discriminator alone */
} contest;
/* `nll` [1] must have been computed from `fake`, which is detach(g, picture), and be a mean over a picture's values;
 * `last` is the weight of the decoder's last layer. Gradients are compared in the original's units, sums over a
 * picture's values. */
contest adversary_build(const adversary *a, nn *n, tensor image, tensor picture, tensor fake, tensor nll, tensor last);

#endif
