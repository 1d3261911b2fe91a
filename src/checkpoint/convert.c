/* convert.c - sumi_convert: which tensors of a model go where in another file or folder. */
#include "base/file.h"
#include "models/diffusers.h"
#include "checkpoint/files.h"
#include "checkpoint/outputs.h"
#include "checkpoint/types.h"
#include "text/byte_pair.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

typedef struct conversion {
	const checkpoint *from;
	const char *to;
	family family; /* as it is written */
	role role;
	outputs *out;
	bool *used; /* by place in `from` */
	bool clamp;
	error *e;
} conversion;

/* ── what is left out ── */

static void mark(conversion *c, const weight *w)
{
	for (size_t i = 0; i < checkpoint_count(c->from); i++)
		if (checkpoint_at(c->from, i, NULL) == w) c->used[i] = true;
}

static void tell_unused(const conversion *c, const sumi_listener *l)
{
	const char *key, *first = NULL;
	char text[400];
	int count = 0;
	for (size_t i = 0; i < checkpoint_count(c->from); i++) {
		checkpoint_at(c->from, i, &key);
		if (c->used[i] || family_ignores(checkpoint_family(c->from), key)) continue;
		if (!count++) first = key;
	}
	if (!count || !l || !l->note) return;
	snprintf(
	    text, sizeof text, "%d tensors have no place in that layout and are left out, such as %.200s", count, first);
	l->note(l->context, SUMI_WARNING, text);
}

/* ── to one file ── */

static output *add_output(conversion *c, const char *name, shape s)
{
	int64_t axes[MAX_DIMS];
	for (int i = 0; i < s.n; i++) axes[i] = s.d[i];
	return outputs_add(c->out, name, s.n, axes, c->e);
}

/* The pieces of which an encoder in OpenCLIP's layout is made where it lies in Hugging Face's names. */
static int pieces_of_text(const conversion *c, const parameter *p, key_piece *pieces, const weight **w)
{
	const family *f = checkpoint_family(c->from);
	char key[512];
	int n = c->role < TEXT_ENCODER ? 0 : diffusers_pieces(&c->family, c->role, p->name, p->shape, pieces);
	for (int i = 0; i < n; i++) {
		const char *prefix = f->prefix[c->role];
		int length = snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", pieces[i].name);
		if (length >= (int)sizeof key || !(w[i] = checkpoint_find(c->from, key))) return 0;
	}
	return n;
}

/* A parameter of the single file from what the checkpoint has of it. */
static void join_pieces(void *context, const parameter *p)
{
	conversion *c = context;
	key_piece pieces[MAX_PIECES];
	const weight *w[MAX_PIECES] = { failed(c->e) ? NULL : checkpoint_find(c->from, p->name) };
	if (failed(c->e)) return;
	int n = w[0] ? one_piece(pieces, p->shape) : pieces_of_text(c, p, pieces, w);
	if (!n && !p->optional) fail(c->e, BAD_FILE, "no tensor '%s'", p->name);
	bool whole = n == 1 && !shape_agrees(w[0], pieces[0].shape); /* as it is, then */
	output *t = !n      ? NULL
	            : whole ? outputs_add(c->out, p->name, w[0]->ndims, w[0]->shape, c->e)
	                    : add_output(c, p->name, p->shape);
	for (int i = 0; t && i < n; i++) {
		size_t count = whole ? weight_elements(w[i]) : shape_count(pieces[i].shape);
		if (count != weight_elements(w[i]))
			fail(c->e, BAD_FILE, "'%s' has %zu elements, expected %zu", w[i]->name, weight_elements(w[i]), count);
		else
			output_take(c->out, t, w[i], 0, count, c->e);
		t->transposed = pieces[i].transposed;
		mark(c, w[i]);
	}
}

/* What no network reads goes along from one file to another. */
static bool copy_others(conversion *c)
{
	const char *key;
	for (size_t i = 0; !checkpoint_is_folder(c->from) && i < checkpoint_count(c->from); i++) {
		const weight *w = checkpoint_at(c->from, i, &key);
		if (c->used[i]) continue;
		output *t = outputs_add(c->out, key, w->ndims, w->shape, c->e);
		if (!t || !output_take(c->out, t, w, 0, weight_elements(w), c->e)) return false;
		c->used[i] = true;
	}
	return true;
}

static bool collect_single(conversion *c)
{
	c->family = single_layout(checkpoint_family(c->from));
	for (c->role = 0; c->role < FAMILY_ROLES && !failed(c->e); c->role++)
		if (checkpoint_component(c->from, c->role)->from) family_parameters(&c->family, c->role, join_pieces, c, c->e);
	return !failed(c->e) && copy_others(c);
}

static bool to_single(conversion *c, dtype type, const sumi_listener *l)
{
	outputs out = { .type = type };
	c->out = &out;
	bool fine = collect_single(c);
	char *config = fine ? family_to_json(&c->family) : NULL;
	if (fine && !config) fine = fail(c->e, NO_MEMORY, "out of memory");
	const char *metadata[][2] = { { "format", "pt" }, { "sumi.config", config },
		{ "sumi.vocabulary", checkpoint_metadata(c->from, "sumi.vocabulary") }, { NULL, NULL } };
	outputs_progress p = { l, 0, (int)out.count };
	fine = fine && (c->clamp || outputs_fit(&out, c->e)) &&
	       outputs_write(&out, c->to, (const char *const(*)[2])metadata, c->from, &p, c->e);
	if (fine) tell_unused(c, l);
	free(config);
	outputs_free(&out);
	return fine;
}

/* ── to a folder ── */

/* A parameter of the single file as its pieces in the folder. */
static void part_pieces(void *context, const parameter *p)
{
	conversion *c = context;
	key_piece pieces[MAX_PIECES];
	const weight *w = failed(c->e) ? NULL : checkpoint_find(c->from, p->name);
	if (!w && !p->optional) fail(c->e, BAD_FILE, "no tensor '%s'", p->name);
	if (w && !p->buffer && !shape_agrees(w, p->shape)) fail(c->e, BAD_FILE, "'%s' has another shape", p->name);
	int n = w && !failed(c->e) ? diffusers_pieces(&c->family, c->role, p->name, p->shape, pieces) : 0;
	for (int i = 0; i < n; i++) {
		output *t = add_output(c, pieces[i].name, pieces[i].shape);
		size_t rows = p->shape.n ? (size_t)p->shape.d[0] : 1, row = weight_elements(w) / rows;
		if (!t || !output_take(c->out, t, w, (size_t)pieces[i].first * row, (size_t)pieces[i].rows * row, c->e)) return;
		t->transposed = pieces[i].transposed;
		mark(c, w);
	}
}

/* OpenCLIP's encoder has no list of positions; Hugging Face's needs one. */
static void add_positions(void *context, const parameter *p)
{
	conversion *c = context;
	key_piece pieces[MAX_PIECES];
	if (!p->buffer || p->dtype != I64 || failed(c->e)) return;
	family g = diffusers_layout(&c->family);
	if (diffusers_pieces(&g, TEXT_ENCODER, p->name, p->shape, pieces) != 1) return;
	for (size_t i = 0; i < c->out->count; i++)
		if (!strcmp(c->out->list[i].name, pieces[0].name)) return;
	add_output(c, pieces[0].name, p->shape);
}

static bool collect_role(conversion *c, role r)
{
	c->role = r;
	if (!family_parameters(&c->family, r, part_pieces, c, c->e) || failed(c->e)) return false;
	family g = diffusers_layout(&c->family);
	return r != TEXT_ENCODER || (family_parameters(&g, r, add_positions, c, c->e) && !failed(c->e));
}

static bool join_path(char *path, const char *folder, const char *name, error *e)
{
	int n = snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return n < PATH_MAX || fail(e, BAD_FILE, "%.200s…: the path is too long", folder);
}

static bool make_folder(const char *path, error *e)
{
	return !mkdir(path, 0777) || errno == EEXIST ||
	       fail(e, errno_status(), "%s: cannot make this folder: %s", path, strerror(errno));
}

static bool make_folders(const char *to, error *e)
{
	static const char *const inner[] = { "unet", "vae", "text_encoder", "tokenizer", "scheduler" };
	char path[PATH_MAX];
	if (!make_folder(to, e)) return false;
	for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
		if (!join_path(path, to, inner[i], e) || !make_folder(path, e)) return false;
	return true;
}

static bool write_text(void *context, const char *name, const char *text, error *e)
{
	char path[PATH_MAX];
	return join_path(path, context, name, e) && write_file(path, text, strlen(text), e);
}

static bool write_tokenizer(const char *to, error *e)
{
	char *vocabulary = byte_pair_vocabulary(e), *merges = vocabulary ? byte_pair_merges(e) : NULL;
	bool fine = merges && write_text((void *)to, "tokenizer/vocab.json", vocabulary, e) &&
	            write_text((void *)to, "tokenizer/merges.txt", merges, e);
	free(vocabulary);
	free(merges);
	return fine;
}

static bool no_file(void *context, const char *name, const char *text, error *e)
{
	(void)context, (void)name, (void)text, (void)e;
	return true;
}

/* model_index.json comes last, so a folder that has one is whole. */
static bool to_folder(conversion *c, dtype type, const sumi_listener *l)
{
	static const char *const names[FAMILY_ROLES] = { "unet/diffusion_pytorch_model.safetensors",
		"vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors" };
	static const char *const metadata[][2] = { { "format", "pt" }, { NULL, NULL } };
	outputs out[FAMILY_ROLES] = { { .type = type }, { .type = type }, { .type = type } };
	outputs_progress progress = { l, 0, 0 };
	char path[PATH_MAX];
	c->family = diffusers_part(checkpoint_family(c->from));
	bool fine = diffusers_configurations(&c->family, no_file, NULL, c->e);
	for (role r = 0; fine && r < FAMILY_ROLES; r++) {
		c->out = &out[r];
		fine = collect_role(c, r);
		progress.all += (int)out[r].count;
	}
	for (role r = 0; fine && !c->clamp && r < FAMILY_ROLES; r++) fine = outputs_fit(&out[r], c->e);
	fine = fine && make_folders(c->to, c->e) && write_tokenizer(c->to, c->e);
	for (role r = 0; fine && r < FAMILY_ROLES; r++)
		fine = !family_has(&c->family, r) || (join_path(path, c->to, names[r], c->e) &&
		                                         outputs_write(&out[r], path, metadata, c->from, &progress, c->e));
	fine = fine && diffusers_configurations(&c->family, write_text, (void *)c->to, c->e);
	if (fine) tell_unused(c, l);
	for (role r = 0; r < FAMILY_ROLES; r++) outputs_free(&out[r]);
	return fine;
}

bool file_convert(const char *from, const char *to, const char *type, const char *layout, bool clamp,
    const sumi_listener *listener, error *e)
{
	dtype wanted = NO_DTYPE;
	bool folder = layout ? !strcasecmp(layout, "diffusers") : to[0] && to[strlen(to) - 1] == '/';
	if (layout && !folder && strcasecmp(layout, "single"))
		return fail(e, BAD_USAGE, "layout '%.40s' is neither single nor diffusers", layout);
	if (type && !type_from_name(type, &wanted, e)) return false;
	checkpoint *in = checkpoint_open(from, e);
	if (!in) return false;
	conversion c = {
		.from = in, .to = to, .clamp = clamp, .used = calloc(checkpoint_count(in) + 1, sizeof(bool)), .e = e
	};
	bool fine = c.used ? (folder ? to_folder : to_single)(&c, wanted, listener) : fail(e, NO_MEMORY, "out of memory");
	free(c.used);
	checkpoint_close(in);
	return fine;
}
