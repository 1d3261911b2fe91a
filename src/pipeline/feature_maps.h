/* feature_maps.h - T2I-Adapters of a group of pictures: run once, before the denoiser; the maps that they give are
 * weighted, summed and handed to the denoiser when the sum changes. */
#ifndef SUMI_PIPELINE_FEATURE_MAPS_H
#define SUMI_PIPELINE_FEATURE_MAPS_H
#include "pipeline/job.h"

/* All maps lie in one array, output by output in the order of the network, each [item][height][width][channels].
 * For the denoiser's build: that array as an input (0: the job has no T2I-Adapters), and its parts, to out[], of
 * UNET_SKIPS + 1 zeros, where the U-Net adds them. */
tensor feature_maps_input(graph *g, const job *j, int items, tensor *out);
int feature_maps_outputs(const job *j);                  /* how many maps there are; 0: none */
size_t feature_maps_values(const job *j, int items);     /* how many numbers that array has */
uint64_t feature_maps_bytes(const job *j, int pictures); /* what is held besides the networks */

/* The compiled network of control `which`, a T2I-Adapter, for so many of these pictures. NULL: failed. */
stage *feature_maps_network(session *s, job *const *jobs, int count, int which, error *e);

typedef struct feature_maps {
	job *const *jobs;           /* that are alike */
	int count;                  /* of pictures */
	float *maps[MOST_CONTROLS]; /* of a T2I-Adapter, an item for each picture; owned */
	float *sum;                 /* of all, an item for each picture and branch; owned */
	float *strengths;           /* [control][picture], as the denoiser's input has them; owned */
	const stage *written;       /* the network whose input holds the sum; NULL: none yet */
} feature_maps;

/* Runs the networks. Nothing where the jobs have no T2I-Adapters, as in the rest. */
bool feature_maps_begin(feature_maps *f, session *s, job *const *jobs, int count, const watcher *w, error *e);
/* Writes what counts in this step of `steps` to the denoiser's input. */
bool feature_maps_write(feature_maps *f, int step, int steps, const stage *denoiser, tensor to, error *e);
void feature_maps_end(feature_maps *f);

#endif
