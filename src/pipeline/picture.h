/* picture.h - between pixels and what networks read: bytes to −1 … 1, masks to the size of a latent, and back. */
#ifndef SUMI_PIPELINE_PICTURE_H
#define SUMI_PIPELINE_PICTURE_H
#include "base/error.h"
#include <sumi.h>

/* [height][width][3] in −1 … 1, resized where the sizes differ; all grey (0) where p is NULL. The caller frees. */
float *picture_of(const sumi_image *p, int width, int height, error *e);
/* [height][width][3] in 0 … 1 to `out`, resized where the sizes differ: what a control network reads. high > 0: the
 * picture's edges (io/canny.h) in its place, found at that size. */
bool hint_of(const sumi_image *p, int width, int height, int low, int high, float *out, error *e);
/* [side][side][3] to `out` as CLIP's image encoder reads a picture (transformers' CLIPImageProcessor): the shorter side
 * resized to this by cubic interpolation, the middle cut out, each colour's mean taken off and divided by its
 * deviation.
 */
bool clip_picture(const sumi_image *p, int side, float *out, error *e);
/* A mask is painted where it is white; what is transparent in it is not painted, or, where all that was drawn on it is
 * dark, what is not transparent is (A1111 takes such a mask's transparency alone).
 *
 * [height][width], how white the mask is there, 0 … 1, or, where it is not soft, 1 where it is white on average and 0
 * elsewhere. The caller frees. */
float *mask_of(const sumi_image *p, bool soft, int width, int height, error *e);
/* Sets what the mask covers to grey; a NULL mask covers all. */
bool grey_masked(float *image, const sumi_image *mask, int width, int height, error *e);
/* −1 … 1 to bytes, rounded, as a picture without parameters; where there is a mask, `original` is kept where it is
 * black. The caller frees with sumi_image_free(). */
sumi_image *picture_from(
    const float *values, int width, int height, const sumi_image *original, const sumi_image *mask, error *e);

#endif
