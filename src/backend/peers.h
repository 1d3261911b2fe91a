/* peers.h - devices of several processes, one each, that sum and share arrays among themselves without the host
 * between: what a backend's device may bring (graph.h). All processes call the same functions in the same order, for
 * arrays of the same sizes; an array lies in the device's memory. */
#ifndef SUMI_BACKEND_PEERS_H
#define SUMI_BACKEND_PEERS_H
#include "graph/graph.h"

enum { PEERS_ID = 128 }; /* bytes */

typedef struct peers peers; /* one process among the others */

typedef struct peer_functions {
	/* What joins the devices, as "NCCL 2.28.9"; false: it is missing or too old, and the text says what. */
	bool (*describe)(char *text, size_t room);
	/* By which one process lets the others find it. */
	bool (*make_id)(void *context, uint8_t id[PEERS_ID], error *e);
	/* context: the device's. Waits for all `size` of them. NULL: failed. */
	peers *(*join)(void *context, const uint8_t id[PEERS_ID], int rank, int size, error *e);
	/* NULL is fine. together: all leave; else this process alone does, and waits for nothing. */
	void (*leave)(peers *p, bool together);
	/* Each array becomes the sum over the processes, or what process holder[i] has: after the work that the device was
	 * given before, while it goes on with what it is given next, until settle(). */
	bool (*sum)(peers *p, int count, float *const *arrays, const size_t *sizes, error *e);
	bool (*share)(peers *p, int count, float *const *arrays, const size_t *sizes, const int *holder, error *e);
	/* Of the calls of sum() and share() since settle(), how many are done already. */
	int (*done)(const peers *p);
	/* What the device is given next comes after all of them. */
	bool (*settle)(peers *p, error *e);
} peer_functions;

#endif
