/* data.c - batches without end. While a batch is used, threads decode the next; which samples it holds is settled
 * before, so neither their number nor their order of arrival matters. */
#include "train/data_sample.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LONGEST_CAPTION = 4096, MOST_THREADS = 64 };

typedef struct slot { /* one sample of the batch being made */
	int64_t item;
	uint64_t seed;
	int64_t given; /* the item that took its place where it is broken; -1: none could be read */
	char caption[LONGEST_CAPTION];
} slot;

typedef struct half { /* one of two batches: one is used while the other is made */
	slot *slots;
	float *pixels;
	int64_t *index;
	const char **captions;
	uint64_t *seeds;
} half;

struct data {
	data_options o;
	data_set set;
	int side;
	int64_t *order[2]; /* of epochs, by parity */
	int64_t epoch[2];
	uint64_t batch; /* the next to be settled */
	half halves[2];
	int making;
	char *broken; /* of each item: found to be so, and told */
	data_counts counts;

	pthread_mutex_t lock;
	pthread_cond_t work, done;
	pthread_t threads[MOST_THREADS];
	int thread_count, next_slot, finished;
	bool stop;
	double decoding;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t picture_floats(const data *d) { return (size_t)d->side * (size_t)d->side * 3; }

/* A broken picture's place is taken by the next that can be read, whoever finds out first. */
static void decode(data *d, half *h, int i)
{
	slot *s = &h->slots[i];
	s->given = -1;
	for (int64_t tried = 0; tried < d->set.count && s->given < 0; tried++) {
		int64_t at = (s->item + tried) % d->set.count;
		error e = { 0 };
		if (!d->o.pixels || sample_pixels(&d->o, d->set.items[at].path, s->seed | 1, d->side, d->side,
		                        h->pixels + (size_t)i * picture_floats(d), &e))
			s->given = at;
	}
	if (s->given >= 0) sample_caption(&d->o, &d->set.items[s->given], s->seed, s->caption, sizeof s->caption);
}

static void *decode_slots(void *context)
{
	data *d = context;
	pthread_mutex_lock(&d->lock);
	while (!d->stop) {
		if (d->next_slot >= d->o.batch) {
			pthread_cond_wait(&d->work, &d->lock);
			continue;
		}
		int i = d->next_slot++;
		half *h = &d->halves[d->making];
		pthread_mutex_unlock(&d->lock);
		double start = now();
		decode(d, h, i);
		double spent = now() - start;
		pthread_mutex_lock(&d->lock);
		d->decoding += spent;
		if (++d->finished == d->o.batch) pthread_cond_signal(&d->done);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static int64_t item_of(data *d, uint64_t k)
{
	int64_t epoch = (int64_t)(k / (uint64_t)d->set.count);
	int which = epoch & 1;
	if (d->epoch[which] != epoch) {
		shuffle(d->order[which], d->set.count, d->o.seed, (uint64_t)epoch);
		d->epoch[which] = epoch;
	}
	return d->order[which][k % (uint64_t)d->set.count];
}

/* Settles what the next batch holds and sets the threads to it. */
static void begin_batch(data *d)
{
	half *h = &d->halves[d->making];
	uint64_t first = (d->batch++ * (uint64_t)d->o.ranks + (uint64_t)d->o.rank) * (uint64_t)d->o.batch;
	for (int i = 0; i < d->o.batch; i++) {
		h->slots[i].item = item_of(d, first + (uint64_t)i);
		h->slots[i].seed = mix(d->o.seed, first + (uint64_t)i);
	}
	pthread_mutex_lock(&d->lock);
	d->next_slot = d->finished = 0;
	pthread_cond_broadcast(&d->work);
	pthread_mutex_unlock(&d->lock);
}

/* Names, once each, the pictures between the one wanted and the one given. */
static void tell_broken(data *d, const slot *s)
{
	int64_t n = d->set.count;
	for (int64_t at = s->item; at != s->given; at = (at + 1) % n) {
		if (d->broken[at]) continue;
		d->broken[at] = 1;
		d->counts.broken++;
		error e = { 0 };
		float *unused = malloc(picture_floats(d) * sizeof *unused);
		if (unused && !sample_pixels(&d->o, d->set.items[at].path, 1, d->side, d->side, unused, &e) && d->o.log)
			d->o.log(d->o.context, e.text);
		free(unused);
	}
}

bool data_next(data *d, data_batch *b, error *e)
{
	half *h = &d->halves[d->making];
	double start = now();
	pthread_mutex_lock(&d->lock);
	while (d->finished < d->o.batch) pthread_cond_wait(&d->done, &d->lock);
	d->counts.decoding = d->decoding;
	pthread_mutex_unlock(&d->lock);
	d->counts.waited += now() - start;
	for (int i = 0; i < d->o.batch; i++) {
		slot *s = &h->slots[i];
		if (s->given < 0)
			return fail(e, BAD_FILE, "%s: none of its %lld pictures can be read", d->o.path, (long long)d->set.count);
		tell_broken(d, s);
		h->index[i] = s->given;
		h->captions[i] = s->caption;
		h->seeds[i] = s->seed;
		d->counts.uncaptioned += !*s->caption;
	}
	d->counts.samples += (uint64_t)d->o.batch;
	*b = (data_batch){ d->o.batch, d->side, d->side, h->pixels, h->index, h->captions, h->seeds };
	d->making = 1 - d->making;
	begin_batch(d);
	return true;
}

static bool allocate_half(data *d, half *h)
{
	size_t n = (size_t)d->o.batch;
	h->slots = calloc(n, sizeof *h->slots);
	h->index = calloc(n, sizeof *h->index);
	h->captions = calloc(n, sizeof *h->captions);
	h->seeds = calloc(n, sizeof *h->seeds);
	h->pixels = d->o.pixels ? malloc(n * picture_floats(d) * sizeof *h->pixels) : NULL;
	return h->slots && h->index && h->captions && h->seeds && (h->pixels || !d->o.pixels);
}

static bool check_options(const data_options *o, error *e)
{
	int side = o->crop ? o->crop : o->resolution;
	if (o->resolution < 8 || o->resolution > 4096)
		return fail(e, BAD_USAGE, "resolution %d, expected 8 to 4096", o->resolution);
	if (side < 1 || side > o->resolution)
		return fail(e, BAD_USAGE, "a crop of %d from a resolution of %d", side, o->resolution);
	if (o->batch < 1 || o->batch > 1 << 16) return fail(e, BAD_USAGE, "a batch of %d, expected 1 to 65536", o->batch);
	if (o->ranks < 1 || o->rank < 0 || o->rank >= o->ranks)
		return fail(e, BAD_USAGE, "rank %d of %d", o->rank, o->ranks);
	return true;
}

static bool read_set(data_set *s, const data_options *o, error *e)
{
	bool class = o->class_path && *o->class_path;
	if (!data_set_read(s, o->path, o->log, o->context, e)) return false;
	if (class && !data_set_add_class(s, o->class_path, o->log, o->context, e)) return false;
	int64_t own = class ? s->class_first : s->count;
	return data_set_caption(s, 0, own, o->caption ? o->caption : "", e) &&
	       data_set_caption(s, own, s->count, o->class_caption ? o->class_caption : "", e);
}

data *data_open(const data_options *o, error *e)
{
	if (!check_options(o, e)) return NULL;
	data *d = calloc(1, sizeof *d);
	if (!d) {
		fail(e, NO_MEMORY, "out of memory");
		return NULL;
	}
	d->o = *o;
	d->side = o->crop ? o->crop : o->resolution;
	d->batch = o->first_batch;
	d->epoch[0] = d->epoch[1] = -1;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->work, NULL);
	pthread_cond_init(&d->done, NULL);
	d->next_slot = o->batch;
	bool fine = read_set(&d->set, o, e);
	if (fine) {
		size_t n = (size_t)d->set.count;
		for (int i = 0; i < 2; i++) d->order[i] = malloc(n * sizeof *d->order[i]);
		d->broken = calloc(n, 1);
		fine = d->order[0] && d->order[1] && d->broken && allocate_half(d, &d->halves[0]) &&
		       allocate_half(d, &d->halves[1]);
		if (!fine) fail(e, NO_MEMORY, "out of memory for batches of %d pictures of %d×%d", o->batch, d->side, d->side);
	}
	int threads = o->threads < 1 ? 1 : o->threads > MOST_THREADS ? MOST_THREADS : o->threads;
	for (int i = 0; fine && i < threads; i++) {
		fine = !pthread_create(&d->threads[i], NULL, decode_slots, d);
		if (fine)
			d->thread_count++;
		else
			fail(e, NO_MEMORY, "cannot start a thread to decode pictures");
	}
	if (!fine) {
		data_close(d);
		return NULL;
	}
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
		free(h->slots);
		free(h->pixels);
		free(h->index);
		free(h->captions);
		free(h->seeds);
		free(d->order[i]);
	}
	free(d->broken);
	data_set_free(&d->set);
	free(d);
}

int64_t data_class_first(const data *d) { return d->set.class_first; }
int64_t data_count(const data *d) { return d->set.count; }
data_counts data_counted(const data *d) { return d->counts; }

bool data_picture(const data *d, int64_t index, float *pixels, error *e)
{
	if (index < 0 || index >= d->set.count)
		return fail(e, BAD_USAGE, "picture %lld of %lld", (long long)index, (long long)d->set.count);
	return sample_pixels(&d->o, d->set.items[index].path, 0, d->side, d->side, pixels, e);
}

bool data_texts(data *d, int64_t most, bool (*each)(void *context, const char *text), void *context, error *e)
{
	(void)e;
	for (int64_t i = 0; i < d->set.count && (most <= 0 || i < most); i++) {
		const item *it = &d->set.items[i];
		if (*it->caption && !each(context, it->caption)) return true;
		for (int k = 0; d->o.vary_captions && k < it->keyword_count; k++)
			if (!each(context, it->keywords[k])) return true;
	}
	return true;
}
