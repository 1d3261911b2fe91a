/* streamed.c - weights for which a device has no room: they stay in page-locked memory of the host, and come while the
 * device computes, to one of two slots that take turns. What the steps between two turns read is a segment; while one
 * is computed with, the next is on its way. */
#include "graph/internal.h"
#include <stdlib.h>

enum { SLOTS = 2, SMALL = 4096, LARGEST_SEGMENT = 64 << 20, SEGMENTS = 8 };

size_t graph_streamed_bytes(const graph *g) { return g->streamed_bytes; }

static size_t rounded(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

/* ── what can be streamed: what one step alone reads, and no fold ── */

enum { NOBODY = -1, SEVERAL = -2 };

static void add_reader(int *reader, tensor t, int by) { reader[t] = reader[t] == NOBODY ? by : SEVERAL; }

static void find_readers(const graph *g, int *reader, int *packed)
{
	for (int i = 0; i < g->count; i++) reader[i] = NOBODY;
	for (int i = 1; i < g->count; i++)
		if (g->nodes[i].keep) reader[g->places[i].base] = SEVERAL;
	for (int s = 0; s < g->step_count; s++) packed[s] = 0;
	for (int s = 0; s < g->step_count; s++) {
		const step *y = &g->steps[s];
		for (int k = 0; k < y->call.y->inputs; k++)
			add_reader(reader, y->reads[k], k == 1 && y->packed_bytes ? SEVERAL : s); /* packing is a fold */
		if (y->packed_bytes) packed[y->packed_like ? y->packed_like - 1 : s]++;
	}
	for (int s = 0; s < g->constant_step_count; s++)
		for (int k = 0; k < g->constant_steps[s].call.y->inputs; k++) reader[g->constant_steps[s].reads[k]] = SEVERAL;
}

static int by_step(const void *a, const void *b)
{
	const streamed *x = a, *y = b;
	return x->step != y->step ? x->step - y->step : (int)x->node - (int)y->node;
}

/* In the order in which steps read them; false: no memory. */
static bool find_candidates(graph *g)
{
	int *reader = malloc((size_t)g->count * sizeof *reader),
	    *packed = malloc(((size_t)g->step_count + 1) * sizeof *packed);
	size_t most = (size_t)g->step_count + (size_t)g->constant_step_count + 1;
	streamed *list = g->streamed = calloc(most, sizeof *list);
	int n = 0;
	if (reader && packed && list) {
		find_readers(g, reader, packed);
		for (int c = 0; c < g->constant_step_count; c++) {
			tensor t = g->constant_steps[c].node;
			const place *p = &g->places[t];
			if (p->persistent && p->memory == OWN && reader[t] >= 0 && node_bytes(g, t) >= SMALL)
				list[n++] = (streamed){ .node = t, .step = reader[t], .bytes = node_bytes(g, t) };
		}
		for (int s = 0; s < g->step_count; s++) {
			const step *y = &g->steps[s];
			bool constant = y->packed_bytes && g->places[y->reads[1]].constant;
			if (constant && y->memory == OWN && packed[s] == 1 && !y->packed_like && y->packed_bytes >= SMALL)
				list[n++] = (streamed){ .step = s, .bytes = y->packed_bytes };
		}
		qsort(list, (size_t)n, sizeof *list, by_step);
	}
	g->streamed_count = n;
	bool fine = reader && packed && list;
	free(reader);
	free(packed);
	return fine;
}

/* ── which of them are, and in what segments ── */

/* From `from` on, what the same step reads: where that ends, and its bytes. */
static int end_of_step(const graph *g, int from, size_t *bytes)
{
	int i = from;
	for (*bytes = 0; i < g->streamed_count && g->streamed[i].step == g->streamed[from].step; i++)
		*bytes += rounded(g->streamed[i].bytes);
	return i;
}

static void add_to_segment(graph *g, int from, int to, size_t bytes, size_t largest)
{
	segment *last = g->segment_count ? &g->segments[g->segment_count - 1] : NULL;
	int at = g->streamed[from].step;
	if (!last || last->bytes + bytes > largest) {
		last = &g->segments[g->segment_count++];
		*last = (segment){ .first = at, .host_at = g->streamed_bytes };
	}
	for (int i = from; i < to; i++) {
		g->streamed[i].segment = g->segment_count - 1;
		g->streamed[i].at = last->bytes;
		last->bytes += rounded(g->streamed[i].bytes);
	}
	last->last = at;
	g->streamed_bytes += bytes;
	if (last->bytes > g->slot_bytes) g->slot_bytes = last->bytes;
}

/* What stays is spread evenly, so that what comes has time to. */
static void choose(graph *g, size_t bytes)
{
	size_t all = 0, most = 0, one, seen = 0, kept = 0;
	for (int i = 0; i < g->streamed_count; all += one) {
		i = end_of_step(g, i, &one);
		if (one > most) most = one;
	}
	size_t largest = all / SEGMENTS < LARGEST_SEGMENT ? all / SEGMENTS : LARGEST_SEGMENT;
	if (largest < most) largest = most;
	size_t others = g->constant_bytes[OWN] > all ? g->constant_bytes[OWN] - all : 0;
	size_t room = bytes > others + SLOTS * largest ? bytes - others - SLOTS * largest : 0;
	for (int i = 0, end; i < g->streamed_count; i = end) {
		end = end_of_step(g, i, &one);
		seen += one;
		if ((double)(kept + one) * (double)all <= (double)room * (double)seen)
			kept += one;
		else
			add_to_segment(g, i, end, one, largest);
	}
}

/* Those that are streamed lie in their slot, behind all that stays. */
static void place_streamed(graph *g)
{
	for (int i = 0; i < g->streamed_count; i++) {
		const streamed *s = &g->streamed[i];
		if (s->segment < 0) continue;
		*(s->node ? &g->places[s->node].streamed : &g->steps[s->step].streamed) = i + 1;
	}
	plan_constants(g);
	g->slots_at = rounded(g->constant_bytes[OWN]);
	g->constant_bytes[OWN] = g->slots_at + SLOTS * g->slot_bytes;
	for (int i = 0; i < g->streamed_count; i++) {
		const streamed *s = &g->streamed[i];
		if (s->segment < 0) continue;
		size_t at = g->slots_at + (size_t)(s->segment % SLOTS) * g->slot_bytes + s->at;
		*(s->node ? &g->places[s->node].at : &g->steps[s->step].packed_at) = at;
	}
}

bool graph_stream(graph *g, size_t bytes, error *e)
{
	if (!g->device || !g->device->fetch || g->streamed || g->constants[OWN] || bytes >= g->constant_bytes[OWN])
		return true;
	if (!find_candidates(g)) return fail(e, NO_MEMORY, "out of memory for a plan of %d steps", g->step_count);
	g->segments = calloc((size_t)g->streamed_count + 1, sizeof *g->segments);
	if (!g->segments) return fail(e, NO_MEMORY, "out of memory for a plan of %d steps", g->step_count);
	for (int i = 0; i < g->streamed_count; i++) g->streamed[i].segment = -1;
	choose(g, bytes);
	if (g->streamed_bytes > SLOTS * g->slot_bytes)
		place_streamed(g);
	else /* nothing would be gained */
		g->streamed_bytes = g->slot_bytes = 0, g->segment_count = 0;
	return true;
}

/* ── memory ── */

bool allocate_streamed(graph *g, error *e)
{
	const device *d = g->device;
	for (int i = 0; i < SLOTS; i++) g->held[i] = -1;
	g->open_segment = -1;
	if (!g->segment_count) return true;
	g->page_locked = d->fetch->alloc(d->context, g->streamed_bytes);
	if (!g->page_locked)
		return fail(e, NO_MEMORY,
		    "out of memory: %zu MiB of the host's, page-locked, are needed for weights that %s has no room for",
		    g->streamed_bytes >> 20, d->name);
	return (g->fetcher = d->fetch->open(d->context, e)) != NULL;
}

void free_streamed(graph *g)
{
	if (g->fetcher) g->device->fetch->close(g->fetcher);
	if (g->page_locked) g->device->fetch->free(g->device->context, g->page_locked);
	free(g->segments);
	free(g->streamed);
}

/* What has just been folded, where it is streamed, leaves the slot for the host. */
bool keep_streamed(const graph *g, const step *s, bool pack, error *e)
{
	int i = pack ? s->streamed : g->places[s->node].streamed;
	if (!i) return true;
	const streamed *y = &g->streamed[i - 1];
	const segment *of = &g->segments[y->segment];
	const char *from = pack ? s->call.packed : g->places[s->node].data;
	return g->device->download(g->device->context, g->page_locked + of->host_at + y->at, from, y->bytes, e);
}

/* ── running ── */

static bool send_for(graph *g, int i, error *e)
{
	const segment *s = &g->segments[i];
	int slot = i % SLOTS;
	if (g->held[slot] == i) return true;
	char *to = g->constants[OWN] + g->slots_at + (size_t)slot * g->slot_bytes;
	bool fine = g->device->fetch->send(g->fetcher, slot, to, g->page_locked + s->host_at, s->bytes, e);
	g->held[slot] = fine ? i : -1;
	return fine;
}

bool begin_segment(graph *g, int i, error *e)
{
	int next = (i + 1) % g->segment_count;
	if (g->open_segment >= 0 && !end_segment(g, g->open_segment, e)) return false; /* of a run that was stopped */
	g->open_segment = i;
	if (!send_for(g, i, e) || !g->device->fetch->await(g->fetcher, i % SLOTS, e)) return false;
	return next % SLOTS == i % SLOTS || send_for(g, next, e);
}

bool end_segment(graph *g, int i, error *e)
{
	g->open_segment = -1;
	return g->device->fetch->release(g->fetcher, i % SLOTS, e);
}
