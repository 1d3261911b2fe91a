/* data_bucket.c - aspect buckets. */
#include "train/data/data_bucket.h"
#include <math.h>
#include <stdbool.h>

static int add_size(bucket_size *list, int n, int height, int width)
{
	for (int i = 0; i < n; i++)
		if (list[i].height == height && list[i].width == width) return n;
	if (n < MOST_BUCKETS) list[n++] = (bucket_size){ height, width };
	return n;
}

int bucket_sizes(int resolution, int step, int least, int most, bucket_size out[MOST_BUCKETS])
{
	int n = 0;
	for (int width = (least + step - 1) / step * step; width <= most; width += step) {
		int height = resolution * resolution / width / step * step;
		if (height > most) height = most / step * step;
		if (height < least || height <= 0) continue;
		n = add_size(out, n, height, width);
		n = add_size(out, n, width, height);
	}
	return n;
}

bucket_size bucket_for(const bucket_size *list, int count, int height, int width)
{
	double ratio = log((double)width / height), best = INFINITY;
	bucket_size found = list[0];
	for (int i = 0; i < count; i++) {
		double d = fabs(log((double)list[i].width / list[i].height) - ratio);
		bool larger = list[i].height * list[i].width > found.height * found.width;
		if (d < best - 1e-12 || (d < best + 1e-12 && larger)) best = d, found = list[i];
	}
	return found;
}
