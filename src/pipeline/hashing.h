/* hashing.h - the hashes of a model's files, made in a thread of their own while a picture is drawn. */
#ifndef SUMI_PIPELINE_HASHING_H
#define SUMI_PIPELINE_HASHING_H
#include "checkpoint/model.h"

typedef struct hashing hashing;

/* Begins with the model's files and its refiner's (NULL: there is none). NULL, out of memory, is a hashing without
 * hashes. */
hashing *hashing_begin(const model *m, const char *refiner);
/* 64 digits of the SHA-256 of one of them, or of any other file; waits for it. NULL: unknown. Valid until the end. */
const char *hashing_of(hashing *h, const char *path);
void hashing_end(hashing *h); /* NULL is fine */

#endif
