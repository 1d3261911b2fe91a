/* upscale.h - makes a picture larger by a network: whole, or tile by tile as Real-ESRGAN does it. */
#ifndef SUMI_PIPELINE_UPSCALE_H
#define SUMI_PIPELINE_UPSCALE_H
#include "checkpoint/caller.h"
#include "graph/graph.h"

typedef struct sumi_upscaler upscaler;

typedef struct upscaler_machine { /* what computes */
	const backend *backend;
	dtype compute;
	int threads;
	uint64_t max_memory; /* bytes that the process may take; 0: what the system has */
} upscaler_machine;

/* BAD_FILE where it is no network that is known (models/upscaler.h). */
upscaler *upscaler_open(const char *path, const upscaler_machine *m, error *e);
void upscaler_close(upscaler *u); /* NULL is fine */
int upscaler_scale(const upscaler *u);
const char *upscaler_name(const upscaler *u); /* of the file, without folder and ending */

enum { TILE_PAD = 10 }; /* Real-ESRGAN's, and there the default */

/* image [height][width][3] in 0 … 1 → out [scale·height][scale·width][3], not clamped. tile: pixels to a side that are
 * made at a time, of the picture that is read, with `pad` more around them that are read and not kept; 0: all at once
 * where there is memory for it, else as large tiles as there is memory for. Progress is stage "upscale", in tiles. */
bool upscaler_run(const upscaler *u, const float *image, int width, int height, int tile, int pad, float *out,
    const watcher *w, error *e);
/* The same from bytes to bytes, as a picture without parameters; the caller frees with sumi_image_free(). */
sumi_image *upscaler_picture(const upscaler *u, const sumi_image *image, int tile, int pad, const watcher *w, error *e);

#endif
