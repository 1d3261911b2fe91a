/* data.h - a training set as a sequence of samples without end: pictures, resized and cropped, with their captions.
 *
 * Sample k is a function of the set, the options and k alone, whatever the threads, the batch size and the number of
 * processes: epoch k / count in an order drawn from (seed, epoch), its crop, flip and caption drawn from (seed, k). So
 * the place in the data is one number, a run that is resumed at a batch sees what it would have seen, and n processes
 * with batches of b see what one process with batches of n·b sees (of a stream, each process sees its own part).
 *
 * A set is one of
 *   a folder of pictures (PNG, JPEG, WebP), read with its subfolders, captions in NAME.txt or NAME.caption in the same
 * folder; a subfolder named N_TOKEN is repeated N times in each epoch and TOKEN is the caption of those that have none
 *   the same with metadata.jsonl: {"file_name": …, "text": …, "keywords": […], "repeats": N}; keywords, repeats (how
 *     often it comes in each epoch) and any other key optional
 *   WebDataset tars as img2dataset writes them (KEY.jpg, KEY.txt, KEY.json), a folder of them or one file: streamed
 *     through a shuffle buffer, tars split among the processes; resuming skips through the headers without decoding
 *   a folder that `sumi cache` wrote (cache.h): captions as above, without pictures
 * What cannot be read (a broken picture, one of more than MOST_PIXELS or under 2×2, a caption that is not UTF-8, a tar
 * that ends early) is counted, named once through `log`, and the next sample takes its place. */
#ifndef SUMI_TRAIN_DATA_H
#define SUMI_TRAIN_DATA_H
#include "train/data/data_set.h"
#include <stddef.h>
#include <stdint.h>

typedef struct data data;

/* The strings belong to the caller and live as long as the data. */
typedef struct data_options {
	const char *path;
	const char *caption; /* of pictures that have none; NULL: "" */
	char except[4000];   /* a folder within it that is no part of it; "": none. Folders of training runs never are */
	bool varies;         /* keywords vary the captions: data_look() found some */
	bool surveyed;       /* data_look() has reported the faults of names and captions: log receives those of pixels */
	/* DreamBooth: a folder of pictures of the class at large, as many of each kind in an epoch (the fewer are
	 * repeated), and the caption of those that have none. NULL or "": none. */
	const char *class_path, *class_caption;
	int resolution;   /* the shorter side after resizing (Lanczos or better when shrinking); 8 … 4096 */
	int crop;         /* side of the square cut from it, at most resolution; 0: resolution */
	bool random_crop; /* else from the centre */
	bool random_flip; /* left and right, half of the time */
	/* Aspect buckets: sizes are multiples of bucket_step between bucket_min and bucket_max with an area of about
	 * resolution²; a batch holds one size; crop is not used. 0: off. Samples are put off until their bucket fills a
	 * batch, in an order that still depends on (seed, batch) only. */
	int bucket_step, bucket_min, bucket_max;
	/* Where a sample has keywords, its caption varies: half of the time the text; else the text and some keywords in
	 * random order after ", ", or keywords alone. false: the text. */
	bool vary_captions;
	bool pixels;        /* false: captions and indices only, nothing is decoded (latents are cached) */
	bool once;          /* every picture once, in the set's order, for one process: batches may be smaller, and an
	                     * empty one is the end; what is broken is left out */
	int batch;          /* samples of one data_next() of this process, ≥ 1 */
	int rank, ranks;    /* this process and how many; 0 and 1 for one: batch i of rank r is samples
	                     * (i·ranks + r)·batch … + batch − 1 of a set that is not streamed */
	int threads;        /* that decode in the background, ≥ 1 */
	int shuffle_buffer; /* samples, for streams; 0: 2000 */
	uint64_t seed;
	uint64_t first_batch; /* to resume: how many batches were taken before */
	void (*log)(
	    void *context, const char *line); /* warnings, one line; from the thread that calls data_next. NULL: none */
	void *context;
} data_options;

int data_side(const data_options *o); /* of the square that pictures are cropped to; not of buckets */

enum { MOST_PIXELS = 20000 * 20000 / 4 }; /* of one picture as declared, before it is decoded */

/* One batch; owned by the data and valid until the next call. */
typedef struct data_batch {
	int count, height, width;
	const float *pixels; /* [count,height,width,3], red green blue, −1 … 1, transparent is white; NULL: not asked for */
	const int64_t *index;   /* [count] of the sample in the set, 0 … data_count − 1; −1 in streams */
	const int64_t *picture; /* [count] of the picture, 0 … data_pictures − 1: repeats of a picture share it, and of a
	                         * cache it is the number of the latent; −1 in streams */
	const char *const *captions; /* [count] UTF-8; "" where there is none */
	const picture_frame *frames; /* [count] zeros where neither the picture is read nor a cache says it */
	const uint64_t *seeds;       /* [count] a hash of (seed, k): what else is random about the sample (noise, time,
	                              * dropped caption) is drawn from a generator with this seed */
} data_batch;

/* Reads what there is (file names and captions; of streams the list of tars), decodes nothing. An empty set is
 * BAD_FILE. NULL: failed. */
data *data_open(const data_options *o, error *e);
void data_close(data *d); /* NULL is fine */
/* The next batch, decoded in the background since the last call. Fails where nothing in the set can be read. Batches
 * hold one size: of pictures, or of what a cache made of them, in pixels. */
bool data_next(data *d, data_batch *b, error *e);

int64_t data_class_first(const data *d); /* indices from here on are of class pictures; −1: there are none */
int64_t data_count(const data *d);       /* samples of an epoch; −1: a stream */
int64_t data_pictures(const data *d);    /* different ones among them; −1: a stream */
/* A sample of a set; its texts live as long as the data. */
typedef struct data_sample {
	int64_t picture;
	const char *path; /* of the picture */
	const char *caption;
	const char *const *keywords;
	int keyword_count;
} data_sample;
data_sample data_at(const data *d, int64_t index);

/* What a set holds, before anything is decoded. */
typedef struct data_survey {
	bool stream;                     /* nothing is known before it is read */
	int64_t samples, pictures;       /* of an epoch; different ones */
	bool keywords;                   /* some have them */
	left_out uncaptioned;            /* pictures without a caption */
	left_out unread, unlisted, runs; /* see data_set.h */
	int sizes;                       /* of buckets that occur; 0: there are none */
	char size_list[200];             /* "512x512 (80), …": the most frequent, with the number of samples */
	char file_list[100];             /* "2 .jpg, 1 .png": pictures by the endings of their names */
} data_survey;
/* Reads names and captions, and of buckets the sizes of the pictures. Reports to o->log what is wrong with them. */
bool data_look(const data_options *o, data_survey *s, error *e);

/* SHA-256 in hexadecimal of what a set holds (names, sizes and times of files, captions) and of how it is cropped; ""
 * of a stream. Two sets that agree give the same pictures and captions. */
bool data_fingerprint(const data_options *o, char hex[65], error *e);
/* Calls back with every text of the set once (captions, and keywords where captions vary), for learning a vocabulary.
 * Of streams: the first `most` samples. false from `each` ends it. */
bool data_texts(data *d, int64_t most, bool (*each)(void *context, const char *text), void *context, error *e);

typedef struct data_counts {
	uint64_t samples;             /* given so far by this process */
	uint64_t broken, uncaptioned; /* of those met so far; broken: pictures, and tars that were cut or damaged */
	double waited;   /* seconds that data_next waited for the background: 0 means that the loader keeps up */
	double decoding; /* seconds of work in all background threads together */
} data_counts;
data_counts data_counted(const data *d);

#endif
