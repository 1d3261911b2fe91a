/* data.c - batches without end. While a batch is used, threads decode the next; which samples it holds is settled
 * before, so neither their number nor their order of arrival matters. */
#include "train/data/data_look.h"
#include "base/clock.h"
#include "train/data/data_order.h"
#include "train/data/data_sample.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_CAPTION = 4096, MOST_THREADS = 64 };

typedef struct slot { /* one sample of the batch being made */
	int64_t given;    /* how many others were tried before one could be read; -1: none could */
	bool bad_caption; /* of the sample itself: not UTF-8 */
	picture_frame frame;
	char caption[LONGEST_CAPTION];
} slot;

typedef struct half { /* one of two batches: one is used while the other is made */
	int count, height, width;
	sample *samples;
	slot *slots;
	float *pixels;
	int64_t *index, *picture;
	const char **captions;
	picture_frame *frames;
	uint64_t *seeds;
} half;

struct data {
	data_options o;
	data_set set;
	stream *stream; /* NULL: a set */
	batch_order *order;
	half halves[2];
	char *broken; /* of each picture of a set: found to be so, and reported */
	data_counts counts;
	error failure; /* of settling the batch being made */

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t work, done;
	pthread_t threads[MOST_THREADS];
	int thread_count, making, slots, next_slot, finished;
	bool stop;
	double decoding;
};

static size_t floats_of(const half *h) { return (size_t)h->height * (size_t)h->width * 3; }

/* ── decoding: in the background ── */
/* Sample i of the batch, and what stands in for it: of a set the pictures that follow, of a stream others that wait. */
static const data_item *item_for(const data *d, const sample *s, int64_t tried, int64_t *index)
{
	*index = d->stream ? -1 : (s->index + tried) % d->set.count;
	return *index < 0 ? NULL : &d->set.items[*index];
}

static const stream_sample *streamed_for(const data *d, const sample *s, int64_t tried)
{
	return tried ? stream_spare(d->stream, s->seed + (uint64_t)tried) : &s->streamed;
}

static int64_t most_tries(const data *d)
{
	enum { SPARES = 100 };
	return d->o.once ? 1 : d->stream ? SPARES : d->set.count;
}

static bool source_of(const data *d, const sample *s, int64_t tried, picture_source *from)
{
	int64_t index;
	if (d->stream) {
		const stream_sample *t = streamed_for(d, s, tried);
		if (t) *from = (picture_source){ t->name, t->picture, t->picture_bytes };
		return t != NULL;
	}
	*from = (picture_source){ .name = item_for(d, s, tried, &index)->path };
	return true;
}

/* Of a stream a caption that is not UTF-8 is found only now; of a set when its names are read. */
static void write_caption(const data *d, const sample *s, slot *t)
{
	int64_t index;
	if (d->stream) {
		const stream_sample *from = streamed_for(d, s, t->given);
		bool fine = stream_caption(from, t->caption, sizeof t->caption);
		t->bad_caption = !fine && !t->given;
	} else {
		sample_caption(&d->o, item_for(d, s, t->given, &index), s->seed, t->caption, sizeof t->caption);
	}
}

/* A broken picture's place is taken by another that can be read, the same in any thread or process. */
static void decode(const data *d, half *h, int i)
{
	const sample *s = &h->samples[i];
	slot *t = &h->slots[i];
	t->given = d->o.pixels ? -1 : 0;
	t->bad_caption = false;
	t->frame = (picture_frame){ 0 };
	for (int64_t tried = 0; tried < most_tries(d) && t->given < 0; tried++) {
		picture_source from;
		error e = { 0 };
		if (source_of(d, s, tried, &from) && sample_pixels(&d->o, &from, d->o.once ? 0 : s->seed | 1, h->height,
		                                         h->width, h->pixels + (size_t)i * floats_of(h), &t->frame, &e))
			t->given = tried;
	}
	if (!d->o.pixels && s->index >= 0) t->frame = d->set.items[s->index].frame;
	if (t->given >= 0) write_caption(d, s, t);
}

static void *decode_slots(void *context)
{
	data *d = context;
	pthread_mutex_lock(&d->lock);
	while (!d->stop) {
		if (d->next_slot >= d->slots) {
			pthread_cond_wait(&d->work, &d->lock);
			continue;
		}
		int i = d->next_slot++;
		half *h = &d->halves[d->making];
		pthread_mutex_unlock(&d->lock);
		double start = seconds_now();
		decode(d, h, i);
		double spent = seconds_now() - start;
		pthread_mutex_lock(&d->lock);
		d->decoding += spent;
		if (++d->finished == d->slots) pthread_cond_signal(&d->done);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* ── batches ── */
static void free_samples(half *h)
{
	for (int i = 0; i < h->count; i++) sample_free(&h->samples[i]);
	h->count = 0;
}

static void settle_batch(data *d, half *h)
{
	free_samples(h);
	if (!failed(&d->failure)) order_next(d->order, h->samples, &h->count, &h->height, &h->width, &d->failure);
}

/* Settles what the next batch holds and sets the threads to it, which are idle. */
static void begin_batch(data *d)
{
	settle_batch(d, &d->halves[1 - d->making]);
	pthread_mutex_lock(&d->lock);
	d->making = 1 - d->making;
	d->slots = d->halves[d->making].count;
	d->next_slot = d->finished = 0;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
}

static void wait_for_batch(data *d)
{
	double start = seconds_now();
	pthread_mutex_lock(&d->lock);
	while (d->finished < d->slots) pthread_cond_wait(&d->done, &d->lock);
	d->counts.decoding = d->decoding;
	pthread_mutex_unlock(&d->lock);
	d->counts.waited += seconds_now() - start;
}

static void report(const data *d, const char *line)
{
	if (d->o.log) d->o.log(d->o.context, line);
}

/* Decodes once more, for the message. */
static void report_broken(data *d, const half *h, const picture_source *from)
{
	error e = { 0 };
	float *unused = malloc(floats_of(h) * sizeof *unused);
	if (unused && !sample_pixels(&d->o, from, 1, h->height, h->width, unused, &(picture_frame){ 0 }, &e))
		report(d, e.text);
	free(unused);
	d->counts.broken++;
}

/* Names, once each, the pictures in whose place another was given. */
static void report_replacement(data *d, const half *h, int i)
{
	const sample *s = &h->samples[i];
	const slot *t = &h->slots[i];
	int64_t tried = t->given < 0 ? most_tries(d) : t->given, index;
	for (int64_t k = 0; k < (d->stream && tried ? 1 : tried); k++) {
		picture_source from;
		bool known = d->stream && !s->streamed.first_time;
		const data_item *it = item_for(d, s, k, &index);
		if (it) {
			known = d->broken[it->picture];
			d->broken[it->picture] = 1;
		}
		if (!known && source_of(d, s, k, &from)) report_broken(d, h, &from);
	}
	if (t->bad_caption && s->streamed.first_time) {
		char line[LONGEST_CAPTION];
		snprintf(line, sizeof line, "%s: the caption is not UTF-8, it is left out", s->streamed.name);
		report(d, line);
	}
}

static bool none_can_be_read(const data *d, error *e)
{
	if (d->stream) return fail(e, BAD_FILE, "%s: no picture of its tars can be read", d->o.path);
	return fail(e, BAD_FILE, "%s: none of its %lld pictures can be read", d->o.path, (long long)d->set.count);
}

/* Moves what was read to the front and lists it; false: something could not be replaced. */
static bool list_batch(data *d, half *h, int *count)
{
	*count = 0;
	for (int i = 0; i < h->count; i++) {
		slot *t = &h->slots[i];
		report_replacement(d, h, i);
		if (t->given < 0 && !d->o.once) return false;
		if (t->given < 0) continue;
		int to = (*count)++;
		if (to != i && h->pixels)
			memmove(h->pixels + (size_t)to * floats_of(h), h->pixels + (size_t)i * floats_of(h),
			    floats_of(h) * sizeof(float));
		const data_item *it = item_for(d, &h->samples[i], t->given, &h->index[to]);
		h->picture[to] = it ? it->picture : -1;
		h->captions[to] = t->caption;
		h->frames[to] = t->frame;
		h->seeds[to] = h->samples[i].seed;
		d->counts.uncaptioned += !*t->caption;
	}
	return true;
}

bool data_next(data *d, data_batch *b, error *e)
{
	half *h = &d->halves[d->making];
	int count;
	do {
		h = &d->halves[d->making];
		wait_for_batch(d);
		if (failed(&d->failure)) return fail(e, d->failure.status, "%s", d->failure.text);
		if (!list_batch(d, h, &count)) return none_can_be_read(d, e);
		begin_batch(d);
	} while (!count && h->count); /* all of it was broken: only where each is met once */
	d->counts.samples += (uint64_t)count;
	*b = (data_batch){ count, h->height, h->width, h->pixels, h->index, h->picture, h->captions, h->frames, h->seeds };
	return true;
}

/* ── opening ── */
static bool allocate_half(data *d, half *h)
{
	size_t n = (size_t)d->o.batch;
	h->samples = calloc(n, sizeof *h->samples);
	h->slots = calloc(n, sizeof *h->slots);
	h->index = calloc(n, sizeof *h->index);
	h->picture = calloc(n, sizeof *h->picture);
	h->captions = calloc(n, sizeof *h->captions);
	h->frames = calloc(n, sizeof *h->frames);
	h->seeds = calloc(n, sizeof *h->seeds);
	h->pixels = d->o.pixels ? malloc(n * order_most_pixels(d->order) * 3 * sizeof *h->pixels) : NULL;
	return h->samples && h->slots && h->index && h->picture && h->captions && h->frames && h->seeds &&
	       (h->pixels || !d->o.pixels);
}

static bool check_options(const data_options *o, error *e)
{
	int side = data_side(o);
	if (o->resolution < 8 || o->resolution > 4096)
		return fail(e, BAD_USAGE, "resolution %d, expected 8 to 4096", o->resolution);
	if (side < 1 || side > o->resolution)
		return fail(e, BAD_USAGE, "a crop of %d from a resolution of %d", side, o->resolution);
	if (o->batch < 1 || o->batch > 1 << 16) return fail(e, BAD_USAGE, "a batch of %d, expected 1 to 65536", o->batch);
	if (o->ranks < 1 || o->rank < 0 || o->rank >= o->ranks)
		return fail(e, BAD_USAGE, "rank %d of %d", o->rank, o->ranks);
	if (o->once && o->ranks > 1) return fail(e, BAD_USAGE, "a set that is read once is read by one process");
	return true;
}

static bool open_source(data *d, error *e)
{
	const data_options *o = &d->o;
	if (!is_stream(o->path)) return data_look_set(&d->set, o, e);
	stream_options how = { .path = o->path,
		.rank = o->rank,
		.ranks = o->ranks,
		.buffer = o->shuffle_buffer ? o->shuffle_buffer : 2000,
		.once = o->once,
		.seed = o->seed,
		.log = o->log,
		.context = o->context };
	d->stream = stream_open(&how, e);
	return d->stream != NULL;
}

static bool make_room(data *d, error *e)
{
	d->order = order_new(&d->o, d->stream ? NULL : &d->set, d->stream, e);
	if (!d->order) return false;
	d->broken = calloc((size_t)d->set.pictures + 1, 1);
	return (d->broken && allocate_half(d, &d->halves[0]) && allocate_half(d, &d->halves[1])) ||
	       fail(e, NO_MEMORY, "out of memory for batches of %d pictures of %zu pixels", d->o.batch,
	           order_most_pixels(d->order));
}

static bool start_threads(data *d, error *e)
{
	int threads = d->o.threads < 1 ? 1 : d->o.threads > MOST_THREADS ? MOST_THREADS : d->o.threads;
	for (int i = 0; i < threads; i++) {
		if (pthread_create(&d->threads[i], NULL, decode_slots, d))
			return fail(e, NO_MEMORY, "cannot start a thread to decode pictures");
		d->thread_count++;
	}
	return true;
}

data *data_open(const data_options *o, error *e)
{
	if (!check_options(o, e)) return NULL;
	data *d = calloc(1, sizeof *d);
	if (!d) return fail(e, NO_MEMORY, "out of memory"), NULL;
	d->o = *o;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->work, NULL);
	pthread_cond_init(&d->done, NULL);
	if (!open_source(d, e) || !make_room(d, e) || !start_threads(d, e)) {
		data_close(d);
		return NULL;
	}
	for (uint64_t i = 0; i < o->first_batch; i++) settle_batch(d, &d->halves[0]); /* what was used before */
	begin_batch(d);
	return d;
}

void data_close(data *d)
{
	if (!d) return;
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
	for (int i = 0; i < d->thread_count; i++) pthread_join(d->threads[i], NULL);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->work);
	pthread_cond_destroy(&d->done);
	for (int i = 0; i < 2; i++) {
		half *h = &d->halves[i];
		free_samples(h);
		free(h->samples);
		free(h->slots);
		free(h->pixels);
		free(h->index);
		free(h->picture);
		free(h->captions);
		free(h->frames);
		free(h->seeds);
	}
	free(d->broken);
	order_free(d->order);
	stream_close(d->stream);
	data_set_free(&d->set);
	free(d);
}

int data_side(const data_options *o) { return o->crop ? o->crop : o->resolution; }

int64_t data_class_first(const data *d) { return d->stream ? -1 : d->set.class_first; }
int64_t data_count(const data *d) { return d->stream ? -1 : d->set.count; }

int64_t data_pictures(const data *d) { return d->stream ? -1 : d->set.pictures; }

data_sample data_at(const data *d, int64_t index)
{
	const data_item *i = &d->set.items[index];
	return (data_sample){ i->picture, i->path, i->caption, (const char *const *)i->keywords, i->keyword_count };
}

data_counts data_counted(const data *d)
{
	data_counts c = d->counts;
	if (d->stream) c.broken += stream_damaged(d->stream);
	return c;
}

/* A second walk over the tars, in order, which disturbs nothing. */
static bool texts_of_stream(
    const data *d, int64_t most, bool (*each)(void *context, const char *text), void *context, error *e)
{
	stream_options how = { .path = d->o.path, .ranks = 1, .once = true };
	stream *s = stream_open(&how, e);
	stream_sample one;
	char *text = malloc(LONGEST_CAPTION);
	if (s && !text) fail(e, NO_MEMORY, "no memory for a caption");
	bool fine = s && text, go_on = fine;
	error own = { 0 };
	for (int64_t i = 0; go_on && (most <= 0 || i < most) && stream_next(s, &one, &own); i++) {
		if (stream_caption(&one, text, LONGEST_CAPTION) && *text) go_on = each(context, text);
		stream_sample_free(&one);
	}
	free(text);
	stream_close(s);
	return fine && (!failed(&own) || fail(e, own.status, "%s", own.text));
}

bool data_texts(data *d, int64_t most, bool (*each)(void *context, const char *text), void *context, error *e)
{
	if (d->stream) return texts_of_stream(d, most, each, context, e);
	for (int64_t i = 0; i < d->set.count && (most <= 0 || i < most); i++) {
		const data_item *it = &d->set.items[i];
		if (*it->caption && !each(context, it->caption)) return true;
		for (int k = 0; d->o.vary_captions && k < it->keyword_count; k++)
			if (!each(context, it->keywords[k])) return true;
	}
	return true;
}
