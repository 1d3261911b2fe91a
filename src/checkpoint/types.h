/* types.h - the element types of weights as users spell them. */
#ifndef SUMI_CHECKPOINT_TYPES_H
#define SUMI_CHECKPOINT_TYPES_H
#include "base/error.h"
#include "tensor/dtype.h"

/* "f32", "f16", "bf16", "f8_e4m3" or "f8_e5m2", in any case; BAD_USAGE for others. */
bool type_from_name(const char *name, dtype *type, error *e);
/* How a float tensor of so many axes is stored in a file of that type: biases and norms, which weigh little and mean
 * much, are F16 in files of eight bits. */
dtype stored_type(dtype wanted, int ndims);

#endif
