/* graph.h - a network is a graph of tensors, built once for its shapes and run many times.
 *
 *     graph *g = graph_new(REAL);
 *     tensor x = input(g, "x", REAL, shape2(4, 8));
 *     tensor y = linear(g, x, param(g, "weight", shape2(16, 8)), param(g, "bias", shape1(16)));
 *     keep(g, y);
 *     graph_bind(g, lookup, file, e) && graph_compile(g, backend_cpu(), threads, e) &&
 *         graph_allocate(g, NULL, NULL, e);
 *     graph_write(g, x, values, e) && graph_run(g, NULL, NULL, e) && graph_read(g, y, results, e)
 *
 * Build → (gradients) → bind → compile → allocate → run. Building is plain calls: control flow is C, never graph.
 * Layout: channels last. A picture is [N,H,W,C], tokens are [N,T,C], a linear weight is [out,in] and a
 * convolution's is [out,in,height,width], as checkpoints have them.
 *
 * Errors while building stick: the first one is kept in the graph, every later builder returns 0, and passing 0
 * to a builder gives 0; graph_compile() then reports it. Models therefore hold no checks. */
#ifndef SUMI_GRAPH_H
#define SUMI_GRAPH_H
#include "base/error.h"
#include "tensor/dtype.h"
#include <stdio.h>

typedef struct graph graph;
typedef uint32_t tensor; /* a node of a graph: its index; 0 is none */

enum { MAX_DIMS = 4, MAX_INPUTS = 8, MAX_ATTRIBUTES = 6 };

typedef struct shape {
	int n, d[MAX_DIMS];
} shape;

shape shape1(int a), shape2(int a, int b), shape3(int a, int b, int c), shape4(int a, int b, int c, int d);
size_t shape_count(shape s); /* elements */
bool shape_same(shape a, shape b);
/* Equal but for axes of length 1 at either end, which some files leave out and some add. */
bool shape_alike(shape a, shape b);

typedef enum opcode {
	NO_OP,
	INPUT, /* the caller writes it before each run */
	PARAM, /* a weight: bound to memory that the caller owns */
	FILL,  /* f[0] everywhere */
	VIEW,  /* in[0]'s memory from element a[0] on, read with another shape: costs nothing; a[1]: see detach() */
	CAST,  /* to this node's dtype; an alias where it is the same */

	ADD,             /* in[0] + in[1]; in[1] is broadcast: its axes, aligned at the last, are equal, 1 or missing */
	MUL,             /* in[0] · in[1], likewise */
	AFFINE,          /* f[0]·x + f[1] */
	ACTIVATION,      /* a[0]: an enum activation */
	ACTIVATION_GRAD, /* in[0] = x, in[1] = dy → dy · f'(x) */
	GEGLU,           /* [..,2C] → [..,C]: first half · erf-GELU(second half) */
	GEGLU_GRAD,      /* x, dy → [..,2C] */

	SUM_TO,      /* adds up to a smaller shape that broadcasts to in[0]'s as ADD's in[1] does */
	SPREAD,      /* broadcasts in[0] to a larger shape */
	PERMUTE,     /* axis i of the result is axis a[i] of in[0] */
	SLICE,       /* along axis a[0], from a[1] on; the length is the result's */
	PAD,         /* SLICE's gradient: zeros but for in[0], which begins at a[1] of axis a[0] */
	CONCAT,      /* in[0] and in[1] along axis a[0] */
	RESIZE,      /* nearest, [N,H,W,C] → [N,h,w,C]: source row is floor(y·H/h) */
	RESIZE_GRAD, /* dy → dx */
	POOL,        /* [N,H,W,C]; a[0]: 0 average, 1 maximum; a[1] window = stride (floor) */
	POOL_GRAD,   /* x, dy → dx; the first maximum takes it */

	MATMUL,  /* act(A·B + bias + residual): in[0..3], a[0] ta, a[1] tb, a[2] activation; see matmul() */
	CONV,    /* act(conv(x, w) + bias + residual): in[0..3], a[0] stride, a[1] top, a[2] left, a[3] bottom,
	          * a[4] right, a[5] activation */
	CONV_DX, /* dy, w → dx; attributes as CONV */
	CONV_DW, /* dy, x → dw, full precision */

	GROUP_NORM,    /* x, gamma, beta, statistics (0: x's own); a[0] groups, a[1] activation, f[0] epsilon */
	GROUP_NORM_DX, /* x, dy, gamma, beta, sums → dx */
	GROUP_NORM_SUMS, /* x, dy, gamma, beta → [N,4,C] full precision: Σ dz·x̂, Σ dz, and the mean and 1/σ of the channel's
	                  * group, where y = act(z), z = γ·x̂ + β */
	LAYER_NORM,    /* x, gamma, beta (both 0: none) over the last axis; f[0] epsilon */
	LAYER_NORM_DX, /* x, dy, gamma → dx */
	LAYER_NORM_DW, /* x, dy → [2,C] full precision: dgamma, dbeta */

	RMS_NORM,    /* x, gamma (0: none): x·gamma / √(mean of x² over the last axis + f[0]) */
	RMS_NORM_DX, /* x, dy, gamma → dx */
	RMS_NORM_DW, /* x, dy → [C] full precision: dgamma */

	ATTENTION,      /* q, k, v, bias (0: none); a[0] heads, a[1] causal, f[0] scale: see attention() */
	ATTENTION_GRAD, /* q, k, v, o, do → flat [dq | dk | dv]; attributes as ATTENTION */

	EMBEDDING,          /* table [V,C], ids (I32) of any shape → [..,C] */
	EMBEDDING_GRAD,     /* dy, ids → [V,C] full precision */
	RELATIVE_BUCKETS,   /* no input → I32 [queries,keys]; a[0] buckets, a[1] distance: see relative_buckets() */
	TIMESTEP_EMBEDDING, /* t [N] (full precision, may be fractional) → [N,C] full precision: cos first, then sin;
	                     * an odd C ends in a 0; f[0] max_period */

	/* What changes weights, in F32 whatever full precision is. `numbers` is an input [8] of F64; what is marked * is a
	 * trainable parameter, which is changed where it lies. Those that change one have no result worth reading.
	 * Formulas: train/optimize/optimizer.h. */
	SUM_SQUARES, /* x, and what was summed before (F64 [1], or 0) → F64 [1] */
	CLIP_SCALE,  /* sum of squares (F64 [1]), numbers {largest norm, 0: none; parts} → F32 [1]: what scales a gradient
	              * that is a sum of so many parts: min(1, largest / (norm + 1e-6)) / parts, norm = √sum / parts */
	ACCUMULATE,  /* sum*, x, numbers {keep, take}: sum = keep·sum + take·x; keep 0, take 1: a copy */
	UPDATE_SGD,  /* weight*, gradient, scale (F32 [1]), numbers {shrink, rate, momentum}, momentum buffer* or 0:
	              * g = gradient·scale; buffer = g = momentum·buffer + g; weight = weight·shrink − rate·g */
	UPDATE_ADAMW,      /* weight*, gradient, scale, numbers {shrink, stride, root, 1−β1, β2, 1−β2, ε}, m*, v*:
	                    * g = gradient·scale; m += (1−β1)·(g − m); v = β2·v + (1−β2)·g²;
	                    * weight = weight·shrink − stride·m / (√v·root + ε) */
	UPDATE_ADAMW_8BIT, /* the same with codes of m* and of √v* (U8) and their scales*, one for QUANTIZED_BLOCK elements
	                    */
	UPDATE_ADAFACTOR,  /* weight*, gradient, scale, numbers {shrink, rate, decay}, second moments*: of rows, of columns;
	                    * or one of the weight's shape, and 0 */

	COPY, /* in[0] in the other memory, where a backend has its own; made by graph_compile alone */
	OPS
} opcode;

enum { QUANTIZED_BLOCK = 256 };

typedef enum activation {
	NO_ACTIVATION,
	SILU,       /* x·σ(x) */
	GELU,       /* ½x(1+erf(x/√2)) */
	GELU_TANH,  /* ½x(1+tanh(√(2/π)(x+0.044715x³))) */
	GELU_QUICK, /* x·σ(1.702x) */
	RELU,
	LEAKY_RELU, /* slope 0.2 */
	TANH,
	SIGMOID,
	EXP,
	LOG,
	SQRT,
	RECIPROCAL,
	SQUARE,
	ABS,
	CLAMP_LOGVAR, /* to [−30, 20], the autoencoder's log-variance; gradient 0 outside */
	ACTIVATIONS
} activation;

/* A node, for passes, kernels and tests; read-only outside src/graph. */
typedef struct node {
	opcode op;
	int inputs;
	dtype dtype;
	shape shape;
	tensor in[MAX_INPUTS]; /* 0: absent (bias, residual, gamma, beta) */
	int a[MAX_ATTRIBUTES]; /* the operation's integers, as the opcode's comment says */
	float f[2];
	const char *name; /* of an input or a parameter, with its scope; otherwise the scope it was built in */
	bool keep;        /* the caller reads it after the run */
	bool watch;       /* the caller is told when it is done */
	bool trainable;   /* a parameter that changes between runs: nothing that depends on it is folded */
	int block;        /* recomputation block, 0: none */
} node;

graph *graph_new(dtype compute); /* what layers compute in: REAL or BF16. NULL: out of memory */
void graph_free(graph *g);       /* NULL is fine */
dtype graph_compute(const graph *g);
const node *node_of(const graph *g, tensor t); /* valid until the next node is made */
int node_count(const graph *g);                /* nodes are 1 … node_count */
int dim(const graph *g, tensor t, int axis);   /* negative: from the last; 1 for t = 0 */
int axes(const graph *g, tensor t);
shape shape_of(const graph *g, tensor t);
dtype dtype_of(const graph *g, tensor t);
const error *graph_error(const graph *g);                                                 /* status OK: none */
bool graph_fail(graph *g, const char *format, ...) __attribute__((format(printf, 2, 3))); /* a builder's complaint */

/* Names are scoped: push(g, "input_blocks.%d", i) … pop(g). An empty scope adds nothing. */
void push(graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pop(graph *g);
const char *scope_of(const graph *g); /* "model.input_blocks.1." or ""; valid until the next push or pop */

/* ── leaves ── */
tensor input(graph *g, const char *name, dtype d, shape s);
/* A weight named relative to the scope. Its dtype is the file's, known when it is bound (REAL until then); layers
 * cast it. Asking again for the same name gives the same node. */
tensor param(graph *g, const char *name, shape s);
/* A trainable parameter that is bound where it is made: to an array in the backend's memory, alive as long as the graph
 * runs. */
tensor array_param(graph *g, const char *name, dtype d, shape s, void *data);
tensor fill(graph *g, dtype d, shape s, float value);
tensor find(const graph *g, const char *name); /* an input or a parameter by its whole name; 0: none */
void keep(graph *g, tensor t);
void set_trainable(graph *g, tensor parameter, bool trainable);

/* ── operations; each gives a node of its first input's dtype unless said ── */
tensor view(graph *g, tensor x, size_t first, shape s);
tensor reshape(graph *g, tensor x, shape s); /* one axis may be -1 */
tensor cast(graph *g, tensor x, dtype d);
tensor add(graph *g, tensor a, tensor b), sub(graph *g, tensor a, tensor b), mul(graph *g, tensor a, tensor b);
tensor affine(graph *g, tensor x, float factor, float shift);
tensor activate(graph *g, tensor x, activation a);
tensor geglu(graph *g, tensor x);
tensor sum_to(graph *g, tensor x, shape s), spread(graph *g, tensor x, shape s);
tensor mean_all(graph *g, tensor x);                                /* → [1], full precision */
tensor mean_squared_error(graph *g, tensor a, tensor b);            /* → [1], full precision */
tensor permute(graph *g, tensor x, int a0, int a1, int a2, int a3); /* as many as x has axes; the rest ignored */
tensor slice(graph *g, tensor x, int axis, int first, int length);  /* axis 0: a view. Negative axis: from the last */
tensor pad(graph *g, tensor x, int axis, int before, int whole_length);
tensor concat(graph *g, tensor a, tensor b, int axis);
tensor resize_nearest(graph *g, tensor x, int height, int width);
tensor pool(graph *g, tensor x, bool maximum, int window);
/* op(A)·op(B), ta and tb: transposed. A and B are read as matrices: the last axis is the columns, all others the
 * rows. The result is A's shape with another last axis, or [columns of A, N] where A is transposed.
 * `out` is the result's dtype (REAL for gradients of weights). */
tensor matmul(graph *g, tensor a, tensor b, bool ta, bool tb, dtype out);
/* x·wᵀ + bias: x [..,in], w [out,in] (or [out,in,1,1]), bias [out] full precision or 0 */
tensor linear(graph *g, tensor x, tensor w, tensor bias);
/* x [N,H,W,in], w [out,in,kh,kw], bias [out] full precision or 0; pads are zeros. */
tensor conv2d(graph *g, tensor x, tensor w, tensor bias, int stride, int top, int left, int bottom, int right);
/* Group norm over (H, W, C/groups) or (T, C/groups), gamma and beta [C] full precision, then the activation. */
tensor group_norm(graph *g, tensor x, tensor gamma, tensor beta, int groups, float epsilon, activation a);
/* The same with given statistics [N,2,C] in full precision, of each channel's group: mean, and 1/√(variance + ε). It
 * has no gradient. */
tensor group_norm_given(graph *g, tensor x, tensor gamma, tensor beta, tensor statistics, int groups, activation a);
/* → [N,4,C] full precision: for each channel Σ dy·x̂ and Σ dy, where x̂ is x normalised in its groups, then mean and
 * 1/√(variance + ε) of its group. */
tensor group_norm_sums(graph *g, tensor x, tensor dy, tensor gamma, tensor beta, int groups, float epsilon);
tensor layer_norm(graph *g, tensor x, tensor gamma, tensor beta, float epsilon); /* gamma and beta may both be 0 */
tensor rms_norm(graph *g, tensor x, tensor gamma, float epsilon); /* Zhang and Sennrich 2019; gamma may be 0 */
/* softmax(scale·q·kᵀ)·v for each head; q [N,Tq,heads·d], k and v [N,Tk,heads·d]; causal: query i sees keys 0…i. */
tensor attention(graph *g, tensor q, tensor k, tensor v, int heads, float scale, bool causal);
/* The same, with bias [N or 1,heads,Tq,Tk] in full precision added to the scores. It has no gradient. */
tensor attention_biased(graph *g, tensor q, tensor k, tensor v, tensor bias, int heads, float scale);
/* T5's buckets of relative positions, key − query: half of them for keys that come later, each half exact for the near
 * ones and logarithmic up to `distance`, from where on they are one. */
tensor relative_buckets(graph *g, int queries, int keys, int buckets, int distance);
tensor embedding(graph *g, tensor table, tensor ids); /* the table may be a parameter of any dtype: rows become REAL */
tensor timestep_embedding(graph *g, tensor t, int width, float max_period); /* frequency i: max_period^(−i/half) */

/* What changes weights: see the opcodes. Results are kept by the caller, so that they are computed. */
tensor sum_squares(graph *g, tensor x, tensor before);
tensor clip_scale(graph *g, tensor squares, tensor numbers);
tensor accumulate_into(graph *g, tensor sum, tensor x, tensor numbers);
tensor update_weight(
    graph *g, opcode rule, tensor weight, tensor gradient, tensor scale, tensor numbers, const tensor state[4]);

/* ── differentiation ── */
/* Appends the nodes of d loss / d wrt[i] for n tensors (usually parameters; inputs and inner nodes are allowed) and
 * writes them to out, 0 where the loss does not depend on it or wrt[i] is 0. loss is [1]. May be called several times.
 * Gradients of parameters are full precision. Every out node is kept. */
bool gradients(graph *g, tensor loss, const tensor *wrt, int n, tensor *out);
/* x, as a constant for gradients(): so that a gradient can itself be part of a loss. */
tensor detach(graph *g, tensor x);
/* Gradient checkpointing: after graph_recompute(g, true), what is built between the two is not stored for the backward
 * pass but recomputed there from what the block read. Blocks do not nest: an inner pair does nothing. */
void graph_recompute(graph *g, bool on);
void block_begin(graph *g), block_end(graph *g);

/* ── kernels: the rows of a backend ── */
typedef struct call {              /* one node, as a kernel sees it */
	const node *y, *x[MAX_INPUTS]; /* x[i] NULL where absent */
	void *out;                     /* 64-byte aligned, but for views of something else */
	const void *in[MAX_INPUTS];    /* may be less aligned for views and for parameters in a mapped file */
	void *scratch;                 /* 64-byte aligned, undefined contents */
	void *packed;                  /* in[1] as pack() left it, where the row packs */
	void *state;                   /* what prepare() made */
	void *device;                  /* the context of the backend's device; NULL: the host */
	int threads;
} call;

typedef struct kernel {
	opcode op;
	const char *name;
	bool (*fits)(const call *c);            /* shapes, dtypes, this CPU; no data yet. NULL: always */
	bool (*prepare)(call *c, error *e);     /* sets c->state; NULL: nothing to prepare */
	size_t (*scratch_bytes)(const call *c); /* after prepare. NULL: none */
	size_t (*packed_bytes)(const call *c);  /* after prepare: bytes of the packed in[1]. NULL or 0: not packed */
	/* in[1] → packed: once for a constant weight, else before every run */
	bool (*pack)(const call *c, error *e);
	bool (*run)(const call *c, error *e);
	void (*release)(void *state);
} kernel;

/* Memory that comes to a device while it computes, to two slots that take turns. */
typedef struct fetch_functions {
	void *(*alloc)(void *context, size_t bytes); /* page-locked memory of the host; NULL: none is left */
	void (*free)(void *context, void *p);
	void *(*open)(void *context, error *e); /* a way to the device; NULL: failed */
	void (*close)(void *way);               /* when all that was given is done */
	/* Sends bytes of such memory for a slot's turn, after what the device was given before the slot's release. */
	bool (*send)(void *way, int slot, void *to, const void *from, size_t bytes, error *e);
	bool (*await)(void *way, int slot, error *e);   /* what the device is given next comes after what was sent */
	bool (*release)(void *way, int slot, error *e); /* what it was given so far has used the slot */
} fetch_functions;

/* Where a backend's kernels read and write: memory that the host touches through these alone. What is given to a device
 * is done in that order; download and sync wait for it. `context` is handed to all of them, and to kernels. */
typedef struct device {
	const char *name;
	void *context;
	void *(*alloc)(void *context, size_t bytes); /* at a multiple of 64; NULL: none is left */
	void (*free)(void *context, void *p);        /* NULL is fine */
	uint64_t (*available)(void *context);        /* bytes that alloc could still give */
	/* From the host, whose memory may be used again when it returns; to the host, done when it returns; within. */
	bool (*upload)(void *context, void *to, const void *from, size_t bytes, error *e);
	bool (*download)(void *context, void *to, const void *from, size_t bytes, error *e);
	bool (*copy)(void *context, void *to, const void *from, size_t bytes, error *e);
	bool (*sync)(void *context, error *e); /* waits for all that was given, and reports what failed of it */
	/* Kernels given between begin and end are recorded and not run; replay() runs them on the same addresses. All NULL:
	 * the device records nothing, and every run gives each kernel again. */
	bool (*record_begin)(void *context, error *e);
	void *(*record_end)(void *context, error *e); /* NULL: failed */
	bool (*replay)(void *context, void *recording, error *e);
	void (*record_free)(void *context, void *recording);
	/* How devices of several processes sum arrays among themselves (backend/peers.h); NULL: over the host. */
	const struct peer_functions *peers;
	const fetch_functions *fetch; /* NULL: it has no such thing */
	const char *doubt;            /* a line of what it has not found, and what that costs; NULL: nothing */
} device;

/* A device's memory, or the host's where d is NULL: as above, and in the same alignment. */
void *device_alloc(const device *d, size_t bytes);
void device_free(const device *d, void *p);
uint64_t device_available(const device *d); /* bytes that could be allocated */
const char *device_owner(const device *d);  /* of that memory, for messages: "the system" or the device's name */
bool device_write(const device *d, void *to, const void *from, size_t bytes, error *e); /* from the host */
bool device_read(const device *d, void *to, const void *from, size_t bytes, error *e);  /* to the host */

typedef struct backend { /* rows are tried in order: the first that fits wins */
	const char *name;
	const kernel *rows;
	int count;
	const struct backend *fallback; /* tried after the rows; NULL: none */
	const device *device;           /* NULL: the host's memory */
	/* How many of at most `most` threads the step is worth; NULL: all. Changes no bit of any result. */
	int (*threads)(const call *c, int most);
	/* A CAST that alone reads the result of a product, a norm or a sum becomes part of it, where one of the rows (not
	 * of the fallback's) takes that type of result. */
	bool fuses_casts;
} backend;

/* Multiplications and additions of a product, a convolution, attention or their gradients; 0 for anything else. */
double call_flop(const call *c);

/* ── compile and run ── */
/* Gives a parameter its memory: sets *d and *data (owned by the caller, alive as long as the graph runs). A frozen
 * one's is the host's, a trainable one's that of the backend's device, where it has one. False: a failure that it has
 * recorded in e. */
typedef bool bind_fn(void *context, const char *name, shape s, dtype *d, const void **data, error *e);
bool graph_bind(graph *g, bind_fn *lookup, void *context, error *e);
/* Before graph_allocate: a trainable parameter lies elsewhere than where it was bound, as where its memory is allocated
 * after the plan is known. */
void graph_rebind(graph *g, tensor parameter, const void *data);
/* Fuses, orders, picks kernels, places every value. Fails with the first building error. threads ≥ 1. */
bool graph_compile(graph *g, const backend *b, int threads, error *e);
/* Before compile, on the host alone: the graph is there `lanes` times, with weights in common, and each run computes
 * all of them side by side, each by one thread. Small networks gain by it what their many short steps would lose
 * between threads. graph_write and graph_read then have the values of all lanes, one after the other; no result changes
 * a bit.
 */
void graph_lanes(graph *g, int lanes);
double graph_flop(const graph *g); /* multiplications and additions of one run's products, in all lanes */
/* After compile, where the backend's device can fetch: weights take `bytes` of its memory at most, or as little as they
 * can. The rest lie in the host's, page-locked, and come in time in each run, in two slots; no result changes a bit. */
bool graph_stream(graph *g, size_t bytes, error *e);
size_t graph_streamed_bytes(const graph *g); /* that come so; 0: none */
/* In the backend's memory: */
size_t graph_arena_bytes(const graph *g);    /* values of one run, scratch included */
size_t graph_constant_bytes(const graph *g); /* packed and folded weights */
size_t graph_setup_bytes(const graph *g);    /* needed only while graph_allocate folds the weights */
/* Allocates and folds the constants (weights are read here). `unused`, if not NULL, is told the memory of each
 * parameter that will not be read again, as soon as that is so. */
typedef void unused_fn(void *context, const void *data, size_t bytes);
bool graph_allocate(graph *g, unused_fn *unused, void *context, error *e);
/* The only ways in and out, of shape_count × dtype_size bytes. Written are inputs, and kept values after a run; read
 * are inputs, kept values, and watched ones while they are told. */
bool graph_write(graph *g, tensor t, const void *values, error *e);
bool graph_read(const graph *g, tensor t, void *values, error *e);
/* The same from and to floats, whatever floating type the tensor has. */
bool graph_write_floats(graph *g, tensor t, const float *values, error *e);
bool graph_read_floats(const graph *g, tensor t, float *values, error *e);
/* A kept value of one graph, after its run, to an input of another of the same backend and of the same type and shape,
 * within the backend's memory. */
bool graph_pass(const graph *from, tensor t, graph *to, tensor input, error *e);
/* Where an input or a kept value lies in the backend's memory, from graph_allocate to graph_free: to bind another
 * graph's trainable parameter to it. NULL: it has no memory. */
void *graph_address(const graph *g, tensor t);
/* Whether a step of a run reads the value of a node of this compiled graph, or of what shares its memory. */
bool graph_is_read(const graph *g, tensor t);
/* Runs every node once. `done`, if not NULL, is told each watched node as soon as it has its value; the memory of a
 * watched node that is not kept is given to others afterwards. False from it stops the run. A device may still be at
 * work when this returns: graph_read waits for it. */
typedef bool watch_fn(void *context, tensor t, error *e);
void graph_watch(graph *g, tensor t); /* before compile; also takes back keep() */
bool graph_run(graph *g, watch_fn *done, void *context, error *e);

/* A line for each node: shape, dtype, place, kernel; with the time of each (and GFLOP/s of a product) after
 * graph_profile(g, true) and a run, and then a table of the sums by kernel. */
void graph_profile(graph *g, bool on);
/* Of a compiled graph whose backend has a device: what of a run is computed on the host all the same, over copies, as
 * "14 of update_adafactor, 1 of clip_scale", cut to fit. False: nothing is, or there is no device. */
bool graph_fallbacks(const graph *g, char *text, size_t room);
void graph_dump(const graph *g, FILE *to);

#endif
