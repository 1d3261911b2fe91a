/* types.h - the element types of weights as users spell them. */
#ifndef SUMI_CHECKPOINT_TYPES_H
#define SUMI_CHECKPOINT_TYPES_H
#include "base/error.h"
#include "tensor/dtype.h"

/* "f32", "f16" or "bf16", in any case; BAD_USAGE for others. */
bool type_from_name(const char *name, dtype *type, error *e);

#endif
