/* protected.c - the CPU's kernels on memory that nobody else may touch. */
#include "protected.h"
#include "backend/backend.h"
#include "base/resources.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ── memory: one reserved range, from which blocks are taken ── */
#define RANGE ((size_t)64 << 30)
enum { BLOCKS = 65536, PAGE = 4096 };

typedef struct block {
	size_t at, bytes;
	bool used;
} block;

static char *range;
static block blocks[BLOCKS]; /* one after the other, from the beginning of the range */
static int block_count;
static size_t top; /* the end of the last */
static protected_counts counts;

/* Opens or closes the pages of bytes from p on, where p is in the range. */
static void admit(bool on, const void *p, size_t bytes)
{
	const char *at = p;
	if (!p || !bytes || at < range || at >= range + RANGE) return;
	size_t first = (size_t)(at - range) / PAGE * PAGE, end = ((size_t)(at - range) + bytes + PAGE - 1) / PAGE * PAGE;
	if (mprotect(range + first, end - first, on ? PROT_READ | PROT_WRITE : PROT_NONE)) abort();
}

/* What a kernel may read and write, and not a page more. */
static void admit_call(bool on, const kernel *row, const call *c)
{
	admit(on, c->out, shape_count(c->y->shape) * dtype_size(c->y->dtype));
	for (int k = 0; k < c->y->inputs; k++)
		if (c->x[k]) admit(on, c->in[k], shape_count(c->x[k]->shape) * dtype_size(c->x[k]->dtype));
	if (c->scratch) admit(on, c->scratch, row->scratch_bytes(c));
	if (c->packed) admit(on, c->packed, row->packed_bytes(c));
}

static void *take(void *context, size_t bytes)
{
	(void)context;
	bytes = (bytes / PAGE + 1) * PAGE;
	for (int i = 0; i < block_count; i++)
		if (!blocks[i].used && blocks[i].bytes == bytes) return blocks[i].used = true, range + blocks[i].at;
	if (block_count == BLOCKS || top + bytes > RANGE) return NULL;
	blocks[block_count++] = (block){ top, bytes, true };
	top += bytes;
	return range + blocks[block_count - 1].at;
}

static void give_back(void *context, void *p)
{
	(void)context;
	for (int i = 0; p && i < block_count; i++)
		if (range + blocks[i].at == (char *)p) {
			blocks[i].used = false;
			madvise(p, blocks[i].bytes, MADV_DONTNEED);
		}
	while (block_count && !blocks[block_count - 1].used) top = blocks[--block_count].at;
}

/* ── recordings ── */
typedef struct act { /* a kernel's run or pack, or a copy */
	const kernel *row;
	call call;
	bool pack;
} act;

typedef struct recording {
	act *list;
	int count, capacity;
} recording;

static recording *recorder; /* NULL: what is given is done */

static bool record(const kernel *row, const call *c, bool pack, error *e)
{
	if (recorder->count == recorder->capacity) {
		recorder->capacity = 2 * recorder->capacity + 64;
		act *more = realloc(recorder->list, (size_t)recorder->capacity * sizeof *more);
		if (!more) return fail(e, NO_MEMORY, "no memory for a recording");
		recorder->list = more;
	}
	recorder->list[recorder->count++] = (act){ row, *c, pack };
	return true;
}

static bool begin(void *context, error *e)
{
	(void)context;
	recorder = calloc(1, sizeof *recorder);
	return recorder || fail(e, NO_MEMORY, "no memory for a recording");
}

static void *end(void *context, error *e)
{
	(void)context, (void)e;
	recording *made = recorder;
	recorder = NULL;
	return made;
}

static bool perform(const kernel *row, const call *c, bool pack, error *e)
{
	if (recorder) return record(row, c, pack, e);
	admit_call(true, row, c);
	bool fine = pack ? row->pack(c, e) : row->run(c, e);
	admit_call(false, row, c);
	counts.kernels++;
	return fine;
}

static bool replay(void *context, void *what, error *e)
{
	(void)context;
	const recording *r = what;
	counts.replays++;
	for (int i = 0; i < r->count; i++)
		if (!perform(r->list[i].row, &r->list[i].call, r->list[i].pack, e)) return false;
	return true;
}

static void forget(void *context, void *what)
{
	(void)context;
	recording *r = what;
	if (r) free(r->list);
	free(r);
}

/* ── copies: not to be recorded ── */
static bool move(void *to, const void *from, size_t bytes, error *e)
{
	if (recorder) return fail(e, BAD_USAGE, "a copy between memories in a recording");
	admit(true, to, bytes), admit(true, from, bytes);
	memcpy(to, from, bytes);
	admit(false, to, bytes), admit(false, from, bytes);
	return true;
}

static bool up(void *context, void *to, const void *from, size_t bytes, error *e)
{
	(void)context;
	counts.uploads++;
	return move(to, from, bytes, e);
}

static bool down(void *context, void *to, const void *from, size_t bytes, error *e)
{
	(void)context;
	counts.downloads++;
	return move(to, from, bytes, e);
}

static bool within(void *context, void *to, const void *from, size_t bytes, error *e)
{
	(void)context;
	return move(to, from, bytes, e);
}

/* ── what comes while kernels run: not before it is waited for, and never to a slot that was not released ── */
typedef struct way {
	void *to[2];
	const void *from[2];
	size_t bytes[2];
	bool busy[2];
} way;

static void *take_locked(void *context, size_t bytes) { return (void)context, malloc(bytes); }
static void give_locked(void *context, void *p) { (void)context, free(p); }
static void *open_way(void *context, error *e)
{
	void *made = calloc(1, sizeof(way));
	(void)context;
	if (!made) fail(e, NO_MEMORY, "no memory for a way");
	return made;
}
static void close_way(void *w) { free(w); }

static bool send_ahead(void *data, int slot, void *to, const void *from, size_t bytes, error *e)
{
	way *w = data;
	if (w->busy[slot]) return fail(e, BAD_USAGE, "a slot is overwritten that is in use");
	w->to[slot] = to, w->from[slot] = from, w->bytes[slot] = bytes;
	return true;
}
static bool await_slot(void *data, int slot, error *e)
{
	way *w = data;
	w->busy[slot] = true;
	counts.fetches++;
	if (!w->from[slot]) return true; /* it is there from the last run */
	bool fine = move(w->to[slot], w->from[slot], w->bytes[slot], e);
	w->from[slot] = NULL;
	return fine;
}
static bool release_slot(void *data, int slot, error *e)
{
	way *w = data;
	if (!w->busy[slot]) return fail(e, BAD_USAGE, "a slot is released that was not in use");
	w->busy[slot] = false;
	return true;
}
static const fetch_functions ways = { take_locked, give_locked, open_way, close_way, send_ahead, await_slot,
	release_slot };

static uint64_t left(void *context) { return (void)context, memory_available(); } /* it is the host's in truth */

static bool wait(void *context, error *e) { return (void)context, (void)e, true; }

static const device memory = { .name = "protected",
	.context = &counts,
	.alloc = take,
	.free = give_back,
	.available = left,
	.upload = up,
	.download = down,
	.copy = within,
	.sync = wait,
	.record_begin = begin,
	.record_end = end,
	.replay = replay,
	.record_free = forget,
	.fetch = &ways };

/* ── rows: the CPU's, each in a wrapper that opens the memory. A wrapper's prepare knows its row by number; the rest
 * find it in the state. ── */
enum { ROWS = 192 };

typedef struct wrapped {
	const kernel *row;
	void *state;
} wrapped;

static kernel inner[ROWS], rows[ROWS];
static backend made = { .name = "protected", .rows = rows, .device = &memory };

static call inner_call(const call *c)
{
	call own = *c;
	own.state = ((const wrapped *)c->state)->state;
	own.device = NULL;
	return own;
}

static const kernel *row_of(const call *c) { return ((const wrapped *)c->state)->row; }

static bool prepare(int number, call *c, error *e)
{
	wrapped *w = calloc(1, sizeof *w);
	if (!w) return fail(e, NO_MEMORY, "no memory");
	w->row = &inner[number];
	c->state = w;
	call own = inner_call(c);
	if (w->row->prepare && !w->row->prepare(&own, e)) return c->state = NULL, free(w), false;
	w->state = own.state;
	return true;
}

static size_t scratch_bytes(const call *c)
{
	call own = inner_call(c);
	return row_of(c)->scratch_bytes ? row_of(c)->scratch_bytes(&own) : 0;
}

static size_t packed_bytes(const call *c)
{
	call own = inner_call(c);
	return row_of(c)->packed_bytes ? row_of(c)->packed_bytes(&own) : 0;
}

static bool pack(const call *c, error *e)
{
	call own = inner_call(c);
	return perform(row_of(c), &own, true, e);
}

static bool run(const call *c, error *e)
{
	call own = inner_call(c);
	return perform(row_of(c), &own, false, e);
}

static void release(void *state)
{
	wrapped *w = state;
	if (w->row->release && w->state) w->row->release(w->state);
	free(w);
}

#define ONE(n) \
	static bool prepare_##n(call *c, error *e) { return prepare(0x##n, c, e); }
#define NAME(n) prepare_##n,
#define ROW_OF_16(M, h) \
	M(h##0)             \
	M(h##1)             \
	M(h##2) M(h##3) M(h##4) M(h##5) M(h##6) M(h##7) M(h##8) M(h##9) M(h##a) M(h##b) M(h##c) M(h##d) M(h##e) M(h##f)
#define ALL(M)      \
	ROW_OF_16(M, 0) \
	ROW_OF_16(M, 1) \
	ROW_OF_16(M, 2) \
	ROW_OF_16(M, 3) \
	ROW_OF_16(M, 4) \
	ROW_OF_16(M, 5) ROW_OF_16(M, 6) ROW_OF_16(M, 7) ROW_OF_16(M, 8) ROW_OF_16(M, 9) ROW_OF_16(M, a) ROW_OF_16(M, b)
ALL(ONE)
static bool (*const prepares[ROWS])(call *, error *) = { ALL(NAME) };

/* What falls back: something in the middle of each network, of training, and of an optimizer's step. */
static bool is_left_out(opcode op)
{
	return op == RESIZE || op == GEGLU || op == EMBEDDING || op == TIMESTEP_EMBEDDING || op == SUM_TO ||
	       op == LAYER_NORM_DW || op == CLIP_SCALE || op == UPDATE_ADAMW_8BIT;
}

static void fill_table(void)
{
	range = mmap(NULL, RANGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (range == MAP_FAILED) abort();
	for (const backend *b = backend_cpu(); b; b = b->fallback)
		for (int i = 0; i < b->count; i++) {
			if (is_left_out(b->rows[i].op)) continue;
			if (made.count == ROWS) abort();
			inner[made.count] = b->rows[i];
			rows[made.count] = (kernel){ b->rows[i].op, b->rows[i].name, b->rows[i].fits, prepares[made.count],
				scratch_bytes, packed_bytes, pack, run, release };
			made.count++;
		}
	made.fallback = backend_cpu();
	made.threads = backend_cpu()->threads;
	made.fuses_casts = backend_cpu()->fuses_casts;
}

const backend *backend_protected(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, fill_table);
	return &made;
}

protected_counts protected_counted(void) { return counts; }
