/* hires.h - the second pass: a picture is made larger, as a latent or in pixels, and drawn again from there, as A1111's
 * "Hires. fix" does it. */
#ifndef SUMI_PIPELINE_HIRES_H
#define SUMI_PIPELINE_HIRES_H
#include "pipeline/job.h"

/* Prepares the second job, if the options ask for one: it begins from a picture whose pixels or latent come later. */
bool hires_prepare(job *j, session *s, const watcher *w, error *e);
void hires_free(job *j); /* of a job without one: nothing is done */
job *hires_job(const job *j);
/* Whether both have none, or ones that can be drawn together. */
bool hires_alike(const job *a, const job *b);
const char *hires_upscaler_name(const job *j);
/* Whether the first pass is to be decoded. */
bool hires_in_pixels(const job *j);
/* What the second begins from: the first's latent [positions][C], or its picture [height][width][3] in −1 … 1. */
bool hires_begin(job *j, const float *latent, const float *picture, const watcher *w, error *e);

#endif
