/* pickle_globals.c - the names that a pickle may use, and what a call of each builds. Nothing here does more than make
 * a value; the content of what is OPAQUE is ignored. */
#include "io/pickle.h"
#include <string.h>

struct global {
	const char *module, *name;
	enum {
		OPAQUE_CLASS, /* of settings that trainers store with the weights: its calls and its state are dropped */
		DICTIONARY,
		SEQUENCE,
		TENSOR,    /* (storage, offset, shape, strides, …) */
		PARAMETER, /* (tensor, …) */
		STORAGE,
	} kind;
	const char *type_name; /* of STORAGE */
};

static const global globals[] = {
	{ "collections", "OrderedDict", DICTIONARY, NULL },
	{ "torch.nn.modules.container", "ParameterDict", DICTIONARY, NULL }, /* pickle.c fills them from their state */
	{ "torch.nn.modules.container", "ParameterList", DICTIONARY, NULL },
	{ "torch", "Size", SEQUENCE, NULL },
	{ "builtins", "set", SEQUENCE, NULL },
	{ "__builtin__", "set", SEQUENCE, NULL },
	{ "torch._utils", "_rebuild_tensor", TENSOR, NULL },
	{ "torch._utils", "_rebuild_tensor_v2", TENSOR, NULL },
	{ "torch._utils", "_rebuild_parameter", PARAMETER, NULL },
	{ "torch._utils", "_rebuild_parameter_with_state", PARAMETER, NULL },
	{ "torch", "DoubleStorage", STORAGE, "F64" },
	{ "torch", "FloatStorage", STORAGE, "F32" },
	{ "torch", "HalfStorage", STORAGE, "F16" },
	{ "torch", "BFloat16Storage", STORAGE, "BF16" },
	{ "torch", "LongStorage", STORAGE, "I64" },
	{ "torch", "IntStorage", STORAGE, "I32" },
	{ "torch", "ShortStorage", STORAGE, "I16" },
	{ "torch", "CharStorage", STORAGE, "I8" },
	{ "torch", "ByteStorage", STORAGE, "U8" },
	{ "torch", "BoolStorage", STORAGE, "BOOL" },
	{ "torch", "ComplexFloatStorage", STORAGE, "C64" },
	{ "torch", "device", OPAQUE_CLASS, NULL },
	{ "torch", "float64", OPAQUE_CLASS, NULL },
	{ "torch", "float32", OPAQUE_CLASS, NULL },
	{ "torch", "float16", OPAQUE_CLASS, NULL },
	{ "torch", "bfloat16", OPAQUE_CLASS, NULL },
	{ "_codecs", "encode", OPAQUE_CLASS, NULL },
	{ "numpy", "dtype", OPAQUE_CLASS, NULL },
	{ "numpy.core.multiarray", "scalar", OPAQUE_CLASS, NULL },
	{ "numpy._core.multiarray", "scalar", OPAQUE_CLASS, NULL },
	{ "pytorch_lightning.callbacks", "ModelCheckpoint", OPAQUE_CLASS, NULL },
	{ "pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", OPAQUE_CLASS, NULL },
};

static bool is(const char *text, size_t length, const char *name)
{
	return strlen(name) == length && !memcmp(text, name, length);
}

const global *pickle_find_global(pickle *p, const char *module, size_t m, const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
		if (is(module, m, globals[i].module) && is(name, n, globals[i].name)) return &globals[i];
	pickle_refuse(p, "its pickle asks for %.*s.%.*s, which is no part of a model", (int)(m < 80 ? m : 80), module,
	    (int)(n < 80 ? n : 80), name);
	return NULL;
}

/* ── calls ── */

/* OrderedDict() or OrderedDict([[key, value], …]), as Python 2 wrote it. */
static value *make_dictionary(pickle *p, const value *arguments)
{
	value *v = pickle_value(p, DICT_VALUE);
	const value *pairs = arguments->count ? arguments->items[0] : NULL;
	if (!v || !pairs) return v;
	bool fine = pairs->kind == LIST_VALUE && arguments->count == 1;
	for (size_t i = 0; fine && i < pairs->count; i++) {
		const value *pair = pairs->items[i];
		fine = (pair->kind == LIST_VALUE || pair->kind == TUPLE_VALUE) && pair->count == 2;
		if (fine && (!pickle_append(p, v, pair->items[0]) || !pickle_append(p, v, pair->items[1]))) return NULL;
	}
	if (!fine) pickle_refuse(p, "its pickle makes an OrderedDict of something that is no list of pairs");
	return fine ? v : NULL;
}

/* Size((1, 2)) and set([1, 2]) */
static value *make_sequence(pickle *p, const value *arguments)
{
	value *items = arguments->count == 1 ? arguments->items[0] : NULL;
	if (items && (items->kind == TUPLE_VALUE || items->kind == LIST_VALUE)) return items;
	pickle_refuse(p, "its pickle makes a sequence of something that is none");
	return NULL;
}

static bool read_axes(pickle *p, const value *v, int *n, int64_t *axes)
{
	if (v->kind != TUPLE_VALUE && v->kind != LIST_VALUE) return pickle_refuse(p, "a tensor's shape is no tuple");
	if (v->count > WEIGHT_DIMS)
		return pickle_refuse(p, "a tensor has %zu dimensions, expected at most %d", v->count, WEIGHT_DIMS);
	*n = (int)v->count;
	for (size_t i = 0; i < v->count; i++) {
		if (v->items[i]->kind != INTEGER_VALUE || v->items[i]->integer < 0)
			return pickle_refuse(p, "a dimension or stride of a tensor is no size");
		axes[i] = v->items[i]->integer;
	}
	return true;
}

static value *make_tensor(pickle *p, const value *arguments)
{
	value **a = arguments->items;
	int strides;
	if (arguments->count < 4 || a[0]->kind != STORAGE_VALUE || a[1]->kind != INTEGER_VALUE || a[1]->integer < 0) {
		pickle_refuse(p, "its pickle makes a tensor of something that is no storage and offset");
		return NULL;
	}
	value *v = pickle_value(p, TENSOR_VALUE);
	if (!v || !read_axes(p, a[2], &v->tensor->ndims, v->tensor->shape) ||
	    !read_axes(p, a[3], &strides, v->tensor->stride))
		return NULL;
	v->tensor->storage = a[0];
	v->tensor->offset = a[1]->integer;
	if (strides == v->tensor->ndims) return v;
	pickle_refuse(p, "a tensor has %d dimensions and %d strides", v->tensor->ndims, strides);
	return NULL;
}

static value *make_parameter(pickle *p, const value *arguments)
{
	value *v = arguments->count ? arguments->items[0] : NULL;
	if (v && v->kind == TENSOR_VALUE) return v;
	pickle_refuse(p, "its pickle makes a parameter of something that is no tensor");
	return NULL;
}

value *pickle_call(pickle *p, const value *function, value *arguments)
{
	const global *g = function->global;
	switch (g->kind) {
	case DICTIONARY: return make_dictionary(p, arguments);
	case SEQUENCE: return make_sequence(p, arguments);
	case TENSOR: return make_tensor(p, arguments);
	case PARAMETER: return make_parameter(p, arguments);
	case OPAQUE_CLASS: return pickle_value(p, OPAQUE_VALUE);
	case STORAGE: break;
	}
	pickle_refuse(p, "its pickle calls %s.%s", g->module, g->name);
	return NULL;
}

/* ("storage", type, key, where it was, elements), and in old files what it is a view of: None */
value *pickle_storage(pickle *p, const value *id)
{
	value *const *a = id->items;
	bool fine = id->kind == TUPLE_VALUE && id->count >= 5 && value_is_text(a[0], "storage") &&
	            a[1]->kind == GLOBAL_VALUE && a[1]->global->kind == STORAGE && a[2]->kind == TEXT_VALUE &&
	            a[4]->kind == INTEGER_VALUE && a[4]->integer >= 0;
	if (fine && id->count > 5 && a[5]->kind != NONE_VALUE) {
		pickle_refuse(p, "a storage is a view of another one, as PyTorch wrote them before 0.4");
		return NULL;
	}
	if (!fine) pickle_refuse(p, "its pickle has a persistent id that is no storage");
	value *v = fine ? pickle_value(p, STORAGE_VALUE) : NULL;
	if (v) *v->storage = (pickled_storage){ a[1]->global->type_name, a[4]->integer, a[2] };
	return v;
}
