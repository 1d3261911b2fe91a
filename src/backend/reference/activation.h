/* activation.h - the value and the slope of every activation (enum activation in graph.h), for the reference kernels
 * and for kernels that have no vector form of one. Computed in double, rounded once. */
#ifndef SUMI_BACKEND_REFERENCE_ACTIVATION_H
#define SUMI_BACKEND_REFERENCE_ACTIVATION_H
#include "graph/graph.h"

real activation_value(activation a, real x);
/* f'(x). At a kink it is PyTorch's choice: 0 for RELU and ABS, the leaky slope for LEAKY_RELU, 1 on the edges of
 * CLAMP_LOGVAR. */
real activation_slope(activation a, real x);

#endif
