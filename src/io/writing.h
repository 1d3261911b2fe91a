/* writing.h - what the writers of weights share: the tensors of a file as they were declared. For weights_writer.c and
 * gguf_writer.c alone. */
#ifndef SUMI_IO_WRITING_H
#define SUMI_IO_WRITING_H
#include "base/buffer.h"
#include "io/table.h"

typedef struct declared {
	char *name; /* owned */
	dtype type;
	int ndims;
	int64_t shape[WEIGHT_DIMS];
	uint64_t begin, bytes; /* in the data */
} declared;

enum { GGUF_ALIGNMENT = 32 };

/* Whether GGUF has the type, the axes and so long a name, and whether the rows are whole blocks. */
bool gguf_can_hold(const declared *t, const char *path, error *e);
/* The header, up to where the data begin. */
void gguf_header(buffer *b, const declared *list, size_t count, const json_t *metadata);

#endif
