/* perceptual.h - the weights of the perceptual loss, from the files that its users have. */
#ifndef SUMI_TRAIN_PERCEPTUAL_H
#define SUMI_TRAIN_PERCEPTUAL_H
#include "io/weights.h"
#include "models/lpips.h"
#include "train/run/learner.h"

typedef struct perceptual {
	weights *files[2]; /* that the weights lie in */
	lpips_config config;
} perceptual; /* {0} is empty */

/* Reads `paths`, one file or two with a comma between, and adds what lpips() names to the model, frozen and not part of
 * what is written, under "lpips.". Convolutions are "features.0.weight" (torchvision's vgg16) or
 * "net.slice1.0.weight", the layers over them "lin0.model.1.weight" (the lpips package), all also behind
 * "loss.perceptual_loss." (an autoencoder's checkpoint of latent-diffusion). The widths are the file's. p stays open as
 * long as the model is used, and is to be closed in any case. */
bool perceptual_open(perceptual *p, const char *paths, learner *m, error *e);
void perceptual_close(perceptual *p);

#endif
