/* move.c - operations that only move values: bytes, whatever the type. */
#include "backend/reference/plain.h"
#include "tensor/dtype.h"
#include <string.h>

bool plain_fill(const call *c)
{
	double value = (double)c->y->f[0];
	char element[8], *y = c->out;
	size_t size = dtype_size(c->y->dtype), n = count_of(c->y);
	convert(element, c->y->dtype, &value, F64, 1);
	for (size_t i = 0; i < n; i++) memcpy(y + i * size, element, size);
	return true;
}

/* A graph aliases its views; this serves one that does not. */
bool plain_view(const call *c)
{
	size_t size = dtype_size(c->y->dtype);
	memmove(c->out, (const char *)c->in[0] + (size_t)c->y->a[0] * size, count_of(c->y) * size);
	return true;
}

static bool permute_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const shape in = c->x[0]->shape, out = c->y->shape;
	size_t size = dtype_size(c->y->dtype), step[MAX_DIMS], d[MAX_DIMS] = { 1, 1, 1, 1 }, from[MAX_DIMS] = { 0 };
	step[in.n - 1] = size;
	for (int i = in.n - 2; i >= 0; i--) step[i] = step[i + 1] * (size_t)in.d[i + 1];
	for (int i = 0; i < out.n; i++) {
		int k = i + MAX_DIMS - out.n;
		d[k] = (size_t)out.d[i];
		from[k] = step[c->y->a[i]];
	}
	for (size_t r = first; r < end; r++) {
		const char *x = c->in[0];
		x += r / (d[1] * d[2]) * from[0] + r / d[2] % d[1] * from[1] + r % d[2] * from[2];
		char *y = (char *)c->out + r * d[3] * size;
		for (size_t i = 0; i < d[3]; i++) memcpy(y + i * size, x + i * from[3], size);
	}
	return true;
}

bool plain_permute(const call *c)
{
	return share(c, count_of(c->y) / last_axis(c->y), last_axis(c->y), permute_part, c);
}

/* Bytes of one step along an axis, and how often the axis is walked. */
static size_t bytes_within(const node *n, int axis)
{
	size_t bytes = dtype_size(n->dtype);
	for (int i = axis + 1; i < n->shape.n; i++) bytes *= (size_t)n->shape.d[i];
	return bytes;
}

static size_t walks(const node *n, int axis)
{
	size_t count = 1;
	for (int i = 0; i < axis; i++) count *= (size_t)n->shape.d[i];
	return count;
}

bool plain_slice(const call *c)
{
	int axis = c->y->a[0];
	size_t unit = bytes_within(c->y, axis), bytes = unit * (size_t)c->y->shape.d[axis];
	size_t whole = unit * (size_t)c->x[0]->shape.d[axis], first = unit * (size_t)c->y->a[1], n = walks(c->y, axis);
	for (size_t i = 0; i < n; i++)
		memcpy((char *)c->out + i * bytes, (const char *)c->in[0] + i * whole + first, bytes);
	return true;
}

bool plain_pad(const call *c)
{
	int axis = c->y->a[0];
	size_t unit = bytes_within(c->y, axis), bytes = unit * (size_t)c->x[0]->shape.d[axis];
	size_t whole = unit * (size_t)c->y->shape.d[axis], first = unit * (size_t)c->y->a[1], n = walks(c->y, axis);
	memset(c->out, 0, n * whole);
	for (size_t i = 0; i < n; i++)
		memcpy((char *)c->out + i * whole + first, (const char *)c->in[0] + i * bytes, bytes);
	return true;
}

bool plain_concat(const call *c)
{
	int axis = c->y->a[0];
	size_t unit = bytes_within(c->y, axis), n = walks(c->y, axis);
	size_t left = unit * (size_t)c->x[0]->shape.d[axis], right = unit * (size_t)c->x[1]->shape.d[axis];
	char *y = c->out;
	for (size_t i = 0; i < n; i++) {
		memcpy(y + i * (left + right), (const char *)c->in[0] + i * left, left);
		memcpy(y + i * (left + right) + left, (const char *)c->in[1] + i * right, right);
	}
	return true;
}

static bool resize_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const int *from = c->x[0]->shape.d, *to = c->y->shape.d;
	size_t pixel = bytes_within(c->y, 2);
	for (size_t r = first; r < end; r++) {
		size_t n = r / (size_t)to[1], row = r % (size_t)to[1] * (size_t)from[1] / (size_t)to[1];
		const char *x = (const char *)c->in[0] + (n * (size_t)from[1] + row) * (size_t)from[2] * pixel;
		char *y = (char *)c->out + r * (size_t)to[2] * pixel;
		for (size_t i = 0; i < (size_t)to[2]; i++)
			memcpy(y + i * pixel, x + i * (size_t)from[2] / (size_t)to[2] * pixel, pixel);
	}
	return true;
}

bool plain_resize(const call *c)
{
	const int *to = c->y->shape.d;
	return share(c, (size_t)to[0] * (size_t)to[1], (size_t)to[2] * (size_t)to[3], resize_part, c);
}

bool plain_embedding(const call *c)
{
	const int32_t *ids = c->in[1];
	dtype from = c->x[0]->dtype, to = c->y->dtype; /* they differ where the table is a parameter as the file has it */
	size_t n = count_of(c->x[1]), width = last_axis(c->y);
	for (size_t i = 0; i < n; i++) {
		if (ids[i] < 0 || ids[i] >= c->x[0]->shape.d[0]) return false;
		convert_from((char *)c->out + i * width * dtype_size(to), to, c->in[0], from, (size_t)ids[i] * width, width);
	}
	return true;
}
