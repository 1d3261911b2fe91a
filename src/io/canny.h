/* canny.h - edges of a picture (Canny 1986), to the pixel what OpenCV's Canny() finds with an aperture of 3 and the sum
 * of absolute gradients. */
#ifndef SUMI_IO_CANNY_H
#define SUMI_IO_CANNY_H
#include "io/picture.h"

/* White edges on black. At each pixel the channel with the strongest gradient counts; edges begin where it is above
 * `high` and go on while it is above `low`, both of a sum of |Sobel| in x and in y, at most 2040. */
bool picture_edges(picture *out, const picture *p, int low, int high, error *e);

#endif
