/* cast.c - conversion of element types, from sources that need not be aligned: a parameter may lie anywhere in a
 * mapped file. */
#include "backend/reference/plain.h"
#include "tensor/dtype.h"
#include <stdint.h>
#include <string.h>

void convert_any(void *dst, dtype to, const void *src, dtype from, size_t n)
{
	enum { CHUNK = 512 };
	_Alignas(8) char aligned[CHUNK * 8];
	size_t in = dtype_size(from), out = dtype_size(to);
	if (to == from) {
		memcpy(dst, src, n * in);
	} else if ((uintptr_t)src % in == 0) {
		convert(dst, to, src, from, n);
	} else {
		for (size_t i = 0; i < n; i += CHUNK) {
			size_t count = n - i < CHUNK ? n - i : CHUNK;
			memcpy(aligned, (const char *)src + i * in, count * in);
			convert((char *)dst + i * out, to, aligned, from, count);
		}
	}
}

bool plain_cast(const call *c)
{
	convert_any(c->out, c->y->dtype, c->in[0], c->x[0]->dtype, count_of(c->y));
	return true;
}
