/* convolution.c - the convolution and its gradient by data, by oneDNN, in pieces.
 *
 * Both fill a map, the target, from another, the source. The target is cut into pictures, strips of rows and, where
 * the weight is large or there are few rows for many channels, ranges of channels. The cut depends on the shapes alone
 * and each piece is a convolution of its own, made for one thread, so that the number of threads changes no bit. */
#include "backend/cpu/onednn.h"
#include "backend/cpu/rows.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

conv_shape conv_shape_of(const node *picture, const node *weight, const node *result, const node *y)
{
	const int *p = picture->shape.d, *w = weight->shape.d, *r = result->shape.d, *a = y->a;
	return (conv_shape){ p[0], p[1], p[2], p[3], r[1], r[2], r[3], w[2], w[3], a[0], a[1], a[2], a[3], a[4], p[3] };
}

bool conv_is_thin(const node *picture, const node *result) { return last_axis(picture) < 16 || last_axis(result) < 16; }

static bool fits(const call *c)
{
	return c->x[0]->dtype == c->x[1]->dtype && onednn_computes(c->x[0]->dtype) && c->y->dtype == c->x[0]->dtype;
}

static bool fits_thin(const call *c) { return fits(c) && conv_is_thin(c->x[0], c->y); }

enum { MOST_MADE = 24 }; /* different shapes of pieces: the first, the last and those between, along each cut */

typedef struct piece {
	const onednn *by;
	size_t source, target;            /* where its maps begin, in values; in the target, channel 0 of its first pixel */
	size_t channel, channels, pixels; /* of the target */
	size_t weight, packed;            /* where its weight begins: in values as it is, in bytes packed */
} piece;

typedef struct pieces {
	conv_shape whole;
	bool by_data;
	int images, rows, channels; /* of a piece; the last along each may have fewer */
	int image_cuts, row_cuts, channel_cuts;
	piece *list; /* those of the first channels first */
	size_t count;
	struct {
		conv_shape shape;
		onednn *primitive;
	} made[MOST_MADE];
	int made_count;
	size_t packed_bytes, scratch_bytes, result_bytes;
} pieces;

static void release(void *state)
{
	pieces *p = state;
	for (int i = 0; i < p->made_count; i++) onednn_free(p->made[i].primitive);
	free(p->list);
	free(p);
}

/* ── the cut ── */

static int parts_of(int n, int length) { return (n + length - 1) / length; }

/* A length for about `count` parts of nearly the same size, at least `least` and a multiple of `step`. */
static int length_for(int n, double count, int least, int step)
{
	int length = count > 1 ? (int)((double)n / count + 0.999) : n;
	if (length < least) length = least;
	length = (length + step - 1) / step * step;
	if (length >= n) return n;
	length = (n + parts_of(n, length) - 1) / parts_of(n, length);
	return (length + step - 1) / step * step;
}

/* Pieces are worth a call of oneDNN, and are of pixels enough for a weight that is read to be used. A piece is of one
 * picture: so a batch gives each the same bits as it gets alone. */
static void choose_cut(pieces *p, dtype data)
{
	enum { MOST = 32, PIXELS = 64, CHANNELS = 64 };
	const double worth = data == BF16 ? 64e6 : 16e6; /* some 50 µs */
	const double cached = 1 << 20;                   /* bytes of a weight that stay in the second cache */
	const conv_shape *s = &p->whole;
	int height = p->by_data ? s->height : s->result_height, width = p->by_data ? s->width : s->result_width;
	int channels = p->by_data ? s->in : s->out;
	double weight = (double)s->out * s->in * s->kernel_height * s->kernel_width;
	double flop = 2 * weight * s->result_height * s->result_width, wanted = flop / worth > MOST ? MOST : flop / worth;
	double bytes = weight * (double)dtype_size(data);
	p->images = 1;
	p->image_cuts = s->images;
	/* A large weight is cut first, so that a range of it serves all rows of all pictures while it is in the cache. */
	p->channels = bytes > 1.5 * cached ? length_for(channels, bytes / cached, CHANNELS, CHANNELS) : channels;
	p->rows = length_for(height, wanted / parts_of(channels, p->channels), parts_of(PIXELS, width), 1);
	p->row_cuts = parts_of(height, p->rows);
	if (p->channels == channels) p->channels = length_for(channels, wanted / p->row_cuts, CHANNELS, CHANNELS);
	p->channel_cuts = parts_of(channels, p->channels);
}

static int smaller(int a, int b) { return a < b ? a : b; }

/* Rows first … end−1 of the target as a map of their own. *from: the first row of the source that they meet. False:
 * they meet none, or oneDNN has no padding for it. */
static bool strip_of(const pieces *p, int first, int end, conv_shape *s, int *from)
{
	const conv_shape *w = &p->whole;
	*s = *w;
	if (first == 0 && end == (p->by_data ? w->height : w->result_height)) return *from = 0, true;
	if (!p->by_data) {
		int low = first * w->stride - w->top, high = (end - 1) * w->stride - w->top + w->kernel_height;
		s->top = low < 0 ? -low : 0;
		s->bottom = high > w->height ? high - w->height : 0;
		*from = low < 0 ? 0 : low;
		s->height = smaller(high, w->height) - *from;
		s->result_height = end - first;
		return s->height > 0 && s->top < w->kernel_height && s->bottom < w->kernel_height;
	}
	int low = first + w->top - w->kernel_height + 1, high = (end - 1 + w->top) / w->stride + 1;
	*from = low > 0 ? parts_of(low, w->stride) : 0;
	s->result_height = smaller(high, w->result_height) - *from;
	s->height = end - first;
	s->top = first + w->top - *from * w->stride;
	s->bottom = (s->result_height - 1) * w->stride + w->kernel_height - s->top - s->height;
	if (s->bottom < 0 && s->bottom > -w->stride)
		s->bottom = 0; /* rows that no result reaches are not there for oneDNN */
	return s->result_height > 0 && s->top >= 0 && s->top < w->kernel_height && s->bottom >= 0 &&
	       s->bottom < w->kernel_height;
}

static onednn *primitive_for(pieces *p, const conv_shape *s, const call *c, const onednn *like)
{
	for (int i = 0; i < p->made_count; i++)
		if (!memcmp(&p->made[i].shape, s, sizeof *s)) return p->made[i].primitive;
	if (p->made_count == MOST_MADE) return NULL;
	onednn_epilogue epilogue = { c->x[2] != NULL, c->x[3] != NULL, (activation)c->y->a[5] };
	onednn *made =
	    onednn_conv(s, p->by_data ? CONV_BY_DATA : CONV_FORWARD, c->x[0]->dtype, p->by_data ? NULL : &epilogue, like);
	if (!made) return NULL;
	p->made[p->made_count].shape = *s;
	p->made[p->made_count++].primitive = made;
	if (onednn_scratch_bytes(made) > p->scratch_bytes) p->scratch_bytes = onednn_scratch_bytes(made);
	return made;
}

/* Pieces of one range of channels read the same packed weight. */
static bool make_piece(pieces *p, const call *c, int channel, int image, int row, const onednn *like)
{
	const conv_shape *w = &p->whole;
	conv_shape s;
	int from, source_rows = p->by_data ? w->result_height : w->height,
	          target_rows = p->by_data ? w->height : w->result_height;
	int source_width = p->by_data ? w->result_width : w->width, target_width = p->by_data ? w->width : w->result_width;
	int source_channels = p->by_data ? w->out : w->in, target_channels = p->by_data ? w->in : w->out;
	if (!strip_of(p, row, smaller(row + p->rows, target_rows), &s, &from)) return false;
	s.images = smaller(p->images, w->images - image);
	int channels = smaller(p->channels, target_channels - channel);
	*(p->by_data ? &s.in : &s.out) = channels;
	onednn *by = primitive_for(p, &s, c, like);
	size_t rows = (size_t)(p->by_data ? s.height : s.result_height),
	       plane = (size_t)(w->kernel_height * w->kernel_width);
	p->list[p->count++] = (piece){
		.by = by,
		.source = ((size_t)image * (size_t)source_rows + (size_t)from) * (size_t)source_width * (size_t)source_channels,
		.target = ((size_t)image * (size_t)target_rows + (size_t)row) * (size_t)target_width * (size_t)target_channels,
		.channel = (size_t)channel,
		.channels = (size_t)channels,
		.pixels = (size_t)s.images * rows * (size_t)target_width,
		.weight = (size_t)channel * plane * (size_t)(p->by_data ? 1 : w->in),
		.packed = p->packed_bytes,
	};
	size_t result = (size_t)s.images * rows * (size_t)target_width * (size_t)channels * dtype_size(c->y->dtype);
	if (p->channel_cuts > 1 && aligned(result) > p->result_bytes) p->result_bytes = aligned(result);
	return by;
}

static bool make_pieces(pieces *p, const call *c)
{
	const conv_shape *w = &p->whole;
	int height = p->by_data ? w->height : w->result_height, channels = p->by_data ? w->in : w->out;
	p->list = calloc((size_t)p->channel_cuts * (size_t)p->image_cuts * (size_t)p->row_cuts, sizeof *p->list);
	if (!p->list) return false;
	for (int channel = 0; channel < channels; channel += p->channels) {
		const onednn *like = NULL;
		for (int image = 0; image < w->images; image += p->images)
			for (int row = 0; row < height; row += p->rows) {
				if (!make_piece(p, c, channel, image, row, like)) return false;
				if (!like) like = p->list[p->count - 1].by;
			}
		size_t packed = aligned(onednn_packed_bytes(like));
		if (channel && !packed != !p->packed_bytes) return false; /* all ranges are read packed, or none */
		p->packed_bytes += packed;
	}
	return true;
}

/* As pieces, or, where one of them is of a kind that oneDNN does not make, whole. */
static bool prepare(call *c, error *e)
{
	bool by_data = c->y->op == CONV_DX;
	for (int whole = 0; whole < 2; whole++) {
		pieces *p = calloc(1, sizeof *p);
		if (!p) break;
		p->by_data = by_data;
		p->whole = by_data ? conv_shape_of(c->y, c->x[1], c->x[0], c->y) : conv_shape_of(c->x[0], c->x[1], c->y, c->y);
		if (whole) {
			p->images = p->whole.images, p->rows = by_data ? p->whole.height : p->whole.result_height;
			p->channels = by_data ? p->whole.in : p->whole.out;
			p->image_cuts = p->row_cuts = p->channel_cuts = 1;
		} else
			choose_cut(p, c->x[0]->dtype);
		c->state = p;
		if (make_pieces(p, c)) return true;
		release(p);
		c->state = NULL;
	}
	return fail(e, NO_MEMORY, "out of memory: oneDNN makes no convolution for %s", c->y->name ? c->y->name : "a node");
}

/* ── running ── */

static size_t scratch_bytes(const call *c)
{
	const pieces *p = c->state;
	return (size_t)c->threads * (p->scratch_bytes + p->result_bytes);
}

static size_t packed_bytes(const call *c) { return ((const pieces *)c->state)->packed_bytes; }

/* What the parts share. */
typedef struct pieces_job {
	const call *c;
	const pieces *p;
	size_t size; /* bytes of a value */
	atomic_int *failure;
} pieces_job;

static bool pack_weights(const void *context, size_t first, size_t end, int worker)
{
	const pieces_job *j = context;
	size_t each = j->p->count / (size_t)j->p->channel_cuts;
	char *room = (char *)j->c->scratch + (size_t)worker * (j->p->scratch_bytes + j->p->result_bytes);
	int failure = 0;
	for (size_t k = first; k < end && !failure; k++) {
		const piece *q = &j->p->list[k * each];
		failure =
		    onednn_pack(q->by, (const char *)j->c->in[1] + q->weight * j->size, (char *)j->c->packed + q->packed, room);
	}
	if (failure) atomic_store(j->failure, failure);
	return !failure;
}

static bool pack(const call *c, error *e)
{
	atomic_int failure = 0;
	const pieces *p = c->state;
	pieces_job j = { c, p, dtype_size(c->x[1]->dtype), &failure };
	parallel_for(c->threads, (size_t)p->channel_cuts, 1, pack_weights, &j);
	return onednn_went_well(failure, c, e);
}

/* A piece of some channels is computed by itself and laid into the target's pixels. */
static int run_piece(const pieces_job *j, const piece *q, char *room)
{
	const call *c = j->c;
	const pieces *p = j->p;
	const char *source = (const char *)c->in[0] + q->source * j->size;
	const void *weight =
	    p->packed_bytes ? (const char *)c->packed + q->packed : (const char *)c->in[1] + q->weight * j->size;
	const float *bias = !p->by_data && c->x[2] ? (const float *)c->in[2] + q->channel : NULL;
	char *target = (char *)c->out + (q->target + q->channel) * j->size;
	if (p->channel_cuts == 1) return onednn_run(q->by, source, weight, bias, target, room);
	char *result = room + p->scratch_bytes;
	size_t bytes = q->channels * j->size, step = (size_t)(p->by_data ? p->whole.in : p->whole.out) * j->size;
	if (!p->by_data && c->x[3])
		for (size_t i = 0; i < q->pixels; i++) memcpy(result + i * bytes, target + i * step, bytes);
	int failure = onednn_run(q->by, source, weight, bias, result, room);
	for (size_t i = 0; i < q->pixels; i++) memcpy(target + i * step, result + i * bytes, bytes);
	return failure;
}

static bool run_pieces(const void *context, size_t first, size_t end, int worker)
{
	const pieces_job *j = context;
	char *room = (char *)j->c->scratch + (size_t)worker * (j->p->scratch_bytes + j->p->result_bytes);
	int failure = 0;
	for (size_t k = first; k < end && !failure; k++) failure = run_piece(j, &j->p->list[k], room);
	if (failure) atomic_store(j->failure, failure);
	return !failure;
}

static bool run(const call *c, error *e)
{
	atomic_int failure = 0;
	const pieces *p = c->state;
	pieces_job j = { c, p, dtype_size(c->x[0]->dtype), &failure };
	if (!p->by_data && c->x[3] && c->in[3] != c->out) memcpy(c->out, c->in[3], count_of(c->y) * j.size);
	parallel_for(c->threads, p->count, 1, run_pieces, &j);
	return onednn_went_well(failure, c, e);
}

#define ROW(operation, label, fits)                                                      \
	{                                                                                    \
		operation, label, fits, prepare, scratch_bytes, packed_bytes, pack, run, release \
	}
const kernel onednn_conv_forward = ROW(CONV, "oneDNN", fits);
const kernel onednn_conv_forward_thin = ROW(CONV, "oneDNN thin", fits_thin);
const kernel onednn_conv_dx = ROW(CONV_DX, "oneDNN", fits);
const kernel onednn_conv_dx_thin = ROW(CONV_DX, "oneDNN thin", fits_thin);
