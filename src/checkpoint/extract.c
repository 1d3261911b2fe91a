/* extract.c - modules by kohya's or PEFT's names: those of the tuned checkpoint, found in the base by the same names,
 * whatever layout either has. Two passes over the files: which modules differ, and then their factors, one by one as
 * they are written, so that no more than one difference lies in memory. */
#include "checkpoint/extract.h"
#include "base/buffer.h"
#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/low_rank.h"
#include "checkpoint/types.h"
#include "models/lora_names.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct module {
	char key[sizeof((key_piece *)0)->name]; /* as the file spells it */
	lora_target in[2];
	int rows, columns, rank;
	int axes[MAX_DIMS], axis_count; /* of the weight, its own rows alone */
	low_rank_share share;
} module;

typedef struct extraction {
	const char *path[2]; /* tuned, base */
	checkpoint *c[2];
	lora_names *names[2];
	const sumi_extract_options *o;
	lora_spelling spelling;
	dtype type;
	module *list;
	int count, capacity;
	int visited, total; /* parameters of the tuned */
	double taken, left_blocks,
	    left_others; /* squared sizes of differences: in modules; in residual blocks; elsewhere */
	int left_count;  /* tensors that differ and are left out */
	const watcher *w;
	error *e;
} extraction;

enum { TUNED, BASE };

/* ── values ── */

/* Rows `first` … of a parameter, in the order of the single-file layout, as floats; *type is the file's. */
static bool read_rows(const extraction *x, int which, const char *name, shape s, int first, int rows, float *out,
    dtype *type, bool *found)
{
	const checkpoint *c = x->c[which];
	const family *f = checkpoint_family(c);
	role r = family_role_of(f, name);
	key_piece pieces[MAX_PIECES];
	const weight *w[MAX_PIECES];
	int count = component_pieces(checkpoint_component(c, r), f, r, name, s, pieces, w);
	size_t width = shape_count(s) / (size_t)s.d[0];
	*found = count > 0;
	for (int i = 0; i < count; i++) {
		const key_piece *p = &pieces[i];
		if (!dtype_is_float(w[i]->dtype) || p->transposed || weight_elements(w[i]) != (size_t)p->rows * width)
			return fail(x->e, BAD_FILE, "%s: '%s' is not of %d rows of %zu floating-point values", x->path[which],
			    w[i]->name, p->rows, width);
		*type = w[i]->dtype;
		for (int k = 0; k < p->rows; k++) {
			int to = p->first + k - first, from = p->swapped ? (k + p->rows / 2) % p->rows : k;
			if (to >= 0 && to < rows)
				convert_from(out + (size_t)to * width, F32, w[i]->data, *type, (size_t)from * width, width);
		}
		checkpoint_advise_unused(c, w[i]->data, w[i]->bytes);
	}
	return true;
}

/* How far a value may lie from another of which it is the rounded copy: half a step of the type, as a share of the
 * value and, of the smallest values, as it is. */
static void rounding_of(dtype d, double *relative, double *absolute)
{
	*relative = d == F16 ? 0x1p-11 : d == BF16 ? 0x1p-8 : d == F8_E4M3 ? 0x1p-4 : d == F8_E5M2 ? 0x1p-3 : 0x1p-24;
	*absolute = d == F16 ? 0x1p-25 : d == F8_E4M3 ? 0x1p-10 : d == F8_E5M2 ? 0x1p-17 : 0;
}

/* a −= b. Gives the squared size of the difference: 0 where it is no more than what the coarser of two types rounds. */
static double subtract(float *a, const float *b, size_t n, dtype type, dtype other)
{
	double relative, absolute, relative_b, absolute_b, square = 0;
	bool rounded = type != other;
	rounding_of(type, &relative, &absolute);
	rounding_of(other, &relative_b, &absolute_b);
	relative = 1.001 * fmax(relative, relative_b);
	absolute = fmax(absolute, absolute_b);
	for (size_t i = 0; i < n; i++) {
		double d = (double)a[i] - (double)b[i];
		rounded = rounded && fabs(d) <= fmax(relative * fmax(fabs((double)a[i]), fabs((double)b[i])), absolute);
		a[i] = (float)d;
		square += d * d;
	}
	return rounded ? 0 : square;
}

/* The module's difference [rows,columns], which the caller frees, and its squared size; NULL: failed. */
static float *difference_of(const extraction *x, const module *m, double *square)
{
	size_t n = (size_t)m->rows * (size_t)m->columns;
	float *values[2] = { malloc(n * sizeof(float)), malloc(n * sizeof(float)) };
	dtype types[2] = { F32, F32 };
	bool found = true, fine = (values[0] && values[1]) || fail(x->e, NO_MEMORY, "no memory for '%s'", m->key);
	for (int i = 0; i < 2 && fine; i++) {
		const lora_target *t = &m->in[i];
		fine = read_rows(x, i, t->weight, t->shape, t->first, m->rows, values[i], &types[i], &found) &&
		       (found || fail(x->e, BAD_FILE, "%s: no tensor '%s'", x->path[i], t->weight));
	}
	if (fine) *square = subtract(values[0], values[1], n, types[TUNED], types[BASE]);
	free(values[1]);
	if (fine) return values[0];
	free(values[0]);
	return NULL;
}

/* ── which modules ── */

static bool is_taken(const extraction *x, lora_layer layer)
{
	if (layer == LORA_OF_RESIDUAL_BLOCK) return x->o->conv_rank > 0;
	return layer != NO_LORA_LAYER && (layer != LORA_OF_OTHER || x->o->all_layers);
}

/* What the piece of the tuned parameter is in both files; false: the base has no such module, or failed. */
static bool find_module(const extraction *x, const key_piece *p, module *m)
{
	memcpy(m->key, p->name, sizeof m->key);
	for (int i = 0; i < 2; i++) {
		lora_target t = m->in[i] = lora_names_find(x->names[i], p->name);
		const family *f = checkpoint_family(x->c[i]);
		if (!t.weight || !checkpoint_component(x->c[i], family_role_of(f, t.weight))->from) return false;
	}
	const lora_target *t = &m->in[TUNED], *b = &m->in[BASE];
	m->axis_count = t->shape.n;
	memcpy(m->axes, t->shape.d, sizeof m->axes);
	m->axes[0] = m->rows = t->rows ? t->rows : t->shape.d[0];
	m->columns = (int)(shape_count(t->shape) / (size_t)t->shape.d[0]);
	int rows = b->rows ? b->rows : b->shape.d[0];
	if (rows != m->rows || shape_count(b->shape) / (size_t)b->shape.d[0] != (size_t)m->columns)
		return fail(x->e, BAD_FILE,
		    "%s and %s are models of different kinds: %s is %d×%d in one and %d×%zu in the other", x->path[TUNED],
		    x->path[BASE], m->key, m->rows, m->columns, rows, shape_count(b->shape) / (size_t)b->shape.d[0]);
	bool point = t->shape.n == 2 || (t->shape.d[2] == 1 && t->shape.d[3] == 1);
	m->rank = point ? x->o->rank : x->o->conv_rank;
	if (m->rank > m->rows) m->rank = m->rows;
	if (m->rank > m->columns) m->rank = m->columns;
	return true;
}

static bool add_module(extraction *x, const module *m)
{
	if (x->count == x->capacity) {
		int capacity = x->capacity ? 2 * x->capacity : 256;
		module *list = realloc(x->list, (size_t)capacity * sizeof *list);
		if (!list) return fail(x->e, NO_MEMORY, "no memory for the modules of a LoRA");
		x->list = list;
		x->capacity = capacity;
	}
	x->list[x->count++] = *m;
	return true;
}

/* A parameter that no module holds: how far it has moved, if both files have it under one name. */
static void note_left(extraction *x, const parameter *p, lora_layer layer)
{
	size_t n = shape_count(p->shape);
	float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
	dtype types[2] = { F32, F32 };
	bool found[2] = { false, false };
	role r = family_role_of(checkpoint_family(x->c[BASE]), p->name);
	if (!a || !b)
		fail(x->e, NO_MEMORY, "no memory for '%s'", p->name);
	else if (r < FAMILY_ROLES && checkpoint_component(x->c[BASE], r)->from &&
	         read_rows(x, TUNED, p->name, p->shape, 0, p->shape.d[0], a, &types[0], &found[0]) &&
	         read_rows(x, BASE, p->name, p->shape, 0, p->shape.d[0], b, &types[1], &found[1]) && found[0] && found[1]) {
		double square = subtract(a, b, n, types[0], types[1]);
		*(layer == LORA_OF_RESIDUAL_BLOCK ? &x->left_blocks : &x->left_others) += square;
		x->left_count += square > 0;
	}
	free(a);
	free(b);
}

static void count_one(void *context, const parameter *p)
{
	extraction *x = context;
	(void)p;
	x->total++;
}

static void visit(void *context, const parameter *p)
{
	extraction *x = context;
	key_piece pieces[MAX_PIECES];
	const family *f = checkpoint_family(x->c[TUNED]);
	if (failed(x->e) || !watcher_progress(x->w, "compare", ++x->visited, x->total, x->e) || p->buffer) return;
	lora_layer layer = lora_layer_of(f, p->name, p->shape);
	int count = is_taken(x, layer) ? lora_modules_of(f, p->name, p->shape, x->spelling, pieces) : 0;
	int found = 0;
	for (int i = 0; i < count && !failed(x->e); i++) {
		module m = { .share = { 0 } };
		double square = 0;
		if (!find_module(x, &pieces[i], &m)) continue;
		found++;
		float *d = difference_of(x, &m, &square);
		free(d);
		x->taken += square;
		if (d && square > 0) add_module(x, &m);
	}
	if (!found && !failed(x->e) && p->shape.n && p->dtype == F32) note_left(x, p, layer);
}

static bool each_parameter(extraction *x, parameter_fn *each)
{
	const family *f = checkpoint_family(x->c[TUNED]);
	bool fine = true;
	for (role r = 0; fine && r < FAMILY_ROLES; r++)
		if (r != AUTOENCODER && checkpoint_component(x->c[TUNED], r)->from)
			fine = family_parameters(f, r, each, x, x->e) && !failed(x->e);
	return fine;
}

/* ── the file ── */

static bool declare(const extraction *x, weights_writer *w)
{
	char key[340];
	bool kohya = x->spelling == KOHYA_NAMES;
	for (int i = 0; i < x->count; i++) {
		const module *m = &x->list[i];
		int64_t up[MAX_DIMS] = { m->rows, m->rank, 1, 1 }, down[MAX_DIMS] = { m->rank };
		for (int k = 1; k < m->axis_count; k++) down[k] = m->axes[k];
		snprintf(key, sizeof key, "%s.%s.weight", m->key, kohya ? "lora_down" : "lora_A");
		if (!weights_writer_declare(w, key, x->type, m->axis_count, down, x->e)) return false;
		snprintf(key, sizeof key, "%s.%s.weight", m->key, kohya ? "lora_up" : "lora_B");
		if (!weights_writer_declare(w, key, x->type, m->axis_count, up, x->e)) return false;
		snprintf(key, sizeof key, "%s.alpha", m->key);
		if (kohya && !weights_writer_declare(w, key, x->type, 0, NULL, x->e)) return false;
	}
	return true;
}

static bool put(const extraction *x, weights_writer *w, const float *values, size_t n)
{
	void *bytes = malloc(n * dtype_size(x->type));
	bool fine = bytes || fail(x->e, NO_MEMORY, "no memory to write %zu values", n);
	if (fine) convert(bytes, x->type, values, F32, n);
	fine = fine && weights_writer_append(w, bytes, n * dtype_size(x->type), x->e);
	free(bytes);
	return fine;
}

static void swap_halves(float *up, size_t rows, size_t rank)
{
	for (size_t i = 0; i < rows / 2 * rank; i++) {
		float kept = up[i];
		up[i] = up[i + rows / 2 * rank];
		up[i + rows / 2 * rank] = kept;
	}
}

static bool put_module(extraction *x, const lapack *l, weights_writer *w, module *m)
{
	size_t rows = (size_t)m->rows, columns = (size_t)m->columns, rank = (size_t)m->rank;
	double square;
	float alpha = (float)m->rank, *d = difference_of(x, m, &square);
	float *up = malloc(rows * rank * sizeof *up), *down = malloc(rank * columns * sizeof *down);
	bool fine = d && ((up && down) || fail(x->e, NO_MEMORY, "no memory for '%s'", m->key));
	fine = fine && low_rank(l, d, m->rows, m->columns, m->rank, up, down, &m->share, x->e);
	if (fine && m->in[TUNED].swapped) swap_halves(up, rows, rank);
	fine = fine && put(x, w, down, rank * columns) && put(x, w, up, rows * rank) &&
	       (x->spelling != KOHYA_NAMES || put(x, w, &alpha, 1));
	free(d);
	free(up);
	free(down);
	return fine;
}

/* What kohya's script writes, by which tools know the model's kind. */
static bool put_metadata(const extraction *x, weights_writer *w)
{
	const family *f = checkpoint_family(x->c[TUNED]);
	const char *kind = family_kohya_name(f);
	int rank = x->o->rank, conv = x->o->conv_rank;
	return weights_writer_say(
	           w, x->e, "ss_network_module", "%s", f->denoiser.kind == MMDIT ? "networks.lora_sd3" : "networks.lora") &&
	       weights_writer_say(w, x->e, "ss_network_dim", "%d", rank) &&
	       weights_writer_say(w, x->e, "ss_network_alpha", "%d", rank) &&
	       (!conv || weights_writer_say(
	                     w, x->e, "ss_network_args", "{\"conv_dim\": \"%d\", \"conv_alpha\": \"%d\"}", conv, conv)) &&
	       weights_writer_say(w, x->e, "ss_base_model_version", "%s", kind) &&
	       weights_writer_say(w, x->e, "ss_v2", "%s", strcmp(kind, "sd_v2") ? "False" : "True") &&
	       weights_writer_say(w, x->e, "sumi.version", "%s", SUMI_VERSION);
}

static bool write_all(extraction *x, const lapack *l, const char *path)
{
	weights_writer *w = weights_writer_new(path, x->e);
	bool fine = w && put_metadata(x, w) && declare(x, w);
	for (int i = 0; i < x->count && fine; i++)
		fine = watcher_progress(x->w, "extract", i, x->count, x->e) && put_module(x, l, w, &x->list[i]);
	if (fine) return weights_writer_finish(w, x->e);
	weights_writer_abort(w);
	return false;
}

/* ── the whole ── */

static double percent(double part, double all) { return all > 0 ? 100 * part / all : 0; }

static char *report_of(const extraction *x)
{
	double kept = 0, all = 0, moved = x->taken + x->left_blocks + x->left_others, left = moved - x->taken;
	const module *least = &x->list[0];
	char line[600];
	buffer text = { 0 };
	for (int i = 0; i < x->count; i++) {
		const module *m = &x->list[i];
		kept += m->share.kept;
		all += m->share.all;
		if (percent(m->share.kept, m->share.all) < percent(least->share.kept, least->share.all)) least = m;
	}
	snprintf(line, sizeof line, "%d layers: %.2f %% of their difference (squared) is kept; least, %.2f %%, of %s\n",
	    x->count, percent(kept, all), percent(least->share.kept, least->share.all), least->key);
	buffer_add_text(&text, line);
	snprintf(line, sizeof line, "%.2f %% of the whole difference is left out, in %d other tensors",
	    percent(left, moved), x->left_count);
	if (x->left_count) buffer_add_text(&text, line);
	snprintf(
	    line, sizeof line, "; %.2f %% in residual blocks (--conv-rank takes them)", percent(x->left_blocks, moved));
	if (x->left_blocks > 0 && !x->o->conv_rank) buffer_add_text(&text, line);
	if (x->left_count) buffer_add_text(&text, "\n");
	if (text.failed) free(text.data);
	return text.failed ? NULL : text.data;
}

static bool open_both(extraction *x)
{
	for (int i = 0; i < 2; i++)
		if (!(x->c[i] = checkpoint_open(x->path[i], x->e)) ||
		    !(x->names[i] = lora_names_new(checkpoint_family(x->c[i]), x->e)))
			return false;
	const family *a = checkpoint_family(x->c[TUNED]), *b = checkpoint_family(x->c[BASE]);
	return (a->denoiser.kind == b->denoiser.kind && a->conditioning == b->conditioning) ||
	       fail(x->e, BAD_FILE, "%s and %s are models of different kinds: %s and %s", x->path[TUNED], x->path[BASE],
	           a->name, b->name);
}

static bool run(extraction *x, const char *path, char **report)
{
	const lapack *l = lapack_load(x->e);
	if (!l || !check_writable(path, x->e) || !open_both(x) || !each_parameter(x, count_one) ||
	    !each_parameter(x, visit))
		return false;
	if (!x->count)
		return fail(x->e, BAD_FILE, "%s and %s do not differ in what a LoRA could hold", x->path[TUNED], x->path[BASE]);
	if (!write_all(x, l, path)) return false;
	return !report || (*report = report_of(x)) || fail(x->e, NO_MEMORY, "no memory for a report");
}

static bool read_options(extraction *x, error *e)
{
	const sumi_extract_options *o = x->o;
	const char *type = o->type ? o->type : "f16", *keys = o->keys ? o->keys : "kohya";
	if (o->rank < 1 || o->rank > 8192 || o->conv_rank < 0 || o->conv_rank > 8192)
		return fail(
		    e, BAD_USAGE, "rank %d, of convolutions %d: between 1 and 8192, and 0 and 8192", o->rank, o->conv_rank);
	if (strcmp(keys, "kohya") && strcmp(keys, "peft")) return fail(e, BAD_USAGE, "keys '%.40s': kohya or peft", keys);
	x->spelling = strcmp(keys, "peft") ? KOHYA_NAMES : PEFT_NAMES;
	return type_from_name(type, &x->type, e) && (x->type == F32 || x->type == F16 || x->type == BF16 ||
	                                                fail(e, BAD_USAGE, "a LoRA of type %.40s: f32, f16 or bf16", type));
}

bool file_extract(const char *tuned, const char *base, const char *path, const sumi_extract_options *o, char **report,
    const watcher *w, error *e)
{
	extraction x = { .path = { tuned, base }, .o = o, .w = w, .e = e };
	bool fine = read_options(&x, e) && run(&x, path, report);
	for (int i = 0; i < 2; i++) {
		lora_names_free(x.names[i]);
		checkpoint_close(x.c[i]);
	}
	free(x.list);
	return fine;
}
