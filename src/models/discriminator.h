/* discriminator.h - the patch discriminator (arXiv 1611.07004), as latent-diffusion's NLayerDiscriminator but for its
 * norms: group norm stands where that has batch norm, under the same names. A picture's logits so depend on that
 * picture alone, and n processes with batches of b learn what one with n·b learns. */
#ifndef SUMI_MODELS_DISCRIMINATOR_H
#define SUMI_MODELS_DISCRIMINATOR_H
#include "nn/nn.h"

typedef struct discriminator_config {
	int channels; /* of the first layer; they double from layer to layer, up to eight times as many */
	int layers;   /* convolutions with stride 2 */
} discriminator_config;

/* Pictures [N,H,W,C] in −1…1, full precision → logits [N,h,w,1], full precision: one for each patch, high for pictures
 * that look real. */
tensor discriminator(nn *n, const discriminator_config *c, tensor picture);
/* The smallest side that gives a logit. */
int discriminator_least_side(const discriminator_config *c);

#endif
