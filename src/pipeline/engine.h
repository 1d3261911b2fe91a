/* engine.h - draws: one picture or many, for the program, the library, evaluation and training's samples. Pictures that
 * are alike go through the networks together; each comes out with the bytes that it has alone, for no kernel's result
 * depends on the size of the batch. */
#ifndef SUMI_PIPELINE_ENGINE_H
#define SUMI_PIPELINE_ENGINE_H
#include "pipeline/job.h"

/* A picture for each of `count` options into pictures[]; on failure none is left there. The first options' listener,
 * cancel and preview count for all. */
bool engine_draw(session *s, const sumi_options *const *options, int count, sumi_image **pictures, error *e);

/* How many pictures of this size with so many branches are drawn at once at most: what keeps the machine busy in about
 * the memory of one large picture. */
int engine_batch(const model *m, int width, int height, int branches);

/* Writes a network of one picture, as sumi_dump() says. */
bool engine_dump(
    session *s, const sumi_options *o, const char *name, bool profile, sumi_write_fn *write, void *context, error *e);

/* The stages of a group, for tests and benches: texts and pictures, then the latents [count][positions][C] from the
 * first to the last, then the pictures [count][height][width][3] in −1 … 1. Both are to be freed. */
bool engine_encode(session *s, job *const *jobs, int count, const watcher *w, error *e);
float *engine_denoise(session *s, job *const *jobs, int count, const watcher *w, error *e);
float *engine_decode(session *s, job *const *jobs, int count, const float *latents, const watcher *w, error *e);

#endif
