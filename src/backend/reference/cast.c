/* cast.c - conversion of element types, from sources that need not be aligned: a parameter may lie anywhere in a
 * mapped file. */
#include "backend/reference/plain.h"
#include "tensor/dtype.h"

bool plain_cast(const call *c)
{
	convert(c->out, c->y->dtype, c->in[0], c->x[0]->dtype, count_of(c->y));
	return true;
}
