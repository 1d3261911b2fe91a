/* lpips.h - the learned perceptual distance of two pictures (arXiv 1801.03924): features of VGG16 (1409.1556) at five
 * depths, each normalized over its channels, squared differences weighted by channel. Source: the `lpips` package,
 * version 0.1, net "vgg"; latent-diffusion uses the same. */
#ifndef SUMI_MODELS_LPIPS_H
#define SUMI_MODELS_LPIPS_H
#include "nn/nn.h"

enum { LPIPS_STAGES = 5, LPIPS_CONVOLUTIONS = 13 };

typedef struct lpips_config {
	int width[LPIPS_STAGES]; /* channels: 64, 128, 256, 512, 512 in VGG16 */
} lpips_config;

/* Convolution i, 0 … 12, of VGG16: its stage from 0, and its index among torchvision's `features`. */
typedef struct lpips_layer {
	int stage, feature;
} lpips_layer;
lpips_layer lpips_layer_at(int i);

/* Pictures [N,H,W,3] in −1…1, full precision, 16×16 at least → [1]: the distance, mean over the pictures. Weights
 * "net.slice1.0.weight" … "net.slice5.28.bias", "lin0.model.1.weight" … [1,C,1,1], and [3] each "scaling_layer.shift"
 * and "scaling_layer.scale". */
tensor lpips(nn *n, const lpips_config *c, tensor a, tensor b);

#endif
