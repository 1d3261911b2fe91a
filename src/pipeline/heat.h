/* heat.h - a map of numbers over a picture, as colours. */
#ifndef SUMI_PIPELINE_HEAT_H
#define SUMI_PIPELINE_HEAT_H
#include "base/error.h"
#include <sumi.h>

/* Map `which` of the picture's attention over it, in its size: from its least value, dark blue, to its greatest, light
 * yellow. NULL: failed. */
sumi_image *heat_over(const sumi_image *picture, int which, error *e);

#endif
