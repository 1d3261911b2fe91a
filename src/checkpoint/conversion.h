/* conversion.h - what the two directions of sumi_convert share; for the files convert*.c alone. */
#ifndef SUMI_CHECKPOINT_CONVERSION_H
#define SUMI_CHECKPOINT_CONVERSION_H
#include "checkpoint/outputs.h"
#include "models/diffusers.h"

typedef struct conversion {
	const checkpoint *from;
	const char *to;
	family family; /* as it is written */
	role role;
	outputs *out;
	bool *used; /* by place in `from` */
	bool clamp;
	uint64_t max_shard; /* bytes of a file of a folder */
	error *e;
} conversion;

/* Marks a weight as one that has a place in what is written. */
void conversion_mark(conversion *c, const weight *w);
/* Warns of those that have none. */
void conversion_report(const conversion *c, const sumi_listener *l);
output *conversion_add(conversion *c, const char *name, shape s); /* NULL: failed */
/* Elements `first` … of a weight, which are a piece: turned round where the piece is. */
bool conversion_take(conversion *c, output *t, const weight *w, const key_piece *p, size_t first, size_t count);

bool convert_to_folder(conversion *c, dtype type, const sumi_listener *l);

#endif
