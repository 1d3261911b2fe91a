/* stage.h - one network of a model, from build to result: built for its shapes and compiled, so that its memory is
 * known; then allocated, and run as often as wanted. */
#ifndef SUMI_PIPELINE_STAGE_H
#define SUMI_PIPELINE_STAGE_H
#include "checkpoint/control.h"
#include "checkpoint/ip_adapter_file.h"
#include "checkpoint/model.h"

/* What is added to the weights of a network: the model's LoRA files and a prompt's. */
typedef struct adaptation {
	const adapted *list;
	int count;
} adaptation;

enum { STAGE_INPUTS = 13 };

typedef struct stage {
	const char *name;                                     /* "encode", "denoise", …; static */
	const control_file *control;                          /* whose network it is; NULL: the model's */
	const ip_adapter_file *ip_adapters[MOST_IP_ADAPTERS]; /* whose weights it has too; NULL behind the last */
	graph *g;                                             /* NULL: this stage is not needed */
	tensor in[STAGE_INPUTS], out;
	shared_norms norms; /* of a network that is run over tiles (tiles.h) */
	tensor feature;     /* of a denoiser whose deep layers' result is kept for the steps without them; 0: none */
	word_maps maps;     /* of a denoiser that is asked for them (heard.h) */
} stage;

/* A build hands the stage's shapes to a network. `nn` has the graph and the adapters. */
typedef void build_fn(nn *n, const model *m, stage *s, const void *shapes);

/* Builds, binds the model's weights, compiles. s must be zeros but for these three. */
bool stage_compile(stage *s, const model *m, adaptation a, build_fn *build, const void *shapes, error *e);
/* Allocates and folds the weights; reports progress as stage "load". */
bool stage_allocate(stage *s, const model *m, const watcher *w, error *e);
bool stage_run(stage *s, error *e);
void stage_free(stage *s); /* leaves these three; may be freed again */

/* Before it is allocated: where it would take more than `most` bytes of a device, weights come as they are needed. */
bool stage_stream(stage *s, uint64_t most, error *e);

/* Bytes that it takes at its peak: weights as they were packed, and what is larger, the values of a run or what
 * folding the weights needs. */
uint64_t stage_bytes(const stage *s);

/* Inputs and outputs are `real`, or I32; a stage's caller passes and receives float. */
bool stage_write(const stage *s, tensor input, const float *values, error *e);
bool stage_write_ids(const stage *s, tensor input, const int32_t *ids, error *e);
bool stage_read(const stage *s, float *values, error *e); /* the whole of out */
size_t stage_count(const stage *s, tensor t);

#endif
