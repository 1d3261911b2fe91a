/* types.h - the element types of weights as users spell them. */
#ifndef SUMI_CHECKPOINT_TYPES_H
#define SUMI_CHECKPOINT_TYPES_H
#include "base/error.h"
#include "graph/graph.h"

/* "f32", "f16", "bf16", "f8_e4m3" or "f8_e5m2", in any case; BAD_USAGE for others. */
bool type_from_name(const char *name, dtype *type, error *e);
/* The same, and "q8_0", "q5_1", "q5_0", "q4_1", "q4_0" where the file is a GGUF, which lacks the floats of 8 bits. */
bool file_type_from_name(const char *name, bool gguf, dtype *type, error *e);
/* What to compute in: "f32" or "bf16"; NULL or "auto": bf16 on a device and on a CPU that has it, else f32. */
bool compute_type_from_name(const char *name, const backend *b, dtype *type, error *e);
/* How a float tensor of so many axes is stored in a file of that type: biases and norms, which weigh little and mean
 * much, are F16 in files of eight bits. */
dtype stored_type(dtype wanted, int ndims);
/* How a tensor of type `from` is stored in a GGUF of that type; NO_DTYPE: as it is, as far as GGUF has it. Which
 * tensors are not quantised is stable-diffusion.cpp's choice (tensor_should_be_converted): rows that are no whole
 * blocks, biases, embeddings, first and last layers; and what has one axis. Of these, F32 whose rows are no blocks
 * becomes F16. */
dtype gguf_stored_type(dtype wanted, dtype from, const char *name, int ndims, const int64_t *axes);

#endif
