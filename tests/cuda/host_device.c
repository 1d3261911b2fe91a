/* host_device.c - the recording device: a gpu and a device whose memory is the host's, and whose kernels run over the
 * shim.
 *
 * It keeps the books that a driver does not: what is uploaded, downloaded, copied, cleared or multiplied must lie in
 * one living buffer, and nothing but launches, products, clearing and copies within it may happen while it records.
 * Buffers begin as NaN, end where memory that nobody may touch begins, and are never given out again: what reads or
 * writes one past its end or after it was freed, a recording that is replayed too late among others, ends the program.
 */
#include "host_device.h"
#include "backend/reference/activation.h"
#include "shim_run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct block {
	char *at;
	size_t bytes, whole; /* asked for, and a multiple of ALIGNMENT */
} block;

typedef struct host_gpu {
	gpu gpu; /* first: a call's device is a gpu */
	block *blocks;
	int count, capacity;
	host_gpu_books books;
	struct recording *recording; /* under way; NULL: none */
	uint64_t memory;             /* in all */
} host_gpu;

static bool host_launch(gpu *g, const char *name, const launch *how, const void *parameters, size_t bytes, error *e);
static bool host_clear(gpu *g, void *to, size_t bytes, error *e);
static bool host_copy_within(gpu *g, void *to, const void *from, size_t bytes, error *e);
static void *host_product_new(gpu *g, const product *p, size_t *workspace, error *e);
static bool host_product_run(gpu *g, void *plan, const void *a, const void *b, const void *bias, const void *residual,
    void *d, void *workspace, error *e);

static host_gpu the_gpu = { .gpu = { .launch = host_launch,
	                            .clear = host_clear,
	                            .copy = host_copy_within,
	                            .product_new = host_product_new,
	                            .product_run = host_product_run,
	                            .product_free = free },
	.memory = UINT64_MAX };

static bool fault(error *e, const char *what)
{
	the_gpu.books.faults++;
	return fail(e, BAD_USAGE, "the recording device: %s", what);
}

void host_gpu_fault(const char *what)
{
	fprintf(stderr, "the recording device: %s\n", what);
	the_gpu.books.faults++;
}

/* Whether the bytes lie in one living buffer. */
static bool is_owned(const host_gpu *h, const void *p, size_t bytes)
{
	const char *at = p;
	for (int i = 0; i < h->count; i++) {
		const block *b = &h->blocks[i];
		if (at >= b->at && at + bytes <= b->at + b->bytes) return true;
	}
	return bytes == 0;
}

bool host_gpu_owns(const void *p, size_t bytes) { return is_owned(&the_gpu, p, bytes); }

/* What may not happen within a recording: it would be done once, and not again when the recording is replayed. */
static bool outside_recordings(const host_gpu *h, const char *what, error *e)
{
	return !h->recording || fault(e, what);
}

/* ── recordings: a list of what was given, with its parameters ── */

typedef struct entry {
	char name[64]; /* of a kernel; "" for what follows */
	launch how;
	void *parameters;
	size_t bytes;
	bool is_clear, is_copy;
	void *to;
	const void *from;
	bool is_product;
	product product;
	const void *a, *b, *bias, *residual;
	void *d, *workspace;
} entry;

typedef struct recording {
	entry *entries;
	int count, capacity;
} recording;

static entry *add_entry(host_gpu *h)
{
	recording *r = h->recording;
	if (r->count == r->capacity) {
		int more = r->capacity ? 2 * r->capacity : 64;
		entry *grown = realloc(r->entries, (size_t)more * sizeof *grown);
		if (!grown) return NULL;
		r->entries = grown;
		r->capacity = more;
	}
	r->entries[r->count] = (entry){ .name = "" };
	return &r->entries[r->count++];
}

/* ── memory ── */

static uint64_t host_available(void *context)
{
	const host_gpu *h = context;
	uint64_t left = h->memory;
	for (int i = 0; i < h->count; i++) left -= h->blocks[i].bytes < left ? h->blocks[i].bytes : left;
	return left;
}

/* A block at the end of pages of its own, before a page that stays closed. NULL: no memory. */
enum { PAGE = 4096, ALIGNMENT = 256 };

static size_t rounded_to_pages(size_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

static char *open_pages(size_t bytes)
{
	size_t pages = rounded_to_pages(bytes);
	char *p = mmap(NULL, pages + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED || mprotect(p, pages, PROT_READ | PROT_WRITE)) return NULL;
	memset(p, 0xff, pages);
	return p + pages - bytes;
}

static void close_pages(const block *b)
{
	size_t whole = rounded_to_pages(b->whole);
	char *first = b->at + b->whole - whole;
	madvise(first, whole, MADV_DONTNEED);
	if (mprotect(first, whole, PROT_NONE)) abort();
}

static void *host_alloc(void *context, size_t bytes)
{
	host_gpu *h = context;
	if (!outside_recordings(h, "allocates in a recording", NULL)) return NULL;
	if (bytes > host_available(h)) return NULL;
	if (h->count == h->capacity) {
		int more = h->capacity ? 2 * h->capacity : 64;
		block *grown = realloc(h->blocks, (size_t)more * sizeof *grown);
		if (!grown) return NULL;
		h->blocks = grown;
		h->capacity = more;
	}
	size_t whole = bytes ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
	char *p = open_pages(whole);
	if (!p) return NULL;
	h->blocks[h->count++] = (block){ p, bytes, whole };
	h->books.allocated++;
	return p;
}

static void host_free(void *context, void *p)
{
	host_gpu *h = context;
	for (int i = h->count - 1; p && i >= 0; i--) {
		if (h->blocks[i].at != p) continue;
		close_pages(&h->blocks[i]);
		h->blocks[i] = h->blocks[--h->count];
		h->books.freed++;
		return;
	}
	if (p) fault(NULL, "frees what it has not");
}

static bool host_upload(void *context, void *to, const void *from, size_t bytes, error *e)
{
	host_gpu *h = context;
	if (!outside_recordings(h, "uploads in a recording", e)) return false;
	if (!is_owned(h, to, bytes)) return fault(e, "uploads to memory that is not its own");
	memcpy(to, from, bytes);
	h->books.uploads++;
	return true;
}

static bool host_download(void *context, void *to, const void *from, size_t bytes, error *e)
{
	host_gpu *h = context;
	if (!outside_recordings(h, "downloads in a recording", e)) return false;
	if (!is_owned(h, from, bytes)) return fault(e, "downloads memory that is not its own");
	memcpy(to, from, bytes);
	h->books.downloads++;
	return true;
}

static bool host_copy(void *context, void *to, const void *from, size_t bytes, error *e)
{
	host_gpu *h = context;
	if (!is_owned(h, to, bytes) || !is_owned(h, from, bytes)) return fault(e, "copies memory that is not its own");
	if (h->recording) {
		entry *x = add_entry(h);
		if (x) *x = (entry){ .is_copy = true, .to = to, .from = from, .bytes = bytes };
		return x != NULL;
	}
	memmove(to, from, bytes);
	return true;
}

static bool host_sync(void *context, error *e) { return outside_recordings(context, "waits in a recording", e); }

/* ── recording ── */

static bool host_record_begin(void *context, error *e)
{
	host_gpu *h = context;
	if (h->recording) return fault(e, "records within a recording");
	h->recording = calloc(1, sizeof *h->recording);
	return h->recording || fail(e, NO_MEMORY, "out of memory");
}

static void *host_record_end(void *context, error *e)
{
	host_gpu *h = context;
	recording *r = h->recording;
	h->recording = NULL;
	h->books.recordings++;
	if (!r) fault(e, "ends a recording that it has not begun");
	return r;
}

static void host_record_free(void *context, void *p)
{
	recording *r = p;
	(void)context;
	if (!r) return;
	for (int i = 0; i < r->count; i++) free(r->entries[i].parameters);
	free(r->entries);
	free(r);
}

static bool host_replay(void *context, void *p, error *e)
{
	const recording *r = p;
	gpu *g = context;
	bool fine = outside_recordings(context, "replays in a recording", e);
	for (int i = 0; fine && i < r->count; i++) {
		const entry *x = &r->entries[i];
		if (x->is_clear)
			fine = host_clear(g, x->to, x->bytes, e);
		else if (x->is_copy)
			memmove(x->to, x->from, x->bytes);
		else if (x->is_product)
			fine = host_product_run(
			    g, (void *)(uintptr_t)&x->product, x->a, x->b, x->bias, x->residual, x->d, x->workspace, e);
		else
			fine = host_launch(g, x->name, &x->how, x->parameters, x->bytes, e);
	}
	((host_gpu *)context)->books.replays++;
	return fine;
}

static bool host_clear(gpu *g, void *to, size_t bytes, error *e)
{
	host_gpu *h = (host_gpu *)g;
	if (!is_owned(h, to, bytes)) return fault(e, "clears memory that is not its own");
	if (h->recording) {
		entry *x = add_entry(h);
		if (x) *x = (entry){ .is_clear = true, .to = to, .bytes = bytes };
		return x != NULL;
	}
	memset(to, 0, bytes);
	return true;
}

static bool host_launch(gpu *g, const char *name, const launch *how, const void *parameters, size_t bytes, error *e)
{
	host_gpu *h = (host_gpu *)g;
	if (h->recording) {
		entry *x = add_entry(h);
		void *copy = malloc(bytes);
		if (!x || !copy) return fail(e, NO_MEMORY, "out of memory");
		*x = (entry){ .how = *how, .parameters = copy, .bytes = bytes };
		snprintf(x->name, sizeof x->name, "%s", name);
		memcpy(copy, parameters, bytes);
		return true;
	}
	uint32_t grid[3] = { how->grid_x, how->grid_y, 1 };
	const char *problem = how->block > MAX_BLOCK ? "the block is larger than MAX_BLOCK" : NULL;
	if (how->grid_y > 65535) problem = "more than 65535 blocks along y";
	if (!problem) problem = shim_launch(name, grid, how->block, how->shared, parameters, bytes);
	h->books.launches++;
	return !problem || fail(e, BAD_USAGE, "%s: %s", name, problem);
}

/* ── products, in plain C ── */

static void *host_product_new(gpu *g, const product *p, size_t *workspace, error *e)
{
	product *made = malloc(sizeof *made);
	(void)g;
	if (!made) {
		fail(e, NO_MEMORY, "out of memory");
		return NULL;
	}
	*made = *p;
	*workspace = 64;
	return made;
}

static double element(const void *from, dtype d, size_t i)
{
	return d == F32 ? (double)((const float *)from)[i] : (double)f32_from_bf16(((const uint16_t *)from)[i]);
}

static bool host_product_run(gpu *g, void *plan, const void *a, const void *b, const void *bias, const void *residual,
    void *d, void *workspace, error *e)
{
	const product *p = plan;
	if (((host_gpu *)g)->recording) {
		entry *x = add_entry((host_gpu *)g);
		if (x)
			*x = (entry){ .is_product = true,
				.product = *p,
				.a = a,
				.b = b,
				.bias = bias,
				.residual = residual,
				.d = d,
				.workspace = workspace };
		return x != NULL;
	}
	size_t in = dtype_size(p->in), out = dtype_size(p->out);
	const host_gpu *h = (host_gpu *)g;
	if (!is_owned(h, a, p->m * p->k * in) || !is_owned(h, b, p->k * p->n * in) || !is_owned(h, d, p->m * p->n * out) ||
	    !is_owned(h, workspace, 64) || (p->bias && !is_owned(h, bias, p->n * out)) ||
	    (p->residual && !is_owned(h, residual, p->m * p->n * out)))
		return fault(e, "multiplies memory that is not its own");
	if ((uintptr_t)workspace % 256) return fault(e, "a workspace that is not aligned to 256 bytes");
	if ((bias != NULL) != p->bias || (residual != NULL) != p->residual) return fault(e, "a product of another kind");
	((host_gpu *)g)->books.products++;
	for (size_t i = 0; i < p->m; i++)
		for (size_t j = 0; j < p->n; j++) {
			double sum = 0;
			for (size_t k = 0; k < p->k; k++)
				sum += element(a, p->in, p->ta ? k * p->m + i : i * p->k + k) *
				       element(b, p->in, p->tb ? j * p->k + k : k * p->n + j);
			if (p->residual) sum += element(residual, p->out, i * p->n + j);
			if (p->bias) sum += element(bias, p->out, j);
			if (p->gelu) sum = (double)activation_value(GELU_TANH, (real)sum);
			float x = (float)sum;
			convert((char *)d + (i * p->n + j) * out, p->out, &x, F32, 1);
		}
	return true;
}

static bool host_copy_within(gpu *g, void *to, const void *from, size_t bytes, error *e)
{
	return host_copy(g, to, from, bytes, e);
}

static const device the_device = { .name = "host, over the shim",
	.context = &the_gpu,
	.alloc = host_alloc,
	.free = host_free,
	.available = host_available,
	.upload = host_upload,
	.download = host_download,
	.copy = host_copy,
	.sync = host_sync,
	.record_begin = host_record_begin,
	.record_end = host_record_end,
	.replay = host_replay,
	.record_free = host_record_free };

gpu *host_device_gpu(void) { return &the_gpu.gpu; }
const device *host_device(void) { return &the_device; }

void host_gpu_set_memory(uint64_t bytes) { the_gpu.memory = bytes; }

host_gpu_books host_gpu_read_books(void)
{
	the_gpu.books.alive = the_gpu.count;
	return the_gpu.books;
}
