/* image_masks.h - where in a picture an image prompt counts: a mask at every size at which a U-Net attends. */
#ifndef SUMI_PIPELINE_IMAGE_MASKS_H
#define SUMI_PIPELINE_IMAGE_MASKS_H
#include "models/unet.h"
#include <sumi.h>

/* Places of a latent of this size at each of the U-Net's levels, none of them 0. */
void image_mask_places(const unet_config *c, int height, int width, int places[IMAGE_MASKS]);

/* The mask for a picture of `height`×`width`, at all levels one after the other, to `out`: 1 where it is white on
 * average and 0 elsewhere at the picture's size, and from there by torch's bicubic interpolation, which shoots over
 * at edges (diffusers' IPAdapterMaskProcessor). A level has the latent's sides, halved and rounded up. */
bool image_mask(const sumi_image *mask, int height, int width, const unet_config *c, int latent_height,
    int latent_width, float *out, error *e);

#endif
