/* blur.h - Gaussian blurs of bytes, in place: values [height][width][channels], rows from the top. */
#ifndef SUMI_IO_BLUR_H
#define SUMI_IO_BLUR_H
#include "base/error.h"
#include <stdint.h>

/* What A1111 does to a mask: OpenCV's GaussianBlur with a kernel of 2·⌊2.5·sigma + ½⌋ + 1 values in eighth-bit fixed
 * point, along rows, then along columns; borders are reflected without their last value. sigma > 0. */
bool blur_gaussian(uint8_t *values, int channels, int width, int height, double sigma, error *e);
/* Pillow's ImageFilter.GaussianBlur: three box blurs whose ends count in part, along rows, then along columns; borders
 * are repeated. Its time does not grow with the radius. radius ≥ 0. */
bool blur_pillow(uint8_t *values, int channels, int width, int height, double radius, error *e);

#endif
