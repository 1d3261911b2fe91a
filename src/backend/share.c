/* share.c - parts of a size that is worth taking. */
#include "backend/share.h"

bool share(const call *c, size_t count, size_t each, part_fn *part, const void *context)
{
	enum { VALUES = 1 << 14 };
	return parallel_for(c->threads, count, grain_for(each, VALUES), part, context);
}
