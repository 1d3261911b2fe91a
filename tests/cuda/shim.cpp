/* shim.cpp - the fibers and the scheduler behind shim.h. */
#include "shim.h"
#include "shim_run.h"
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

dim3 threadIdx, blockIdx, blockDim, gridDim;

/* ── kernels by name ── */

/* STACK: no power of two, or the ends of all stacks would compete for a few lines of the cache. */
enum { MOST_KERNELS = 512, MOST_THREADS = 1024, STACK = (64 << 10) + 576, MOST_SHARED = 256 << 10, GUARD = 64 };

static struct {
	const char *name;
	void (*entry)(const void *);
	size_t bytes;
} kernels[MOST_KERNELS];
static int kernel_count;

shim::registration::registration(const char *name, void (*entry)(const void *), size_t bytes)
{
	if (kernel_count == MOST_KERNELS) abort();
	kernels[kernel_count++] = { name, entry, bytes };
}

const char *shim_kernel(int i) { return i < kernel_count ? kernels[i].name : NULL; }
size_t shim_kernel_bytes(int i) { return kernels[i].bytes; }

/* ── switching stacks ── */

#if defined __x86_64__ && !defined __SANITIZE_ADDRESS__
/* Saves what the calling convention keeps, and the stack pointer, and takes up another. */
extern "C" void shim_switch(void **save, void *take);
asm(".text\n.globl shim_switch\nshim_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");

typedef void *context;
static void context_make(context *c, char *stack, void (*entry)())
{
	void **top =
	    (void **)(stack + STACK) - 1; /* the entry sees the stack as after a call: 8 bytes off a multiple of 16 */
	*top = NULL;
	*--top = (void *)entry;
	*c = top - 6;
}
static void context_switch(context *save, context *take) { shim_switch(save, *take); }
#else
typedef ucontext_t context;
static void context_make(context *c, char *stack, void (*entry)())
{
	getcontext(c);
	c->uc_stack.ss_sp = stack;
	c->uc_stack.ss_size = STACK;
	c->uc_link = NULL;
	makecontext(c, entry, 0);
}
static void context_switch(context *save, context *take) { swapcontext(save, take); }
#endif

/* ── a block ── */

enum state { READY, AT_BARRIER, IN_EXCHANGE, DONE };

struct fiber {
	context at;
	enum state state;
	int line;       /* where it waits */
	unsigned phase; /* of its warp's exchanges */
};

static fiber fibers[MOST_THREADS];
static char *stacks;
static context scheduler;
static unsigned running, threads;
static char slots[MOST_THREADS / 32][2][32 * shim::SLOT];
static char *shared_room;
static size_t shared_bytes;
static void (*entry)(const void *);
static const void *parameters;
static char problem[256];

void shim_fault(const char *text, int line)
{
	if (!*problem) snprintf(problem, sizeof problem, "%s (line %d, thread %u of %u)", text, line, running, threads);
}

/* The warp that runs: the order of its lanes, and how many of them have had their turn. */
static unsigned warp_first, lane_order[32], turn, done;

static context *take_turn()
{
	while (turn < 32) {
		unsigned i = warp_first + lane_order[turn++];
		if (fibers[i].state != READY) continue;
		running = i;
		threadIdx.x = i;
		return &fibers[i].at;
	}
	return &scheduler;
}

/* The thread waits; the next of its warp that can go on does so, or the scheduler. */
static void wait_as(enum state s, int line)
{
	fiber *f = &fibers[running];
	f->state = s;
	f->line = line;
	done += s == DONE;
	context_switch(&f->at, take_turn());
}

void *shim::shared() { return shared_room; }

void shim::barrier(int line) { wait_as(AT_BARRIER, line); }

const char *shim::exchange(const void *value, size_t bytes, int line)
{
	fiber *f = &fibers[running];
	char *slot = slots[running / 32][f->phase++ & 1];
	memcpy(slot + running % 32 * SLOT, value, bytes);
	wait_as(IN_EXCHANGE, line);
	return slot;
}

/* ── copies that are done later ── */

enum { MOST_COPIES = 256 };
struct copy {
	char *to;
	const void *from;
	size_t bytes;
	unsigned group;
};
static copy copies[MOST_THREADS][MOST_COPIES];
static unsigned copy_count[MOST_THREADS], copy_group[MOST_THREADS];

void shim::copy_later(void *to, const void *from, size_t bytes, int line)
{
	char *at = (char *)to;
	if (at < shared_room || at + 16 > shared_room + shared_bytes || (uintptr_t)at % 16 ||
	    (bytes && (uintptr_t)from % 16))
		return shim_fault("a copy to what is not aligned or not shared memory", line);
	if (copy_count[running] == MOST_COPIES) return shim_fault("too many copies under way", line);
	memset(at, 0xff, 16);
	copies[running][copy_count[running]++] = { at, from, bytes, copy_group[running] };
}

void shim::copies_end() { copy_group[running]++; }

void shim::copies_wait(int groups)
{
	unsigned left = 0, t = running;
	for (unsigned i = 0; i < copy_count[t]; i++) {
		copy c = copies[t][i];
		if (c.group + (unsigned)groups >= copy_group[t]) {
			copies[t][left++] = c;
			continue;
		}
		memset(c.to, 0, 16);
		memcpy(c.to, c.from, c.bytes);
	}
	copy_count[t] = left;
}

/* ── the matrix units: every lane gives its parts, and makes its part of the result ── */

/* Half `upper` of register `which` of a lane. */
static float half_of(const char *all, int lane, int which, int upper)
{
	uint32_t bits;
	float x;
	memcpy(&bits, all + lane * shim::SLOT + which * 4, sizeof bits);
	bits = upper ? bits & 0xffff0000u : bits << 16;
	memcpy(&x, &bits, sizeof x);
	return x;
}

/* A[row][column] is in lane (row % 8) · 4 + column % 8 / 2, register row / 8 + column / 8 · 2. */
static float a_at(const char *all, int row, int column)
{
	return half_of(all, row % 8 * 4 + column % 8 / 2, row / 8 + column / 8 * 2, column % 2);
}

static float b_at(const char *all, int row, int column)
{
	return half_of(all, column * 4 + row % 8 / 2, 4 + row / 8, row % 2);
}

void shim::multiply(float *sum, const uint32_t *a, uint32_t b0, uint32_t b1, int line)
{
	uint32_t parts[] = { a[0], a[1], a[2], a[3], b0, b1 };
	const char *all = exchange(parts, sizeof parts, line);
	int lane = (int)(threadIdx.x % 32), g = lane / 4, t = lane % 4;
	for (int k = 0; k < 16; k++) {
		float low = a_at(all, g, k), high = a_at(all, g + 8, k), left = b_at(all, k, 2 * t),
		      right = b_at(all, k, 2 * t + 1);
		sum[0] += low * left, sum[1] += low * right, sum[2] += high * left, sum[3] += high * right;
	}
}

void shim::load_matrices(uint32_t *r, const void *row, bool transposed, int line)
{
	const char *all = exchange(&row, sizeof row, line);
	int lane = (int)(threadIdx.x % 32), g = lane / 4, t = lane % 4;
	if ((uintptr_t)row % 16) shim_fault("a row of matrices is not aligned", line);
	for (int m = 0; m < 4; m++) {
		uint16_t pair[2];
		for (int i = 0; i < 2; i++) {
			const uint16_t *from;
			int wanted = transposed ? 2 * t + i : g, column = transposed ? g : 2 * t + i;
			memcpy(&from, all + (m * 8 + wanted) * SLOT, sizeof from);
			const char *at = (const char *)(from + column);
			if (at < shared_room || at + 2 > shared_room + shared_bytes)
				shim_fault("matrices outside shared memory", line);
			pair[i] = from[column];
		}
		r[m] = pair[0] | (uint32_t)pair[1] << 16;
	}
}

static void fiber_body()
{
	for (;;) {
		entry(parameters);
		if (copy_count[running]) shim_fault("a copy is never waited for", 0);
		wait_as(DONE, 0);
	}
}

/* The threads from first to end−1 may go on when all of them wait in the same place. */
static bool release(unsigned first, unsigned end, enum state s)
{
	for (unsigned i = first; i < end; i++) {
		if (fibers[i].state != s) return false;
		if (fibers[i].line != fibers[first].line) return false;
	}
	for (unsigned i = first; i < end; i++) fibers[i].state = READY;
	return true;
}

static uint64_t random_state = 1;

static unsigned draw(unsigned n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((random_state >> 33) % n);
}

static void shuffle(unsigned *order, unsigned n)
{
	for (unsigned i = 0; i < n; i++) order[i] = i;
	for (unsigned i = n; i > 1; i--) {
		unsigned k = draw(i), t = order[k];
		order[k] = order[i - 1];
		order[i - 1] = t;
	}
}

/* Runs the threads of a warp that can go on, each until it waits; false: none can. */
static bool run_warp(unsigned warp)
{
	warp_first = warp * 32;
	turn = 0;
	context *first = take_turn();
	if (first != &scheduler) context_switch(&scheduler, first);
	return release(warp_first, warp_first + 32, IN_EXCHANGE) || first != &scheduler;
}

static void run_block()
{
	static unsigned warps[MOST_THREADS / 32];
	memset(shared_room, 0xff, shared_bytes + GUARD);
	for (unsigned i = 0; i < threads; i++) {
		context_make(&fibers[i].at, stacks + (size_t)i * STACK, fiber_body);
		fibers[i].state = READY;
		fibers[i].phase = 0;
		copy_count[i] = copy_group[i] = 0;
	}
	/* A warp runs until all of it waits at a barrier before another begins: so that it is as far ahead as it can be. */
	shuffle(lane_order, 32);
	shuffle(warps, threads / 32);
	for (done = 0; done < threads && !*problem;) {
		bool moved = false;
		for (unsigned w = 0; w < threads / 32; w++)
			while (run_warp(warps[w])) moved = true;
		moved |= release(0, threads, AT_BARRIER);
		if (moved) continue;
		for (running = 0; fibers[running].state == DONE; running++) {
		}
		shim_fault("not every thread comes to the same barrier or exchange", fibers[running].line);
	}
	for (int i = 0; i < GUARD; i++)
		if ((unsigned char)shared_room[shared_bytes + i] != 0xff) shim_fault("writes behind its shared memory", 0);
}

const char *shim_launch(
    const char *name, const uint32_t grid[3], uint32_t block, size_t shared, const void *p, size_t bytes)
{
	int k = kernel_count - 1; /* the last wins: a fault's, see tests/cuda/faults */
	while (k >= 0 && strcmp(kernels[k].name, name)) k--;
	if (k < 0) return "no such kernel";
	if (kernels[k].bytes != bytes) return "the parameter is of another size than the kernel's";
	if (!block || block > MOST_THREADS || block % 32 || shared > MOST_SHARED || !grid[0] || !grid[1] || !grid[2])
		return "the sizes of the launch are out of range";
	if (!stacks) {
		stacks = (char *)malloc((size_t)MOST_THREADS * STACK);
		shared_room = (char *)aligned_alloc(256, MOST_SHARED + 256);
	}
	if (!stacks || !shared_room) return "out of memory";
	entry = kernels[k].entry;
	parameters = p;
	threads = block;
	shared_bytes = shared;
	*problem = 0;
	gridDim = { grid[0], grid[1], grid[2] };
	blockDim = { block, 1, 1 };
	size_t blocks = (size_t)grid[0] * grid[1] * grid[2];
	bool backwards = draw(2);
	for (size_t i = 0; i < blocks && !*problem; i++) {
		size_t b = backwards ? blocks - 1 - i : i;
		blockIdx = { (uint32_t)(b % grid[0]), (uint32_t)(b / grid[0] % grid[1]), (uint32_t)(b / grid[0] / grid[1]) };
		run_block();
	}
	return *problem ? problem : NULL;
}
