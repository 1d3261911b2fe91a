/* data_stream.h - WebDataset tars as one long sequence of samples. What is shuffled and handed out are places in mapped
 * tars, not bytes: the buffer of thousands of samples is small, and a resumed run walks over headers without reading
 * what lies between them. The system is advised to read a sample ahead as soon as it enters the buffer. */
#ifndef SUMI_TRAIN_DATA_STREAM_H
#define SUMI_TRAIN_DATA_STREAM_H
#include "train/data/data_set.h"

typedef struct shard shard;

typedef struct stream_sample {
	shard *shard;                         /* kept open by its samples; NULL: no sample */
	char *name;                           /* "DIR/00000.tar: 000000012.jpg"; owned */
	const uint8_t *picture, *text, *json; /* text, json: NULL where there is none */
	size_t picture_bytes, text_bytes, json_bytes;
	bool first_time; /* of the first epoch: what is wrong with it is reported */
} stream_sample;

typedef struct stream_options {
	const char *path; /* a tar, or a folder of them */
	int rank, ranks;  /* whole tars are split where there are enough, else samples */
	int buffer;       /* samples among which is shuffled */
	bool once;        /* in order, to the end */
	uint64_t seed;
	log_fn *log;
	void *context;
} stream_options;

typedef struct stream stream;

bool is_stream(const char *path); /* a file, or a folder in which .tar files lie */
stream *stream_open(const stream_options *o, error *e);
void stream_close(stream *s); /* after its samples are freed; NULL is fine */
/* The next sample, the caller's to free. False: the end where `once` is set, or a failure: not one sample is there. */
bool stream_next(stream *s, stream_sample *out, error *e);
void stream_sample_free(stream_sample *s); /* an empty one is fine */
/* One of those that wait in the buffer, to stand in for a broken one; NULL: none waits. May be called from several
 * threads while stream_next() is not. */
const stream_sample *stream_spare(const stream *s, uint64_t which);
uint64_t stream_damaged(const stream *s); /* tars that were cut or damaged so far */
/* Writes the caption, "" where there is none. False: there is one that is not UTF-8. */
bool stream_caption(const stream_sample *s, char *out, size_t room);

#endif
