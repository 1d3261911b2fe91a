/* data_bucket.h - the sizes that pictures of any shape are cropped to, as NovelAI's and kohya's trainers choose them:
 * both sides multiples of a step, the area at most resolution². */
#ifndef SUMI_TRAIN_DATA_BUCKET_H
#define SUMI_TRAIN_DATA_BUCKET_H

enum { MOST_BUCKETS = 1024 };
typedef struct bucket_size {
	int height, width;
} bucket_size;

/* For each width from least to most the largest height, and the same upright; how many: 0 where none is within the
 * limits. */
int bucket_sizes(int resolution, int step, int least, int most, bucket_size out[MOST_BUCKETS]);
/* The one whose ratio of sides is nearest, by its logarithm; of equals the largest. */
bucket_size bucket_for(const bucket_size *list, int count, int height, int width);

#endif
