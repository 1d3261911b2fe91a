/* data_set.h - what a training set holds, before anything is decoded: paths, captions, keywords. */
#ifndef SUMI_TRAIN_DATA_SET_H
#define SUMI_TRAIN_DATA_SET_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a sample was cut from its picture. SDXL is conditioned on it. */
typedef struct picture_frame {
	int height, width; /* of the picture as it lies in its file, pixels */
	int top, left;     /* of the crop in the resized picture; of a mirrored one as it then stands */
} picture_frame;

typedef struct data_item {
	char *path;
	char *caption;   /* never NULL; "" where there is none */
	char **keywords; /* NULL where there are none */
	int keyword_count;
	int height, width; /* of the picture, or of what a cache made of it; 0: not known yet, -1: not readable */
	/* Number among the set's different pictures, from 0: items of one path and caption share it, and so do repeats. Of
	 * a cache: the number of its latent. */
	int64_t picture;
	picture_frame frame; /* of what a cache made of it, else zeros */
	bool repeat;         /* of an item before it, to which the strings belong */
} data_item;

/* Files that were met and are not used: how many, and the first ones' names. */
typedef struct left_out {
	int64_t count;
	char names[240]; /* "a.gif, b.heic, …" */
} left_out;

typedef struct data_set { /* in the order of the paths' bytes, repeats one after the other */
	data_item *items;
	int64_t count, capacity;
	int64_t *first; /* [pictures] the first item of each; −1: a cache lists none */
	int64_t pictures, picture_capacity;
	int64_t class_first; /* items from here on are of the class (DreamBooth); −1: there are none */
	left_out unread;     /* pictures of formats that are not read */
	left_out unlisted;   /* pictures in a folder whose metadata.jsonl does not name them */
	left_out runs;       /* folders of training runs: their samples are no training set */
} data_set;

typedef void log_fn(void *context, const char *line);

/* Reads a folder: metadata.jsonl where it lies in its root, else pictures with captions of the same name, subfolders
 * included, N_TOKEN folders and lines with "repeats" repeated. What cannot be used is reported to log (may be NULL) or
 * counted in the set. `except`: a folder within it that is left out, as are those in which a training run left its log;
 * may be NULL. */
bool data_set_read(data_set *s, const char *folder, const char *except, log_fn *log, void *context, error *e);
/* Adds the folder's pictures as those of the class. Of the two kinds the fewer are repeated until there are as many as
 * of the other. */
bool data_set_add_class(data_set *s, const char *folder, const char *except, log_fn *log, void *context, error *e);
/* Items first … last−1 that have no caption get this one. */
bool data_set_caption(data_set *s, int64_t first, int64_t last, const char *caption, error *e);
void data_set_free(data_set *s);
extern const char *const picture_endings[]; /* of the formats that are read, to NULL */
bool is_picture_name(const char *name);     /* by its end, in any case: of a format that is read */
void left_out_add(left_out *l, const char *name);

#endif
