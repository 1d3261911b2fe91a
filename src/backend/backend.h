/* backend.h - the backends there are. Each is a table of kernels (graph.h); what fits nowhere else runs in
 * `reference`, so everything always works. */
#ifndef SUMI_BACKEND_H
#define SUMI_BACKEND_H
#include "graph/graph.h"

/* Plain C on `real`: slow, and right. Handles every operation, shape and dtype: bf16 values are widened, computed
 * and rounded. The oracle of the operation test, in float and in double. */
const backend *backend_reference(void);

/* oneDNN for convolution and matmul, our own kernels for the rest; reference after them. In the double build this is
 * the reference itself. */
const backend *backend_cpu(void);

/* By the name of a device: "cpu" (NULL too); "cuda" or "cuda:N", a GPU; "auto": the first GPU where one can be used, else
 * the CPU. NULL: there is no such device, or it cannot be used, as e says. */
const backend *backend_named(const char *device, error *e);

/* Whether this CPU multiplies bf16 natively (AVX-512-BF16): the default compute type follows it. */
bool cpu_has_bf16(void);

#endif
