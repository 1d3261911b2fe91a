/* share.h - how the host's kernels share their work among threads. */
#ifndef SUMI_BACKEND_SHARE_H
#define SUMI_BACKEND_SHARE_H
#include "base/threads.h"
#include "graph/graph.h"

/* Tasks 0 … count−1 by the call's threads, in parts of some ten thousand values. each: the values that a task reads. */
bool share(const call *c, size_t count, size_t each, part_fn *part, const void *context);

static inline size_t count_of(const node *n) { return shape_count(n->shape); }
static inline size_t last_axis(const node *n) { return (size_t)n->shape.d[n->shape.n - 1]; }

#endif
