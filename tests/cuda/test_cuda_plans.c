/* test_cuda_plans.c - cuDNN makes its plans for GPUs that are not here, from their properties: so that every attention
 * and convolution of the models is known to have an engine before a GPU is at hand. Skipped where cuDNN is not
 * installed, or older than 9.8.
 *
 *     test_cuda_plans [all]     all: every shape, which takes a minute */
#include "backend/cuda/dnn.h"
#include <stdio.h>
#include <string.h>

enum { SKIPPED = 77 };

static void nothing(gpu *g) { (void)g; }

/* As cuDNN writes them; what engines ask about is the compute capability (deviceVer) and shared memory. */
static const char properties[] =
    "{\"deviceName\": \"%s\", \"deviceVer\": %d, \"driverVer\": 13000, \"cudaDeviceId\": 0, \"multiProcessorCount\": "
    "%d,"
    "\"maxSharedMemoryPerBlockOptin\": %d, \"totalGlobalMem\": 85017493504, \"l2CacheSize\": 41943040,"
    "\"maxSharedMemoryPerBlock\": 49152, \"reservedSharedMemoryPerBlock\": 1024, \"maxRegistersPerSM\": 65536,"
    "\"regsPerBlock\": 65536, \"maxCtasPerSM\": 32, \"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": 2048,"
    "\"warpSize\": 32, \"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64],"
    "\"smClockRateKHz\": 1410000, \"memClockRateKHz\": 1512000, \"pciDeviceId\": 0, \"isTccDriver\": 0,"
    "\"supportCoopLaunch\": 1}";

typedef struct device_row {
	const char *name;
	int capability, multiprocessors, shared;
} device_row;
static const device_row devices[] = { { "A100", 800, 108, 166912 }, { "H100", 900, 132, 232448 } };

/* As models have them, the last two the autoencoder's and Stable Diffusion 3's. */
typedef struct attention_row {
	int items, queries, keys, heads, width;
	int forward, gradient; /* the least compute capability that must have a plan; 0: none need have one */
	bool always;           /* not only where all are asked for: each plan is compiled, and takes a while */
} attention_row;
static const attention_row attentions[] = { { 2, 4096, 4096, 8, 40, 800, 800, true },
	{ 2, 4096, 77, 8, 40, 800, 800, false }, { 2, 1024, 1024, 8, 80, 800, 800, false },
	{ 2, 256, 256, 8, 160, 800, 900, false }, { 2, 64, 77, 8, 160, 800, 900, true },
	{ 2, 4096, 4096, 10, 64, 800, 800, false }, { 1, 4096, 4096, 1, 512, 800, 0, true },
	{ 1, 4250, 4250, 24, 64, 800, 800, false } };

static int check(gpu *g, const device_row *d, const attention_row *a, dnn_kind kind)
{
	dnn_attention s = { kind, a->items, a->queries, a->keys, a->heads, a->width };
	size_t workspace = 0;
	int least = kind == DNN_ATTENTION ? a->forward : a->gradient;
	bool wanted = least && d->capability >= least, there = dnn_find_attention(g, &s, &workspace) != NULL;
	printf("%s %-9s %d %4d %4d %2d %3d: %s, workspace %zu\n", d->name, kind == DNN_ATTENTION ? "attention" : "gradient",
	    a->items, a->queries, a->keys, a->heads, a->width,
	    there    ? "a plan"
	    : wanted ? "MISSING"
	             : "none",
	    workspace);
	return wanted && !there;
}

static int check_convolution(gpu *g, const device_row *d, dnn_kind kind)
{
	dnn_shape s = { kind, 2, 64, 64, 320, 64, 64, 320, 3, 3, 1, 1, 1, 1, 1, BF16, kind == DNN_BY_WEIGHT ? F32 : BF16 };
	size_t workspace = 0;
	bool there = dnn_find(g, &s, &workspace) != NULL;
	if (!there && kind == DNN_BY_WEIGHT) {
		s.weight_type = BF16;
		there = dnn_find(g, &s, &workspace) != NULL;
	}
	printf("%s convolution %d: %s\n", d->name, (int)kind, there ? "a plan" : "none");
	return !there;
}

int main(int count, char **arguments)
{
	bool all = count > 1 && !strcmp(arguments[1], "all");
	const cuda_libraries *l = cuda_libraries_find();
	int missing = 0;
	if (!l->dnn || l->dnn_version < 90800) {
		printf("skipped: %s%s\n", l->driver_problem, l->dnn ? "cuDNN is too old" : l->dnn_problem);
		return SKIPPED;
	}
	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
		const device_row *d = &devices[i];
		gpu g = { .enter = nothing, .leave = nothing };
		error e = { OK, "" };
		char text[2048];
		snprintf(text, sizeof text, properties, d->name, d->capability, d->multiprocessors, d->shared);
		if (!dnn_attach_described(&g, text, &e)) {
			printf("%s\n", e.text);
			return 1;
		}
		for (size_t k = 0; k < sizeof attentions / sizeof *attentions; k++)
			for (dnn_kind kind = DNN_ATTENTION; kind <= DNN_ATTENTION_GRADIENT; kind++)
				if (all || (attentions[k].always && d->capability >= 900))
					missing += check(&g, d, &attentions[k], kind);
		for (dnn_kind kind = DNN_FORWARD; kind <= DNN_BY_WEIGHT; kind++) missing += check_convolution(&g, d, kind);
	}
	printf("%d plans are missing\n", missing);
	return missing > 0;
}
