/* heard.h - where a picture hears the words of its prompt: which tokens of a context are a word's, and the maps of
 * attention to them (nn/word_maps.h), gathered from all calls of the denoiser. */
#ifndef SUMI_PIPELINE_HEARD_H
#define SUMI_PIPELINE_HEARD_H
#include "pipeline/job.h"

enum { MOST_HEARD = 64 };

/* Marks the words of the options in the texts that the job's conditional branches read. BAD_USAGE: a word is not among
 * them, or there is no attention to words. */
bool heard_prepare(job *j, error *e);

typedef struct heard { /* of a group; zeros: nothing is asked for */
	int words, pictures, branches;
	float *marks;     /* [pictures][branches][tokens][words], as the network reads them */
	float *now, *sum; /* what the network gave: last, and in all its calls */
	int calls;
	size_t values;
	float *maps;   /* [pictures][positions][words]: of the networks before */
	double weight; /* by which they are to be divided */
} heard;

size_t heard_values(const job *j); /* floats that it takes for one picture, at most */
bool heard_begin(heard *h, const stage *network, job *const *jobs, int count, error *e);
bool heard_write(heard *h, const stage *network, tensor to, job *const *jobs, int step, error *e);
bool heard_read(heard *h, const stage *network, error *e);                    /* after a call of the network */
bool heard_leave(heard *h, const stage *network, job *const *jobs, error *e); /* after its last call */
/* After heard_leave(): gives each job its maps [words][positions], 0 … 1. */
bool heard_finish(heard *h, job *const *jobs, error *e);
void heard_drop(heard *h); /* what belongs to the network */
void heard_free(heard *h);

#endif
