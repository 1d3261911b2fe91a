/* test_operations.c - every row of every backend against the reference, on every case of operations.c: forward and
 * gradient operations, in full precision and in bf16, with one thread and with two, in place where that is allowed,
 * with and without a second packing, and with guards behind every buffer. After dav1d's checkasm.
 *
 *     test_operations                      checks and prints the worst error of each row
 *     test_operations NAME [N]             the cases of one operation only, or the first N of them
 *     test_operations --each N [EXCEPT…]   the first N cases of each operation but these
 *     test_operations --bench [NAME [T]]   times the rows that fit on sizes of models, with T threads */
#include "../operations.h"
#include "backend/backend.h"
#include "graph/ops.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GUARD = 64, GUARD_BYTE = 0xA5, POISON = 0xFF }; /* 0xFF…: a NaN in every type */

/* Memory of a backend's device, NULL: the host's. What a test reads and writes there goes through a copy here. */
static void *buffer_new(const device *d, size_t bytes)
{
	size_t whole = (bytes + GUARD + 63) & ~(size_t)63;
	error e = { OK, "" };
	unsigned char *p = aligned_alloc(64, whole), *there = p && d ? d->alloc(d->context, whole) : p;
	if (p) {
		memset(p, POISON, bytes);
		memset(p + bytes, GUARD_BYTE, whole - bytes);
	}
	if (!there || (d && !d->upload(d->context, there, p, whole, &e))) {
		fprintf(stderr, "no memory for %zu bytes %s\n", bytes, e.text);
		exit(1);
	}
	if (d) free(p);
	return there;
}

static void buffer_free(const device *d, void *p)
{
	if (d)
		d->free(d->context, p);
	else
		free(p);
}

static void buffer_read(const device *d, void *to, const void *from, size_t bytes)
{
	error e = { OK, "" };
	if (!d)
		memcpy(to, from, bytes);
	else if (!d->download(d->context, to, from, bytes, &e)) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
}

static void buffer_write(const device *d, void *to, const void *from, size_t bytes)
{
	error e = { OK, "" };
	if (!d)
		memcpy(to, from, bytes);
	else if (!d->upload(d->context, to, from, bytes, &e)) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
}

static void buffer_poison(const device *d, void *to, size_t bytes)
{
	void *p = malloc(bytes ? bytes : 1);
	if (!p) exit(1);
	memset(p, POISON, bytes);
	buffer_write(d, to, p, bytes);
	free(p);
}

static bool guarded(const device *d, const void *buffer, size_t bytes)
{
	unsigned char guard[GUARD];
	buffer_read(d, guard, (const unsigned char *)buffer + bytes, GUARD);
	for (int i = 0; i < GUARD; i++)
		if (guard[i] != GUARD_BYTE) return false;
	return true;
}

static size_t bytes_of(const node *n) { return shape_count(n->shape) * dtype_size(n->dtype); }

/* The rows that a run would try, in its order: the reference is the last, and checked as well. */
#ifdef OTHER_BACKEND
const backend *OTHER_BACKEND(void); /* tests/cuda */
static const backend *tested(void) { return OTHER_BACKEND(); }
#else
static const backend *tested(void) { return backend_cpu(); }
#endif

/* ── one row on one node ── */

typedef struct trial {
	const kernel *row;
	const device *device;
	call call;
	size_t scratch, packed;
} trial;

static call call_of(const graph *g, tensor t, const device *d, int threads)
{
	const node *y = node_of(g, t);
	call c = { .y = y, .device = d ? d->context : NULL, .threads = threads };
	for (int i = 0; i < y->inputs; i++) c.x[i] = y->in[i] ? node_of(g, y->in[i]) : NULL;
	return c;
}

/* Nothing but shapes and dtypes is known until the row has been prepared, as in graph_compile(). */
static bool prepare(trial *t, const kernel *row, const device *d, const call *c)
{
	*t = (trial){ .row = row, .device = d, .call = *c };
	error e = { OK, "" };
	if (row->prepare && !row->prepare(&t->call, &e)) {
		printf("FAILED: %s cannot prepare: %s\n", row->name, e.text);
		return false;
	}
	t->scratch = row->scratch_bytes ? row->scratch_bytes(&t->call) : 0;
	t->packed = row->packed_bytes ? row->packed_bytes(&t->call) : 0;
	t->call.scratch = t->scratch ? buffer_new(d, t->scratch) : NULL;
	t->call.packed = t->packed ? buffer_new(d, t->packed) : NULL;
	return true;
}

static void release(trial *t)
{
	if (t->row->release && t->call.state) t->row->release(t->call.state);
	buffer_free(t->device, t->call.scratch);
	buffer_free(t->device, t->call.packed);
}

/* Where the row reads input i: the reference's own memory, or a copy on the device. */
static const void *input_for(const graph *g, tensor x, const device *d)
{
	if (!x || !d) return x ? graph_address(g, x) : NULL;
	size_t bytes = bytes_of(node_of(g, x));
	void *copy = buffer_new(d, bytes);
	buffer_write(d, copy, graph_address(g, x), bytes);
	return copy;
}

/* Runs the row `runs` times: packed once as a constant is, or before every run. The last result is in out, in the
 * host's memory. in_place: the input whose memory the result takes, −1 none. */
static const char *run_row(
    const backend *b, const kernel *row, const graph *g, tensor y, int threads, int in_place, bool repack, void *out)
{
	const device *d = b->device;
	call c = call_of(g, y, d, threads);
	trial t;
	size_t bytes = bytes_of(c.y);
	if (!prepare(&t, row, d, &c)) return "cannot be prepared";
	const void *in[MAX_INPUTS] = { NULL };
	for (int i = 0; i < c.y->inputs; i++) t.call.in[i] = in[i] = input_for(g, c.y->in[i], d);
	t.call.out = buffer_new(d, bytes);
	bool fine = true;
	error e = { OK, "" };
	for (int run = 0; fine && run < 2; run++) {
		buffer_poison(d, t.call.out, bytes);
		if (in_place >= 0) {
			buffer_write(d, t.call.out, graph_address(g, c.y->in[in_place]), bytes);
			t.call.in[in_place] = t.call.out;
		}
		if (t.scratch) buffer_poison(d, t.call.scratch, t.scratch);
		if (t.packed && (repack || !run)) fine = row->pack(&t.call, &e);
		fine = fine && row->run(&t.call, &e);
	}
	buffer_read(d, out, t.call.out, bytes);
	const char *problem = !fine                                                 ? "reports a failure"
	                      : !guarded(d, t.call.out, bytes)                      ? "writes behind its result"
	                      : t.scratch && !guarded(d, t.call.scratch, t.scratch) ? "writes behind its scratch"
	                      : t.packed && !guarded(d, t.call.packed, t.packed)    ? "writes behind its packed weight"
	                                                                            : NULL;
	if (!fine) printf("%s\n", e.text);
	for (int i = 0; d && i < c.y->inputs; i++) buffer_free(d, (void *)(uintptr_t)in[i]);
	buffer_free(d, t.call.out);
	release(&t);
	return problem;
}

/* The largest |a − b| / (|b| + mean |b|); infinite where one is not a number. */
static double difference(const void *a, const void *b, const node *n)
{
	size_t count = shape_count(n->shape);
	double *x = malloc(2 * count * sizeof *x), *y = x + count, mean = 0, worst = 0;
	if (!x) return INFINITY;
	convert(x, F64, a, n->dtype, count);
	convert(y, F64, b, n->dtype, count);
	for (size_t i = 0; i < count; i++) mean += fabs(y[i]) / (double)count;
	for (size_t i = 0; i < count; i++) {
		double d = fabs(x[i] - y[i]);
		if (d > 0) d /= fabs(y[i]) + mean;
		if (!(d <= worst)) worst = d == d ? d : INFINITY;
	}
	free(x);
	return worst;
}

/* ── the tally, a line for each row and type ── */

typedef struct tally {
	opcode op;
	const char *backend, *row;
	dtype dtype;
	double worst;
	int checked, failed;
} tally;

static tally tallies[512];
static int tally_count;

static tally *tally_of(opcode op, const char *house, const char *row, dtype d)
{
	for (int i = 0; i < tally_count; i++) {
		tally *t = &tallies[i];
		if (t->op == op && t->dtype == d && !strcmp(t->row, row) && !strcmp(t->backend, house)) return t;
	}
	if (tally_count == (int)(sizeof tallies / sizeof *tallies)) tally_count--;
	tallies[tally_count] = (tally){ op, house, row, d, 0, 0, 0 };
	return &tallies[tally_count++];
}

static int by_operation(const void *a, const void *b)
{
	const tally *x = a, *y = b;
	if (x->op != y->op) return x->op < y->op ? -1 : 1;
	int c = strcmp(x->row, y->row);
	return c ? c : (int)x->dtype - (int)y->dtype;
}

static int print_tallies(void)
{
	int bad = 0;
	qsort(tallies, (size_t)tally_count, sizeof *tallies, by_operation);
	printf("%-20s %-10s %-28s %-5s %7s %7s %11s\n", "operation", "backend", "row", "type", "checked", "failed",
	    "worst error");
	for (int i = 0; i < tally_count; i++) {
		const tally *t = &tallies[i];
		printf("%-20s %-10s %-28s %-5s %7d %7d %11.2e\n", operations[t->op].name, t->backend, t->row,
		    dtype_name(t->dtype), t->checked, t->failed, t->worst);
		bad += t->failed;
	}
	return bad;
}

/* ── checking ── */

/* In bf16 matrix units take probabilities and their gradients rounded, so that an attention's gradient is off by more
 * where the terms of a sum cancel. */
static double tolerance(opcode op, dtype d)
{
	double rounded = op == ATTENTION_GRAD ? 4e-2 : 2e-2;
	return d == BF16 ? rounded : d == F32 ? 2e-5 : 1e-12;
}

static const char *same_bytes(const void *a, const void *b, size_t bytes, const char *otherwise)
{
	return memcmp(a, b, bytes) ? otherwise : NULL;
}

/* The ways to run a row that must not change a bit of its result. */
static const char *check_variants(
    const backend *b, const kernel *row, const graph *g, tensor y, const void *result, void *again)
{
	const node *n = node_of(g, y);
	size_t bytes = bytes_of(n);
	const char *problem = run_row(b, row, g, y, 2, -1, true, again);
	if (!problem) problem = same_bytes(result, again, bytes, "gives other bytes with two threads");
	for (int i = 0; !problem && i < n->inputs; i++) {
		if (!(operations[n->op].in_place >> i & 1) || !n->in[i]) continue;
		const node *x = node_of(g, n->in[i]);
		if (x->dtype != n->dtype || bytes_of(x) != bytes) continue;
		problem = run_row(b, row, g, y, 1, i, false, again);
		if (!problem) problem = same_bytes(result, again, bytes, "gives other bytes in place");
	}
	return problem;
}

static void check_row(const backend *b, const kernel *row, const graph *g, tensor y, const operation_case *c)
{
	const node *n = node_of(g, y);
	void *result = buffer_new(NULL, bytes_of(n)), *again = buffer_new(NULL, bytes_of(n));
	tally *t = tally_of(n->op, b->name, row->name, graph_compute(g));
	const char *problem = run_row(b, row, g, y, 1, -1, false, result);
	double worst = problem ? 0 : difference(result, graph_address(g, y), n);
	if (!problem) problem = check_variants(b, row, g, y, result, again);
	if (!problem && !(worst <= tolerance(n->op, graph_compute(g)))) problem = "differs from the reference";
	t->checked++;
	if (worst > t->worst) t->worst = worst;
	if (problem) {
		t->failed++;
		printf("FAILED: %s %s (%s, %s) %s, error %.2e; node %u of case ", operations[n->op].name, row->name, b->name,
		    dtype_name(graph_compute(g)), problem, worst, y);
		print_case(c);
		printf("\n");
	}
	free(result);
	free(again);
}

/* Steps, that is: not leaves, nor what has another's memory. */
static bool is_computed(const graph *g, tensor t)
{
	const node *n = node_of(g, t);
	return n->op != INPUT && n->op != PARAM && n->op != VIEW &&
	       !(n->op == CAST && n->dtype == node_of(g, n->in[0])->dtype);
}

static void check_node(const graph *g, tensor y, const operation_case *c)
{
	for (const backend *b = tested(); b; b = b->fallback) {
		call k = call_of(g, y, b->device, 1);
		for (int i = 0; i < b->count; i++)
			if (b->rows[i].op == k.y->op && (!b->rows[i].fits || b->rows[i].fits(&k)))
				check_row(b, &b->rows[i], g, y, c);
	}
}

/* Computes every node with the reference and then each by every row; false where the case cannot be built. */
static bool check_case(const operation_case *c, dtype compute)
{
	error e = { OK, "" };
	case_graph k = build_case(c, compute, true);
	for (int i = 1; k.g && i <= node_count(k.g); i++) keep(k.g, (tensor)i);
	bool fine = k.g && graph_compile(k.g, backend_reference(), 1, &e) && graph_allocate(k.g, NULL, NULL, &e);
	if (fine) fill_inputs(k.g, 1);
	fine = fine && graph_run(k.g, NULL, NULL, &e);
	for (int i = 1; fine && i <= node_count(k.g); i++)
		if (is_computed(k.g, (tensor)i)) check_node(k.g, (tensor)i, c);
	if (!fine) {
		printf("FAILED: case ");
		print_case(c);
		printf(": %s\n", e.text);
	}
	graph_free(k.g);
	return fine;
}

/* Every row of this machine must have been tried: a kernel that no case fits has not been checked. */
static int count_untried(void)
{
	int untried = 0;
	for (const backend *b = tested(); b; b = b->fallback)
		for (int i = 0; i < b->count; i++) {
			bool tried = false;
			for (int k = 0; k < tally_count && !tried; k++)
				tried = tallies[k].op == b->rows[i].op && !strcmp(tallies[k].row, b->rows[i].name) &&
				        !strcmp(tallies[k].backend, b->name);
			bool leaf = b->rows[i].op == INPUT || b->rows[i].op == PARAM || b->rows[i].op == VIEW;
			bool changes = b->rows[i].op >= SUM_SQUARES; /* weights: test_optimizer has the formulas */
			if (tried || leaf || changes) continue;
			printf("FAILED: no case tries %s %s (%s)\n", operations[b->rows[i].op].name, b->rows[i].name, b->name);
			untried++;
		}
	return untried;
}

/* ── timing ── */

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double memory_of(const call *c)
{
	double bytes = (double)bytes_of(c->y);
	for (int i = 0; i < MAX_INPUTS; i++) bytes += c->x[i] ? (double)bytes_of(c->x[i]) : 0;
	return bytes;
}

enum { REPEATED = 20 };

/* Runs the row REPEATED times on a device, recorded where that can be: so that nothing is timed but the device. */
static void *record_runs(const trial *t)
{
	const device *d = t->device;
	error e = { OK, "" };
	if (!d->record_begin || !t->row->run(&t->call, &e) || !d->record_begin(d->context, &e)) return NULL;
	for (int i = 0; i < REPEATED; i++) t->row->run(&t->call, &e);
	return d->record_end(d->context, &e);
}

static bool run_on_device(const trial *t, void *recording)
{
	const device *d = t->device;
	bool fine = true;
	if (recording)
		fine = d->replay(d->context, recording, NULL);
	else
		for (int i = 0; fine && i < REPEATED; i++) fine = t->row->run(&t->call, NULL);
	return d->sync(d->context, NULL) && fine;
}

static void time_row(const backend *b, const kernel *row, const call *c)
{
	trial t;
	if (!prepare(&t, row, b->device, c)) return;
	double best = INFINITY, packing = 0, until = now() + (b->device ? 0.1 : 0.5);
	if (t.packed) {
		packing = now();
		row->pack(&t.call, NULL);
		packing = now() - packing;
	}
	void *recording = b->device ? record_runs(&t) : NULL;
	for (int i = 0; i < 3 || now() < until; i++) {
		double start = now();
		if (!(b->device ? run_on_device(&t, recording) : row->run(&t.call, NULL))) break;
		double seconds = (now() - start) / (b->device ? REPEATED : 1);
		if (seconds < best) best = seconds;
		if (now() > until + 4) break;
	}
	if (recording) b->device->record_free(b->device->context, recording);
	double flop = call_flop(c);
	char dims[48] = "";
	for (int i = 0, n = 0; i < c->y->shape.n; i++)
		n += snprintf(dims + n, sizeof dims - (size_t)n, i ? " %d" : "%d", c->y->shape.d[i]);
	printf("%-18s → %-20s %-18s %-5s %10.3f ms %9.1f %s", operations[c->y->op].name, dims, row->name,
	    dtype_name(c->y->dtype), 1e3 * best, 1e-9 * (flop > 0 ? flop : memory_of(c)) / best,
	    flop > 0 ? "GFLOP/s" : "GB/s");
	if (t.packed) printf(", packing %.3f ms", 1e3 * packing);
	printf("\n");
	release(&t);
}

/* As fill_input(), by repeating what it makes: what is large takes seconds to draw. */
static void fill_quickly(const graph *g, tensor t, generator *random, void *data)
{
	enum { DRAWN = 1 << 16 };
	const node *n = node_of(g, t);
	size_t count = shape_count(n->shape), size = dtype_size(n->dtype);
	float *x = malloc(DRAWN * sizeof *x);
	if (!x || n->dtype == I32 || count <= DRAWN) {
		free(x);
		fill_input(g, t, random, data);
		return;
	}
	random_normal(random, x, DRAWN);
	for (size_t i = 0; i < count; i += DRAWN)
		convert((char *)data + i * size, n->dtype, x, F32, count - i < DRAWN ? count - i : DRAWN);
	free(x);
}

/* Times the rows before the reference alone: the reference would take minutes. */
static void time_node(const graph *g, tensor y, int threads, generator *random)
{
	call c = call_of(g, y, NULL, threads);
	void *in[MAX_INPUTS] = { NULL };
	for (int i = 0; i < c.y->inputs; i++)
		if (c.x[i]) fill_quickly(g, c.y->in[i], random, in[i] = buffer_new(NULL, bytes_of(c.x[i])));
	for (const backend *b = tested(); b && b != backend_reference(); b = b->fallback) {
		const device *d = b->device;
		call k = call_of(g, y, d, threads);
		for (int j = 0; j < MAX_INPUTS; j++) {
			void *copy = d && in[j] ? buffer_new(d, bytes_of(c.x[j])) : in[j];
			if (d && in[j]) buffer_write(d, copy, in[j], bytes_of(c.x[j]));
			k.in[j] = copy;
		}
		k.out = buffer_new(d, bytes_of(c.y));
		for (int i = 0; i < b->count; i++)
			if (b->rows[i].op == c.y->op && (!b->rows[i].fits || b->rows[i].fits(&k))) time_row(b, &b->rows[i], &k);
		for (int j = 0; d && j < MAX_INPUTS; j++) buffer_free(d, (void *)(uintptr_t)k.in[j]);
		buffer_free(d, k.out);
	}
	for (int i = 0; i < MAX_INPUTS; i++) free(in[i]);
}

static void time_case(const operation_case *c, dtype compute, int threads)
{
	generator random;
	generator_seed(&random, 1);
	case_graph k = build_case(c, compute, true);
	print_case(c);
	printf("\n");
	bool timed[OPS] = { false }; /* the loss is not what we are after, nor the same thing twice */
	timed[FILL] = timed[CAST] = timed[VIEW] = timed[INPUT] = true;
	for (int i = 1; k.g && i <= node_count(k.g); i++) {
		opcode op = node_of(k.g, (tensor)i)->op;
		bool of_loss = (op == MUL || op == SUM_TO || op == SPREAD) && c->op != op;
		if (timed[op] || of_loss) continue;
		timed[op] = op != MATMUL;
		time_node(k.g, (tensor)i, threads, &random);
	}
	graph_free(k.g);
}

static int bench(const char *only, int threads)
{
	for (int i = 0; i < benchmark_case_count; i++) {
		if (only && strcmp(operations[benchmark_cases[i].op].name, only)) continue;
		if (!tested()->device) time_case(&benchmark_cases[i], REAL, threads); /* bf16 is what GPUs are for */
		time_case(&benchmark_cases[i], BF16, threads);
	}
	return 0;
}

static bool is_among(const char *name, char **names, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(name, names[i])) return true;
	return false;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--bench")) return bench(argc > 2 ? argv[2] : NULL, argc > 3 ? atoi(argv[3]) : 1);
	bool each = argc > 1 && !strcmp(argv[1], "--each");
	int bad = 0, most = argc > 2 ? atoi(argv[2]) : operation_case_count, tried[OPS] = { 0 };
	for (int i = 0; i < operation_case_count; i++) {
		const operation_case *c = &operation_cases[i];
		const char *name = operations[c->op].name;
		bool left_out = each ? is_among(name, argv + 3, argc - 3) : argc > 1 && strcmp(name, argv[1]);
		if (left_out || tried[c->op]++ >= most) continue;
		bad += !check_case(c, REAL);
		bad += !check_case(c, BF16);
	}
	bad += print_tallies();
	if (argc < 2) bad += count_untried();
	printf(bad ? "%d failures\n" : "every row agrees with the reference\n", bad);
	return bad != 0;
}
