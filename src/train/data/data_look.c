/* data_look.c - what a set holds, before anything is decoded: for a report, and as a fingerprint. */
#include "train/data/data_look.h"
#include "base/sha256.h"
#include "train/data/data_bucket.h"
#include "train/data/data_sample.h"
#include "train/data/data_stream.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

bool data_look_set(data_set *s, const data_options *o, error *e)
{
	bool class = o->class_path && *o->class_path;
	log_fn *log = o->surveyed ? NULL : o->log;
	const char *except = *o->except ? o->except : NULL;
	if (!data_set_read(s, o->path, except, log, o->context, e)) return false;
	if (class && !data_set_add_class(s, o->class_path, except, log, o->context, e)) return false;
	int64_t own = class ? s->class_first : s->count;
	return data_set_caption(s, 0, own, o->caption ? o->caption : "", e) &&
	       data_set_caption(s, own, s->count, o->class_caption ? o->class_caption : "", e);
}

/* ── the report ── */
static void count_captions(const data_set *s, data_survey *found)
{
	for (int64_t k = 0; k < s->pictures; k++) {
		const data_item *i = s->first[k] < 0 ? NULL : &s->items[s->first[k]];
		if (i && i->keyword_count) found->keywords = true;
		if (!i || *i->caption) continue;
		const char *slash = strrchr(i->path, '/');
		left_out_add(&found->uncaptioned, slash ? slash + 1 : i->path);
	}
}

/* By ending, in the order in which they appear; what a cache holds has none. */
static void count_files(const data_set *s, data_survey *found)
{
	enum { KINDS = 8, LONGEST = 5 };
	char kinds[KINDS][LONGEST + 1];
	int64_t counts[KINDS] = { 0 };
	int n = 0;
	for (int64_t k = 0; k < s->pictures; k++) {
		const char *path = s->first[k] < 0 ? "" : s->items[s->first[k]].path, *dot = strrchr(path, '.');
		int i = 0;
		if (!is_picture_name(path) || strlen(dot) > LONGEST) continue;
		while (i < n && strcasecmp(kinds[i], dot)) i++;
		if (i == KINDS) continue;
		if (i == n) snprintf(kinds[n++], sizeof kinds[i], "%s", dot);
		counts[i]++;
	}
	for (int i = 0; i < n; i++) {
		size_t at = strlen(found->file_list);
		snprintf(found->file_list + at, sizeof found->file_list - at, "%s%lld %s", i ? ", " : "", (long long)counts[i],
		    kinds[i]);
	}
}

typedef struct size_count {
	bucket_size size;
	int64_t samples;
} size_count;

static int by_samples(const void *a, const void *b)
{
	const size_count *x = a, *y = b;
	return x->samples < y->samples ? 1 : x->samples > y->samples ? -1 : 0;
}

/* The size that a picture is cropped to; a picture without a readable size is found to be broken when it is decoded. */
static bool size_of_item(
    const data_options *o, const bucket_size *buckets, int count, const data_item *i, bucket_size *size)
{
	picture_source from = { .name = i->path };
	int height = i->height, width = i->width;
	if (height > 0) return *size = (bucket_size){ height, width }, true; /* of a cache */
	if (!o->bucket_step || !sample_size(&from, &width, &height)) return false;
	*size = bucket_for(buckets, count, height, width);
	return true;
}

static int count_one(size_count *counts, int n, bucket_size size, int64_t samples)
{
	int k = 0;
	while (k < n && (counts[k].size.height != size.height || counts[k].size.width != size.width)) k++;
	if (k == n && n == MOST_BUCKETS) return n;
	if (k == n) counts[n++] = (size_count){ .size = size };
	counts[k].samples += samples;
	return n;
}

static void write_sizes(data_survey *found, size_count *counts, int n)
{
	enum { NAMED = 6 };
	qsort(counts, (size_t)n, sizeof *counts, by_samples);
	for (int k = 0; k < n && k < NAMED; k++) {
		size_t at = strlen(found->size_list);
		snprintf(found->size_list + at, sizeof found->size_list - at, "%s%dx%d (%lld)", k ? ", " : "",
		    counts[k].size.width, counts[k].size.height, (long long)counts[k].samples);
	}
	found->sizes = n;
}

static bool count_sizes(const data_options *o, const data_set *s, data_survey *found, error *e)
{
	bucket_size *buckets = calloc(MOST_BUCKETS, sizeof *buckets);
	size_count *counts = calloc(MOST_BUCKETS, sizeof *counts);
	int64_t *uses = calloc((size_t)s->pictures + 1, sizeof *uses);
	bool fine = (buckets && counts && uses) || fail(e, NO_MEMORY, "no memory for the sizes of pictures");
	int of = fine && o->bucket_step ? bucket_sizes(o->resolution, o->bucket_step, o->bucket_min, o->bucket_max, buckets)
	                                : 0,
	    n = 0;
	for (int64_t i = 0; fine && i < s->count; i++) uses[s->items[i].picture]++;
	for (int64_t k = 0; fine && k < s->pictures && (of || !o->bucket_step); k++) {
		bucket_size size;
		if (s->first[k] >= 0 && size_of_item(o, buckets, of, &s->items[s->first[k]], &size))
			n = count_one(counts, n, size, uses[k]);
	}
	if (fine && (o->bucket_step || n > 1)) write_sizes(found, counts, n);
	free(buckets);
	free(counts);
	free(uses);
	return fine;
}

bool data_look(const data_options *o, data_survey *found, error *e)
{
	data_set s;
	*found = (data_survey){ .stream = is_stream(o->path) };
	if (found->stream) return true;
	if (!data_look_set(&s, o, e)) return false;
	found->samples = s.count;
	for (int64_t k = 0; k < s.pictures; k++) found->pictures += s.first[k] >= 0;
	found->unread = s.unread;
	found->unlisted = s.unlisted;
	found->runs = s.runs;
	count_captions(&s, found);
	count_files(&s, found);
	bool fine = count_sizes(o, &s, found, e);
	data_set_free(&s);
	return fine;
}

/* ── the fingerprint ── */
static void hash_item(sha256 *h, const data_item *i)
{
	if (i->repeat) {
		sha256_add(h, &i->picture, sizeof i->picture);
		return;
	}
	struct stat info = { 0 };
	stat(i->path, &info);
	int64_t numbers[] = { info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec, i->keyword_count };
	sha256_add(h, i->path, strlen(i->path) + 1);
	sha256_add(h, i->caption, strlen(i->caption) + 1);
	sha256_add(h, numbers, sizeof numbers);
	for (int k = 0; k < i->keyword_count; k++) sha256_add(h, i->keywords[k], strlen(i->keywords[k]) + 1);
}

bool data_fingerprint(const data_options *o, char hex[65], error *e)
{
	data_set set;
	sha256 h;
	uint8_t digest[32];
	*hex = 0;
	if (is_stream(o->path)) return true;
	data_options quiet = *o;
	quiet.log = NULL;
	if (!data_look_set(&set, &quiet, e)) return false;
	int how[] = { o->resolution, data_side(o), o->bucket_step, o->bucket_min, o->bucket_max };
	sha256_begin(&h);
	sha256_add(&h, how, o->bucket_step ? sizeof how : 2 * sizeof *how);
	sha256_add(&h, &set.class_first, sizeof set.class_first);
	for (int64_t i = 0; i < set.count; i++) hash_item(&h, &set.items[i]);
	data_set_free(&set);
	sha256_end(&h, digest);
	sha256_hex(digest, hex);
	return true;
}
