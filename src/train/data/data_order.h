/* data_order.h - which samples the next batch holds: drawn one by one, put off until as many of one size are there. */
#ifndef SUMI_TRAIN_DATA_ORDER_H
#define SUMI_TRAIN_DATA_ORDER_H
#include "train/data/data.h"
#include "train/data/data_set.h"
#include "train/data/data_stream.h"

typedef struct sample {
	int64_t index;          /* in the set; −1: streamed */
	stream_sample streamed; /* owned by the owner of the sample */
	uint64_t seed;
} sample;
void sample_free(sample *s);

typedef struct batch_order batch_order;

/* Either of set and stream is NULL; both stay the caller's. */
batch_order *order_new(const data_options *o, data_set *set, stream *from, error *e);
void order_free(batch_order *b); /* NULL is fine */
/* Writes this process' part of the next batch; count 0: the end, where o->once. */
bool order_next(batch_order *b, sample *out, int *count, int *height, int *width, error *e);
size_t order_most_pixels(const batch_order *b); /* of one picture of any batch */

#endif
