/* timesteps.c - sinusoidal embeddings of timesteps, of even and odd widths, and of SDXL's sizes. */
#include "trial.h"
#include <stdio.h>
#include <string.h>

/* Angles reach a thousand radians in float, where a rounding alone moves a cosine by 3e-5. */
static const double tolerance = 5e-5;

static void run_width(const arrays *a, const char *key, int width, report *r)
{
	trial *t = trial_new("timestep_embedding", REAL, NULL, NULL, 0);
	graph *g = trial_nn(t)->g;
	trial_expect(t, timestep_embedding(g, trial_input(t, a, "timestep_embedding/t"), width, 10000), a, "%s", key);
	trial_end(t, r, tolerance);
}

/* Height, width, crop and target of a picture become one vector. */
static void run_sizes(const arrays *a, report *r)
{
	trial *t = trial_new("timestep_embedding", REAL, NULL, NULL, 0);
	graph *g = trial_nn(t)->g;
	tensor sizes = trial_input(t, a, "sdxl/size_crop_target"), flat = reshape(g, sizes, shape1(-1));
	tensor y = timestep_embedding(g, flat, 256, 10000);
	trial_expect(t, reshape(g, y, shape2(dim(g, sizes, 0), -1)), a, "sdxl/vector_tail_1536");
	trial_end(t, r, tolerance);
}

void golden_timesteps(const char *dir, report *r)
{
	const char *path = path_of(dir, "unet/timestep_embedding.safetensors"), *key;
	if (!exists(path)) return;
	arrays a = arrays_open(path);
	json_t *entry;
	json_object_foreach(a.header, key, entry)
	{
		int width;
		if (sscanf(key, "timestep_embedding/%d", &width) == 1) run_width(&a, key, width, r);
	}
	if (array_of(&a, NULL, "sdxl/vector_tail_1536")) run_sizes(&a, r);
	arrays_close(&a);
}
