/* describe.h - how a picture was made, as text for its file. */
#ifndef SUMI_PIPELINE_DESCRIBE_H
#define SUMI_PIPELINE_DESCRIBE_H
#include "pipeline/hashing.h"
#include "pipeline/job.h"

/* Sets the picture's seed and parameters. h may be NULL: no hashes are known. */
bool describe(const job *j, hashing *h, sumi_image *picture, error *e);

#endif
