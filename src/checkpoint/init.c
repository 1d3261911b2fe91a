/* init.c - sumi_init: a new model, tensor by tensor. */
#include "base/file.h"
#include "base/text.h"
#include "io/weights.h"
#include "models/families.h"
#include "checkpoint/files.h"
#include "checkpoint/types.h"
#include <stdlib.h>
#include <string.h>

typedef struct work {
	weights_writer *out;
	const sumi_listener *listener;
	dtype type;
	uint64_t seed;
	bool zeros;
	bool whole; /* with what published files leave out */
	bool alone; /* not a model, but this role of it */
	role role;
	int done, all;
	error *e;
} work;

static dtype written_type(const work *w, const parameter *p)
{
	return p->dtype == F32 && !p->buffer ? stored_type(w->type, p->shape.n) : p->dtype;
}

static void declare(void *context, const parameter *p)
{
	work *w = context;
	int64_t d[MAX_DIMS];
	for (int i = 0; i < p->shape.n; i++) d[i] = p->shape.d[i];
	w->all++;
	if (!failed(w->e)) weights_writer_declare(w->out, p->name, written_type(w, p), p->shape.n, d, w->e);
}

static void write_one(void *context, const parameter *p)
{
	work *w = context;
	size_t n = shape_count(p->shape);
	dtype type = written_type(w, p);
	if (failed(w->e)) return;
	void *values = malloc(n * dtype_size(p->dtype) + 1), *out = values;
	if (type != p->dtype) out = malloc(n * dtype_size(type) + 1);
	if (!values || !out) {
		fail(w->e, NO_MEMORY, "out of memory for %zu values of '%s'", n, p->name);
	} else {
		parameter_fill(p, w->seed, w->zeros, values);
		if (out != values) convert(out, type, values, p->dtype, n);
		weights_writer_append(w->out, out, n * dtype_size(type), w->e);
	}
	if (out != values) free(out);
	free(values);
	w->done++;
	if (w->listener && w->listener->progress && w->listener->progress(w->listener->context, "write", w->done, w->all))
		fail(w->e, STOPPED, "stopped");
}

static void each_parameter(const family *f, parameter_fn *visit, work *w)
{
	for (role r = 0; r < FAMILY_ROLES && !failed(w->e); r++)
		if (w->alone ? r == w->role : w->whole || !family_apart(f, r)) family_parameters(f, r, visit, w, w->e);
}

static bool describes_itself(const char *name) { return ends_in(name, ".json"); }

/* "clip_l", "clip_g", "t5xxl": Stable Diffusion 3's text encoders, which are published in files of their own. */
static bool find_text_encoder(work *w, const char *name, family *f)
{
	const family *known = family_by_name("sd3-medium", w->e);
	for (int i = 0; known && i < TEXT_ENCODERS; i++) {
		const char *option = family_text_option(known, i);
		if (!option || strcmp(option, name)) continue;
		*f = *known;
		w->alone = true;
		w->role = (role)(TEXT_ENCODER + i);
		*f->prefix[w->role] = 0;
	}
	return w->alone;
}

/* A known family, or one that a JSON file describes. */
static bool find_family(const char *name, family *f, error *e)
{
	if (!describes_itself(name)) {
		const family *known = family_by_name(name, e);
		if (known) *f = *known;
		return known != NULL;
	}
	char *text = whole_file(name, 1 << 20, NULL, e);
	error wrong = { 0 };
	bool fine = text && family_from_json(text, f, &wrong);
	if (text && !fine) fail(e, wrong.status, "%s: %s", name, wrong.text);
	free(text);
	return fine;
}

bool file_init(const char *name, uint64_t seed, const char *type, bool zeros, const char *path,
    const sumi_listener *listener, error *e)
{
	family found, *f = &found;
	work w = { .listener = listener, .type = F32, .seed = seed, .zeros = zeros, .e = e };
	if (!find_text_encoder(&w, name, f) && !find_family(name, f, e)) return false;
	if (type && !type_from_name(type, &w.type, e)) return false;
	w.whole = describes_itself(name);
	char *config = family_to_json(f);
	w.out = config ? weights_writer_new(path, e) : NULL;
	if (!config) fail(e, NO_MEMORY, "out of memory");
	if (w.out) {
		weights_writer_metadata(w.out, "format", "pt", e);
		if (!w.alone) weights_writer_metadata(w.out, "sumi.config", config, e);
		each_parameter(f, declare, &w);
		if (listener && listener->progress) listener->progress(listener->context, "write", 0, w.all);
		each_parameter(f, write_one, &w);
	}
	free(config);
	if (w.out && !failed(e)) return weights_writer_finish(w.out, e);
	weights_writer_abort(w.out);
	return false;
}
