/* stage.c - build, compile, allocate, run, free. */
#include "pipeline/stage.h"
#include <string.h>

/* The weights that a graph reads: an adapter's, or the model's. */
typedef struct binding {
	const model *m;
	adaptation adapters;
	const control_file *control;
	const ip_adapter_file *const *ip_adapters;
} binding;

static bool bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const binding *b = context;
	if (b->control) return control_bind(b->control, name, s, d, data, e);
	for (int i = 0; i < MOST_IP_ADAPTERS && b->ip_adapters[i] && !failed(e); i++)
		if (ip_adapter_bind(b->ip_adapters[i], i, name, s, d, data, e)) return true;
	if (failed(e)) return false;
	return lora_bind(b->adapters.list, b->adapters.count, name, d, data) ||
	       model_bind((void *)(uintptr_t)b->m, name, s, d, data, e);
}

bool stage_compile(stage *s, const model *m, adaptation a, build_fn *build, const void *shapes, error *e)
{
	binding b = { m, a, s->control, s->ip_adapters };
	s->g = graph_new(m->compute);
	if (!s->g) return fail(e, NO_MEMORY, "out of memory");
	nn n = {
		.g = s->g, .adapters = a.list, .adapter_count = a.count, .wide_sums = true, .pieces = model_pieces, .file = m
	};
	build(&n, m, s, shapes);
	keep(s->g, s->out);
	if (s->maps.all) keep(s->g, s->maps.all);
	if (s->feature) keep(s->g, s->feature);
	return graph_bind(s->g, bind, &b, e) && graph_compile(s->g, m->backend, m->threads, e);
}

static void unused(void *context, const void *data, size_t bytes)
{
	const binding *b = context;
	if (b->control)
		control_unused(b->control, data, bytes);
	else
		model_unused((void *)(uintptr_t)b->m, data, bytes);
	for (int i = 0; i < MOST_IP_ADAPTERS && b->ip_adapters[i]; i++) ip_adapter_unused(b->ip_adapters[i], data, bytes);
}

bool stage_allocate(stage *s, const model *m, const watcher *w, error *e)
{
	binding b = { .m = m, .control = s->control, .ip_adapters = s->ip_adapters };
	char steps[300];
	if (graph_fallbacks(s->g, steps, sizeof steps))
		watcher_note(w, SUMI_DETAIL, "%s: on the CPU, over copies: %s", s->name, steps);
	return watcher_progress(w, "load", 0, 1, e) && graph_allocate(s->g, unused, &b, e) &&
	       watcher_progress(w, "load", 1, 1, e);
}

bool stage_run(stage *s, error *e) { return graph_run(s->g, NULL, NULL, e); }

void stage_free(stage *s)
{
	graph_free(s->g);
	stage left = { .name = s->name, .control = s->control };
	memcpy(left.ip_adapters, s->ip_adapters, sizeof left.ip_adapters);
	*s = left;
}

/* Of values, or of what folding the weights needs. */
static uint64_t work_bytes(const stage *s)
{
	uint64_t values = graph_arena_bytes(s->g), setup = graph_setup_bytes(s->g);
	return values > setup ? values : setup;
}

uint64_t stage_bytes(const stage *s) { return s->g ? graph_constant_bytes(s->g) + work_bytes(s) : 0; }

bool stage_stream(stage *s, uint64_t most, error *e)
{
	uint64_t work = work_bytes(s);
	return stage_bytes(s) <= most || graph_stream(s->g, most > work ? (size_t)(most - work) : 0, e);
}

size_t stage_count(const stage *s, tensor t) { return shape_count(shape_of(s->g, t)); }

bool stage_write(const stage *s, tensor input, const float *values, error *e)
{
	return graph_write_floats(s->g, input, values, e);
}

bool stage_write_ids(const stage *s, tensor input, const int32_t *ids, error *e)
{
	return graph_write(s->g, input, ids, e);
}

bool stage_read(const stage *s, float *values, error *e) { return graph_read_floats(s->g, s->out, values, e); }
