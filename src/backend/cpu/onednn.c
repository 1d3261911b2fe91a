/* onednn.c - the users of oneDNN's C API, which is that of version 3 (onednn_api.h). */
#include "backend/cpu/onednn.h"
#include "backend/cpu/onednn_api.h"
#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { SRC, WEIGHT, OUT, BIAS, SCRATCH, REORDER_SCRATCH, ROLES };

struct onednn {
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_primitive_t primitive, reorder; /* reorder: the weight, or back for its gradient; NULL: none */
	dnnl_memory_desc_t role[ROLES], plain_weight;
	int argument[ROLES]; /* 0: not used */
	size_t packed_bytes, scratch_bytes;
};

bool onednn_computes(dtype d)
{
#if defined __x86_64__
	if (d == BF16) return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
	return d == F32;
}

static dnnl_data_type_t type_of(dtype d) { return d == BF16 ? dnnl_bf16 : dnnl_f32; }

typedef struct single {
	int threads;
	sigset_t signals;
} single;

/* Everything below oneDNN's parallel loops follows this thread's number of threads. And signals wait: code that oneDNN
 * 2.6 writes for f32 products keeps values further below the stack pointer than the 128 bytes that a handler spares, so
 * that one which runs meanwhile (Ctrl-C, a timer) makes it write past its buffers. Threads of our pool take no signals
 * at all; this one may be the caller's. */
static single begin_single(void)
{
	single before = { .threads = omp_get_max_threads() };
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP }; /* a debugger's, a sanitizer's */
	sigset_t all;
	sigfillset(&all);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_BLOCK, &all, &before.signals);
	if (before.threads != 1) omp_set_num_threads(1);
	return before;
}

static void end_single(single before)
{
	if (before.threads != 1) omp_set_num_threads(before.threads);
	pthread_sigmask(SIG_SETMASK, &before.signals, NULL);
}

/* Where oneDNN finds no memory for the code that it writes, it ends the process: version 2 by a signal. It writes code
 * when a primitive is made, and some when it first runs. So it is called only where there is room; looking costs less
 * than anything is worth that has its primitive made, and a run is preceded by it only under a limit of address space.
 */
static bool has_room(void)
{
	enum { ROOM = 32 << 20 };
	void *p = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p != MAP_FAILED && !munmap(p, ROOM);
}

static bool has_room_to_run(void)
{
	struct rlimit limit;
	return getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY || has_room();
}

static bool append_activation(dnnl_post_ops_t list, activation a)
{
	dnnl_alg_kind_t kind;
	float alpha = 0;
	switch (a) {
	case NO_ACTIVATION: return true;
	case SILU: kind = dnnl_eltwise_swish, alpha = 1; break;
	case GELU_QUICK: kind = dnnl_eltwise_swish, alpha = 1.702f; break;
	case GELU: kind = dnnl_eltwise_gelu_erf; break;
	case GELU_TANH: kind = dnnl_eltwise_gelu_tanh; break;
	case RELU: kind = dnnl_eltwise_relu; break;
	case LEAKY_RELU: kind = dnnl_eltwise_relu, alpha = 0.2f; break;
	case TANH: kind = dnnl_eltwise_tanh; break;
	case SIGMOID: kind = dnnl_eltwise_logistic; break;
	default: return false;
	}
	return dnnl_post_ops_append_eltwise(list, kind, alpha, 0) == dnnl_success;
}

static dnnl_primitive_attr_t attributes(const onednn_epilogue *epilogue)
{
	dnnl_primitive_attr_t attr = NULL;
	dnnl_post_ops_t list = NULL;
	bool fine = dnnl_primitive_attr_create(&attr) == dnnl_success && dnnl_post_ops_create(&list) == dnnl_success &&
	            dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) == dnnl_success &&
	            (!epilogue || !epilogue->residual ||
	                dnnl_post_ops_append_sum(list, 1, 0, dnnl_data_type_undef) == dnnl_success) &&
	            (!epilogue || append_activation(list, epilogue->activation)) &&
	            dnnl_primitive_attr_set_post_ops(attr, list) == dnnl_success;
	if (list) dnnl_post_ops_destroy(list);
	if (!fine && attr) dnnl_primitive_attr_destroy(attr), attr = NULL;
	return attr;
}

static bool describe(
    dnnl_memory_desc_t *d, int axes, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
	return dnnl_memory_desc_create_with_tag(d, axes, dims, type, tag) == dnnl_success;
}

static void forget(dnnl_memory_desc_t d)
{
	if (d) dnnl_memory_desc_destroy(d);
}

static onednn *new_primitive(void)
{
	onednn *p = has_room() ? calloc(1, sizeof *p) : NULL;
	if (!p) return NULL;
	if (dnnl_engine_create(&p->engine, dnnl_cpu, 0) == dnnl_success &&
	    dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags) == dnnl_success)
		return p;
	onednn_free(p);
	return NULL;
}

void onednn_free(onednn *p)
{
	if (!p) return;
	if (p->primitive) dnnl_primitive_destroy(p->primitive);
	if (p->reorder) dnnl_primitive_destroy(p->reorder);
	if (p->stream) dnnl_stream_destroy(p->stream);
	if (p->engine) dnnl_engine_destroy(p->engine);
	for (int i = 0; i < ROLES; i++) forget(p->role[i]);
	forget(p->plain_weight);
	free(p);
}

static bool take_role(onednn *p, const_dnnl_primitive_desc_t d, int role, int argument)
{
	p->argument[role] = argument;
	const_dnnl_memory_desc_t its = dnnl_primitive_desc_query_md(d, dnnl_query_exec_arg_md, argument);
	return dnnl_memory_desc_clone(&p->role[role], its) == dnnl_success;
}

/* Memory that a primitive needs while it runs: the caller's, for oneDNN's own would be shared among threads. */
static bool take_scratch(onednn *p, const_dnnl_primitive_desc_t d, int role)
{
	const_dnnl_memory_desc_t scratch = dnnl_primitive_desc_query_md(d, dnnl_query_scratchpad_md, 0);
	size_t bytes = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
	if (bytes > p->scratch_bytes) p->scratch_bytes = bytes;
	return !bytes || take_role(p, d, role, DNNL_ARG_SCRATCHPAD);
}

static bool make_reorder(onednn *p, const_dnnl_memory_desc_t from, const_dnnl_memory_desc_t to)
{
	dnnl_primitive_desc_t d = NULL;
	dnnl_primitive_attr_t attr = attributes(NULL);
	bool fine = attr && dnnl_reorder_primitive_desc_create(&d, from, p->engine, to, p->engine, attr) == dnnl_success &&
	            dnnl_primitive_create(&p->reorder, d) == dnnl_success && take_scratch(p, d, REORDER_SCRATCH);
	if (d) dnnl_primitive_desc_destroy(d);
	if (attr) dnnl_primitive_attr_destroy(attr);
	return fine;
}

/* The primitive, the memory descriptors of its arguments, and the reorder between its weight's layout and ours. */
static bool finish(
    onednn *p, const_dnnl_primitive_desc_t d, const int arguments[OUT + 1], bool bias, int weight, bool gradient)
{
	if (dnnl_primitive_create(&p->primitive, d) != dnnl_success) return false;
	for (int i = 0; i <= OUT; i++)
		if (!take_role(p, d, i, arguments[i])) return false;
	if (bias && !take_role(p, d, BIAS, DNNL_ARG_BIAS)) return false;
	if (!take_scratch(p, d, SCRATCH)) return false;
	if (dnnl_memory_desc_equal(p->role[weight], p->plain_weight)) return true;
	p->packed_bytes = dnnl_memory_desc_get_size(p->role[weight]);
	return gradient ? make_reorder(p, p->role[weight], p->plain_weight)
	                : make_reorder(p, p->plain_weight, p->role[weight]);
}

typedef struct conv_descriptors {
	dnnl_memory_desc_t picture, weight, gradient, bias, result; /* gradient: the weight's */
	const_dnnl_memory_desc_t given;                             /* the weight's layout; NULL: oneDNN's choice */
	dnnl_dims_t strides, dilates, before, behind;
} conv_descriptors;

static bool describe_conv(const conv_shape *s, dtype data, conv_descriptors *c)
{
	dnnl_dims_t picture = { s->images, s->in, s->height, s->width }, bias = { s->out };
	dnnl_dims_t result = { s->images, s->out, s->result_height, s->result_width };
	dnnl_dims_t taps = { s->out, s->in, s->kernel_height, s->kernel_width };
	/* Rows and columns behind the last that a stride reaches are not there for oneDNN. */
	*c = (conv_descriptors){
		.strides = { s->stride, s->stride }, .before = { s->top, s->left }, .behind = { s->bottom, s->right }
	};
	return describe(&c->picture, 4, picture, type_of(data), dnnl_nhwc) &&
	       describe(&c->weight, 4, taps, type_of(data), dnnl_format_tag_any) &&
	       describe(&c->gradient, 4, taps, dnnl_f32, dnnl_format_tag_any) &&
	       describe(&c->bias, 1, bias, dnnl_f32, dnnl_x) && describe(&c->result, 4, result, type_of(data), dnnl_nhwc);
}

/* A gradient's primitive is described in view of the forward one. */
static dnnl_primitive_desc_t conv_primitive(
    dnnl_engine_t engine, conv_kind kind, const conv_descriptors *c, bool bias, const_dnnl_primitive_attr_t attr)
{
	dnnl_primitive_desc_t forward = NULL, d = NULL;
	bool only = kind == CONV_FORWARD;
	const_dnnl_memory_desc_t weight = c->given ? c->given : c->weight;
	if (dnnl_convolution_forward_primitive_desc_create(&forward, engine, only ? dnnl_forward_inference : dnnl_forward,
	        dnnl_convolution_direct, c->picture, only ? weight : c->weight, bias ? c->bias : NULL, c->result,
	        c->strides, c->dilates, c->before, c->behind, only ? attr : NULL) != dnnl_success)
		return NULL;
	if (only) return forward;
	if (kind == CONV_BY_DATA)
		dnnl_convolution_backward_data_primitive_desc_create(&d, engine, dnnl_convolution_direct, c->picture, weight,
		    c->result, c->strides, c->dilates, c->before, c->behind, forward, attr);
	else
		dnnl_convolution_backward_weights_primitive_desc_create(&d, engine, dnnl_convolution_direct, c->picture,
		    c->gradient, NULL, c->result, c->strides, c->dilates, c->before, c->behind, forward, attr);
	dnnl_primitive_desc_destroy(forward);
	return d;
}

static bool make_conv(onednn *p, const conv_shape *s, conv_kind kind, dtype data, const onednn_epilogue *epilogue,
    const_dnnl_memory_desc_t weight)
{
	static const int arguments[][OUT + 1] = {
		[CONV_FORWARD] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST },
		[CONV_BY_DATA] = { DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC },
		[CONV_BY_WEIGHT] = { DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS },
	};
	conv_descriptors c;
	dnnl_primitive_desc_t d = NULL;
	dnnl_primitive_attr_t attr = attributes(epilogue);
	bool bias = epilogue && epilogue->bias, gradient = kind == CONV_BY_WEIGHT;
	dnnl_dims_t taps = { s->out, s->in, s->kernel_height, s->kernel_width };
	dnnl_dim_t plane = s->kernel_height * s->kernel_width;
	dnnl_dims_t strides = { (s->weight_in ? s->weight_in : s->in) * plane, plane, s->kernel_width, 1 };
	bool fine = attr && dnnl_memory_desc_create_with_strides(
	                        &p->plain_weight, 4, taps, type_of(gradient ? F32 : data), strides) == dnnl_success;
	fine = describe_conv(s, data, &c) && fine;
	c.given = weight;
	if (fine) d = conv_primitive(p->engine, kind, &c, bias, attr);
	fine = d && finish(p, d, arguments[kind], bias, gradient ? OUT : WEIGHT, gradient);
	if (d) dnnl_primitive_desc_destroy(d);
	if (attr) dnnl_primitive_attr_destroy(attr);
	forget(c.picture), forget(c.weight), forget(c.gradient), forget(c.bias), forget(c.result);
	return fine;
}

onednn *onednn_conv(
    const conv_shape *s, conv_kind kind, dtype data, const onednn_epilogue *epilogue, const onednn *like)
{
	onednn *p = new_primitive();
	if (!p) return NULL;
	single before = begin_single();
	bool fine = make_conv(p, s, kind, data, epilogue, like ? like->role[WEIGHT] : NULL);
	end_single(before);
	if (fine) return p;
	onednn_free(p);
	return NULL;
}

static bool matrix(dnnl_memory_desc_t *d, int rows, int columns, dtype type, size_t row, size_t column)
{
	dnnl_dims_t dims = { rows, columns }, strides = { (dnnl_dim_t)row, (dnnl_dim_t)column };
	return dnnl_memory_desc_create_with_strides(d, 2, dims, type_of(type), strides) == dnnl_success;
}

static bool make_matmul(onednn *p, const matmul_shape *s, dtype data, dtype result, const onednn_epilogue *epilogue,
    const_dnnl_memory_desc_t weight)
{
	static const int arguments[] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST };
	dnnl_memory_desc_t a = NULL, packed = NULL, bias = NULL, out = NULL;
	dnnl_dims_t weight_dims = { s->k, s->n }, bias_dims = { 1, s->n };
	dnnl_primitive_desc_t d = NULL;
	dnnl_primitive_attr_t attr = attributes(epilogue);
	bool fine = attr && matrix(&a, s->m, s->k, data, s->a_row, s->a_column) &&
	            matrix(&p->plain_weight, s->k, s->n, data, s->b_row, s->b_column) &&
	            matrix(&out, s->m, s->n, result, s->out_step, 1) &&
	            (!s->pack || describe(&packed, 2, weight_dims, type_of(data), dnnl_format_tag_any)) &&
	            (!epilogue || !epilogue->bias || describe(&bias, 2, bias_dims, dnnl_f32, dnnl_ab)) &&
	            dnnl_matmul_primitive_desc_create(&d, p->engine, a,
	                weight   ? weight
	                : packed ? packed
	                         : p->plain_weight,
	                bias, out, attr) == dnnl_success &&
	            finish(p, d, arguments, bias, WEIGHT, false);
	if (d) dnnl_primitive_desc_destroy(d);
	if (attr) dnnl_primitive_attr_destroy(attr);
	forget(a), forget(packed), forget(bias), forget(out);
	return fine;
}

onednn *onednn_matmul(
    const matmul_shape *s, dtype data, dtype result, const onednn_epilogue *epilogue, const onednn *like)
{
	onednn *p = new_primitive();
	if (!p) return NULL;
	single before = begin_single();
	bool fine = make_matmul(p, s, data, result, epilogue, like ? like->role[WEIGHT] : NULL);
	end_single(before);
	if (fine) return p;
	onednn_free(p);
	return NULL;
}

size_t onednn_scratch_bytes(const onednn *p) { return (p->scratch_bytes + 63) & ~(size_t)63; }
size_t onednn_packed_bytes(const onednn *p) { return p->packed_bytes; }

bool onednn_went_well(int failure, const call *c, error *e)
{
	static const char *const names[] = { "success", "out of memory", "invalid arguments", "unimplemented", "last impl",
		"runtime error", "not required" };
	if (!failure) return true;
	return fail(e, failure == dnnl_out_of_memory ? NO_MEMORY : BAD_USAGE, "%s: oneDNN failed with status %d (%s)",
	    c->y->name, failure, failure > 0 && failure < (int)(sizeof names / sizeof *names) ? names[failure] : "unknown");
}

static int execute(const onednn *p, dnnl_primitive_t primitive, dnnl_exec_arg_t *list,
    const const_dnnl_memory_desc_t *descriptors, void *const *data, int n)
{
	dnnl_status_t failure = has_room_to_run() ? dnnl_success : dnnl_out_of_memory;
	int made = 0;
	while (made < n && !failure) {
		failure = dnnl_memory_create(&list[made].memory, descriptors[made], p->engine, data[made]);
		made += !failure;
	}
	single before = begin_single();
	if (!failure) failure = dnnl_primitive_execute(primitive, p->stream, n, list);
	end_single(before);
	while (made > 0) dnnl_memory_destroy(list[--made].memory);
	return (int)failure;
}

static int reorder(const onednn *p, const_dnnl_memory_desc_t from, const void *src, const_dnnl_memory_desc_t to,
    void *dst, void *scratch)
{
	dnnl_exec_arg_t list[] = { { DNNL_ARG_FROM, NULL }, { DNNL_ARG_TO, NULL }, { DNNL_ARG_SCRATCHPAD, NULL } };
	const_dnnl_memory_desc_t descriptors[] = { from, to, p->role[REORDER_SCRATCH] };
	void *data[] = { (void *)src, dst, scratch };
	return execute(p, p->reorder, list, descriptors, data, p->argument[REORDER_SCRATCH] ? 3 : 2);
}

int onednn_pack(const onednn *p, const void *weight, void *packed, void *scratch)
{
	return reorder(p, p->plain_weight, weight, p->role[WEIGHT], packed, scratch);
}

int onednn_unpack(const onednn *p, const void *packed, void *gradient, void *scratch)
{
	return reorder(p, p->role[OUT], packed, p->plain_weight, gradient, scratch);
}

int onednn_run(const onednn *p, const void *src, const void *weight, const float *bias, void *out, void *scratch)
{
	void *data[ROLES] = {
		[SRC] = (void *)src, [WEIGHT] = (void *)weight, [OUT] = out, [BIAS] = (void *)bias, [SCRATCH] = scratch
	};
	const_dnnl_memory_desc_t descriptors[ROLES];
	dnnl_exec_arg_t list[ROLES];
	int n = 0;
	for (int i = 0; i <= SCRATCH; i++) {
		if (!p->argument[i]) continue;
		descriptors[n] = p->role[i];
		data[n] = data[i];
		list[n++].arg = p->argument[i];
	}
	return execute(p, p->primitive, list, descriptors, data, n);
}
