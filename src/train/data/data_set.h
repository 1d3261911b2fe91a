/* data_set.h - what a training set holds, before anything is decoded: paths, captions, keywords. */
#ifndef SUMI_TRAIN_DATA_SET_H
#define SUMI_TRAIN_DATA_SET_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct item {
	char *path;
	char *caption;   /* never NULL; "" where there is none */
	char **keywords; /* NULL where there are none */
	int keyword_count;
	int height, width; /* of the picture, or of what a cache made of it; 0: not known yet, -1: cannot be told */
} item;

typedef struct data_set { /* in the order of the paths' bytes, repeats one after the other */
	item *items;
	int64_t count, capacity;
	int64_t uncaptioned;
	int64_t class_first; /* items from here on are of the class (DreamBooth); −1: there are none */
} data_set;

typedef void log_fn(void *context, const char *line);

/* Reads a folder: metadata.jsonl where it lies in its root, else pictures with captions beside them, subfolders
 * included, N_TOKEN folders and lines with "repeats" repeated. What cannot be used is told to log (may be NULL). */
bool data_set_read(data_set *s, const char *folder, log_fn *log, void *context, error *e);
/* Adds the folder's pictures as those of the class. Of the two kinds the fewer are repeated until there are as many as
 * of the other. */
bool data_set_add_class(data_set *s, const char *folder, log_fn *log, void *context, error *e);
/* Items first … last−1 that have no caption get this one. */
bool data_set_caption(data_set *s, int64_t first, int64_t last, const char *caption, error *e);
void data_set_free(data_set *s);
bool is_picture_name(const char *name); /* .png .jpg .jpeg .webp, in any case */
bool is_utf8(const char *text, size_t length);

#endif
