/* data_order.c - epochs, sizes and batches. Every process draws the same samples of a set and keeps its part of each
 * whole batch; of a stream it draws its own. */
#include "train/data/data_order.h"
#include "train/data/data_bucket.h"
#include "train/data/data_sample.h"
#include <stdlib.h>
#include <string.h>

typedef struct group { /* samples of one size that wait for more */
	int height, width, count;
	sample *waiting; /* [whole batch] */
} group;

struct batch_order {
	data_options o;
	data_set *set;
	stream *stream;
	int side, whole; /* whole: samples of a batch of all processes that share the order */
	int64_t *order[2];
	int64_t epoch[2]; /* of order, by parity */
	uint64_t drawn;
	bucket_size *buckets;
	int bucket_count;
	group *groups;
	int group_count;
};

void sample_free(sample *s) { stream_sample_free(&s->streamed); }

static int64_t item_of(batch_order *b, uint64_t k)
{
	if (b->o.once) return b->set->first[k];
	int64_t epoch = (int64_t)(k / (uint64_t)b->set->count);
	int which = epoch & 1;
	if (b->epoch[which] != epoch) {
		shuffle(b->order[which], b->set->count, b->o.seed, (uint64_t)epoch);
		b->epoch[which] = epoch;
	}
	return b->order[which][k % (uint64_t)b->set->count];
}

/* False: there is no more, or a failure. */
static bool draw_sample(batch_order *b, sample *s, error *e)
{
	uint64_t k = b->drawn;
	*s = (sample){ .index = -1 };
	if (b->stream) {
		if (!stream_next(b->stream, &s->streamed, e)) return false;
		k = k * (uint64_t)b->o.ranks + (uint64_t)b->o.rank;
	} else {
		if (b->o.once && k >= (uint64_t)b->set->pictures) return false;
		s->index = item_of(b, k);
	}
	s->seed = mix(b->o.seed, k);
	b->drawn++;
	return true;
}

/* What a picture of that size is cropped to. A picture without a readable size is found to be broken when it is
 * decoded. */
static bucket_size size_of_sample(batch_order *b, const sample *s)
{
	bucket_size square = { b->side, b->side };
	data_item *i = s->index < 0 ? NULL : &b->set->items[b->set->first[b->set->items[s->index].picture]];
	if (!b->o.pixels && i && i->height > 0) return (bucket_size){ i->height, i->width };
	if (!b->bucket_count) return square;
	int height = i ? i->height : 0, width = i ? i->width : 0;
	if (!height) {
		picture_source from = { i ? i->path : "", s->streamed.picture, s->streamed.picture_bytes };
		if (!sample_size(&from, &width, &height)) height = width = -1;
		if (i) i->height = height, i->width = width;
	}
	return height > 0 ? bucket_for(b->buckets, b->bucket_count, height, width) : b->buckets[0];
}

static group *group_of(batch_order *b, bucket_size size, error *e)
{
	for (int i = 0; i < b->group_count; i++)
		if (b->groups[i].height == size.height && b->groups[i].width == size.width) return &b->groups[i];
	group *more = realloc(b->groups, ((size_t)b->group_count + 1) * sizeof *more);
	if (!more) return fail(e, NO_MEMORY, "out of memory for batches"), NULL;
	b->groups = more;
	group *g = &b->groups[b->group_count];
	*g = (group){ .height = size.height, .width = size.width };
	g->waiting = calloc((size_t)b->whole, sizeof *g->waiting);
	if (!g->waiting) return fail(e, NO_MEMORY, "out of memory for batches of %d", b->whole), NULL;
	b->group_count++;
	return g;
}

static void hand_out(batch_order *b, group *g, sample *out, int *count, int *height, int *width)
{
	int first = b->whole > b->o.batch ? b->o.rank * b->o.batch : 0;
	*height = g->height;
	*width = g->width;
	*count = g->count < b->o.batch ? g->count : b->o.batch;
	memcpy(out, g->waiting + first, (size_t)*count * sizeof *out);
	g->count = 0;
}

bool order_next(batch_order *b, sample *out, int *count, int *height, int *width, error *e)
{
	error own = { 0 };
	sample s;
	*count = 0;
	while (draw_sample(b, &s, &own)) {
		group *g = group_of(b, size_of_sample(b, &s), &own);
		if (!g) {
			sample_free(&s);
			break;
		}
		g->waiting[g->count++] = s;
		if (g->count == b->whole) return hand_out(b, g, out, count, height, width), true;
	}
	if (failed(&own)) return fail(e, own.status, "%s", own.text);
	for (int i = 0; i < b->group_count; i++)
		if (b->groups[i].count) return hand_out(b, &b->groups[i], out, count, height, width), true;
	return true;
}

size_t order_most_pixels(const batch_order *b)
{
	size_t most = (size_t)b->side * (size_t)b->side;
	for (int i = 0; i < b->bucket_count; i++) {
		size_t pixels = (size_t)b->buckets[i].height * (size_t)b->buckets[i].width;
		if (pixels > most) most = pixels;
	}
	return most;
}

static bool make_buckets(batch_order *b, error *e)
{
	const data_options *o = &b->o;
	b->buckets = calloc(MOST_BUCKETS, sizeof *b->buckets);
	if (!b->buckets) return fail(e, NO_MEMORY, "out of memory for buckets");
	b->bucket_count = bucket_sizes(o->resolution, o->bucket_step, o->bucket_min, o->bucket_max, b->buckets);
	return b->bucket_count > 0 ||
	       fail(e, BAD_USAGE, "no bucket of about %d² pixels has sides from %d to %d that are multiples of %d",
	           o->resolution, o->bucket_min, o->bucket_max, o->bucket_step);
}

batch_order *order_new(const data_options *o, data_set *set, stream *from, error *e)
{
	batch_order *b = calloc(1, sizeof *b);
	if (!b) return fail(e, NO_MEMORY, "out of memory"), NULL;
	b->o = *o;
	b->set = set;
	b->stream = from;
	b->side = data_side(o);
	b->whole = set && !o->once ? o->batch * o->ranks : o->batch;
	b->epoch[0] = b->epoch[1] = -1;
	bool fine = !o->bucket_step || make_buckets(b, e);
	for (int i = 0; fine && set && i < 2; i++) {
		b->order[i] = malloc((size_t)set->count * sizeof *b->order[i]);
		if (!b->order[i]) fine = fail(e, NO_MEMORY, "out of memory for %lld samples", (long long)set->count);
	}
	if (fine) return b;
	order_free(b);
	return NULL;
}

void order_free(batch_order *b)
{
	if (!b) return;
	for (int i = 0; i < b->group_count; i++) {
		for (int k = 0; k < b->groups[i].count; k++) sample_free(&b->groups[i].waiting[k]);
		free(b->groups[i].waiting);
	}
	free(b->groups);
	free(b->buckets);
	free(b->order[0]);
	free(b->order[1]);
	free(b);
}
