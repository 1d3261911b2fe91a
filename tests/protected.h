/* protected.h - a backend whose memory the host cannot touch, computed by the CPU's own rows: what works on it keeps to
 * graph_read and graph_write, to copies between memories and to recordings, as a GPU's backend needs.
 *
 * Its pages may be neither read nor written but while one of its kernels or copies is at work; any other access ends
 * the program. What is recorded is not run until it is replayed. Some operations are left out, so that they fall back
 * to the host. The values are those of backend_cpu(), to the bit. For one thread at a time. */
#ifndef SUMI_TESTS_PROTECTED_H
#define SUMI_TESTS_PROTECTED_H
#include "graph/graph.h"

const backend *backend_protected(void);

typedef struct protected_counts {
	long kernels, uploads, downloads, replays, fetches;
} protected_counts;
protected_counts protected_counted(void);

#endif
