/* outputs.h - tensors on their way into a file: what each is called there, and which rows of which weights it is made
 * of. Written a piece at a time, so that a model of any size takes little memory. */
#ifndef SUMI_CHECKPOINT_OUTPUTS_H
#define SUMI_CHECKPOINT_OUTPUTS_H
#include "models/families.h"
#include "checkpoint/checkpoint.h"
#include <sumi.h>

enum { OUTPUT_PARTS = 3 };

typedef struct output {
	char *name; /* owned */
	dtype from, type;
	int ndims;
	int64_t shape[WEIGHT_DIMS];
	struct {
		const weight *w;
		size_t first, count; /* elements */
	} part[OUTPUT_PARTS];    /* one behind the other */
	int parts;               /* 0: the numbers 0, 1, 2, … */
	bool split;              /* a part begins or ends within a block of a quantised type */
	bool transposed;         /* of one part, a matrix whose axes the weight has in the other order */
} output;

typedef struct outputs { /* of one file; zeros to begin with */
	output *list;
	size_t count, room;
	dtype type; /* of float tensors; NO_DTYPE: as they are */
	bool gguf;  /* the file is a GGUF; others have no quantised types: they become F16 */
} outputs;

/* One more tensor, with no parts yet; NULL: failed. The pointer is good until the next one. */
output *outputs_add(outputs *o, const char *name, int ndims, const int64_t *axes, error *e);
/* Elements of w, behind what the tensor has already; all parts of a tensor have one type. */
bool output_take(outputs *o, output *t, const weight *w, size_t first, size_t count, error *e);

/* Its one part is a matrix that lies the other way round. */
void output_transpose(output *t);

/* Whether every value stays finite in the type in which it is written; BAD_FILE, with how many do not, and of which
 * tensor the first is. */
bool outputs_fit(const outputs *o, error *e);

/* How far all files of a conversion are; the listener is called for every tensor. */
typedef struct outputs_progress {
	const sumi_listener *listener; /* may be NULL */
	int done, all;
} outputs_progress;

/* Writes them with this metadata, {key, value} up to {NULL}. `source` is read and its pages released as they are
 * written. What is too large for its type becomes the largest that it has; of what is no number the listener is warned.
 */
bool outputs_write(const outputs *o, const char *path, const char *const (*metadata)[2], const checkpoint *source,
    outputs_progress *p, error *e);
void outputs_free(outputs *o);

#endif
