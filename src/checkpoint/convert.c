/* convert.c - sumi_convert, and a model as one file: which of its tensors go where. */
#include "checkpoint/conversion.h"
#include "checkpoint/files.h"
#include "checkpoint/merge.h"
#include "checkpoint/types.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ── what is left out ── */

void conversion_mark(conversion *c, const weight *w)
{
	for (size_t i = 0; i < checkpoint_count(c->from); i++)
		if (checkpoint_at(c->from, i, NULL) == w) c->used[i] = true;
}

void conversion_report(const conversion *c, const sumi_listener *l)
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

output *conversion_add(conversion *c, const char *name, shape s)
{
	int64_t axes[MAX_DIMS];
	for (int i = 0; i < s.n; i++) axes[i] = s.d[i];
	return outputs_add(c->out, name, s.n, axes, c->e);
}

bool conversion_take(conversion *c, output *t, const weight *w, const key_piece *p, size_t first, size_t count)
{
	size_t half = count / 2;
	if (!p->swapped) return output_take(c->out, t, w, first, count, c->e);
	return output_take(c->out, t, w, first + half, count - half, c->e) && output_take(c->out, t, w, first, half, c->e);
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

/* Those that the file, or the folder, has by its own names. */
static int pieces_of_file(const conversion *c, const parameter *p, key_piece *pieces, const weight **w)
{
	const component *y = checkpoint_component(c->from, c->role);
	return component_pieces(y, checkpoint_family(c->from), c->role, p->name, p->shape, pieces, w);
}

/* A parameter of the single file from what the checkpoint has of it. */
static void join_pieces(void *context, const parameter *p)
{
	conversion *c = context;
	key_piece pieces[MAX_PIECES];
	const weight *w[MAX_PIECES] = { failed(c->e) ? NULL : checkpoint_find(c->from, p->name) };
	if (failed(c->e)) return;
	int n = w[0] ? one_piece(pieces, p->shape) : pieces_of_file(c, p, pieces, w);
	if (!n) n = pieces_of_text(c, p, pieces, w);
	if (!n && !p->optional) fail(c->e, BAD_FILE, "no tensor '%s'", p->name);
	bool whole = n == 1 && !shape_agrees(w[0], pieces[0].shape); /* as it is, then */
	output *t = !n      ? NULL
	            : whole ? outputs_add(c->out, p->name, w[0]->ndims, w[0]->shape, c->e)
	                    : conversion_add(c, p->name, p->shape);
	for (int i = 0; t && i < n; i++) {
		size_t count = whole ? weight_elements(w[i]) : shape_count(pieces[i].shape);
		if (count != weight_elements(w[i]))
			fail(c->e, BAD_FILE, "'%s' has %zu elements, expected %zu", w[i]->name, weight_elements(w[i]), count);
		else
			conversion_take(c, t, w[i], &pieces[i], 0, count);
		if (pieces[i].transposed) output_transpose(t);
		conversion_mark(c, w[i]);
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
	outputs out = { .type = type, .gguf = is_gguf_path(c->to) };
	c->out = &out;
	bool fine = collect_single(c);
	char *config = fine ? family_to_json(&c->family) : NULL;
	if (fine && !config) fine = fail(c->e, NO_MEMORY, "out of memory");
	const char *metadata[][2] = { { "format", "pt" }, { "sumi.config", config },
		{ "sumi.vocabulary", checkpoint_metadata(c->from, "sumi.vocabulary") }, { NULL, NULL } };
	outputs_progress p = { l, 0, (int)out.count };
	fine = fine && (c->clamp || outputs_fit(&out, c->e)) &&
	       outputs_write(&out, c->to, (const char *const(*)[2])metadata, c->from, &p, c->e);
	if (fine) conversion_report(c, l);
	free(config);
	outputs_free(&out);
	return fine;
}

static bool convert_open(
    checkpoint *in, const char *to, const sumi_convert_options *o, bool folder, dtype type, error *e)
{
	const sumi_listener *l = o->listener;
	if (o->lora_count && !checkpoint_merge(in, o->loras, o->lora_count, type == F32, l, e)) return false;
	conversion c = { .from = in, .to = to, .clamp = o->clamp, .max_shard = o->max_shard, .e = e };
	c.used = calloc(checkpoint_count(in) + 1, sizeof(bool));
	bool fine = c.used ? (folder ? convert_to_folder : to_single)(&c, type, l) : fail(e, NO_MEMORY, "out of memory");
	free(c.used);
	return fine;
}

bool file_convert(const char *from, const char *to, const sumi_convert_options *o, error *e)
{
	dtype wanted = NO_DTYPE;
	bool folder = o->layout ? !strcasecmp(o->layout, "diffusers") : to[0] && to[strlen(to) - 1] == '/';
	if (o->layout && !folder && strcasecmp(o->layout, "single"))
		return fail(e, BAD_USAGE, "layout '%.40s' is neither single nor diffusers", o->layout);
	if (o->type && !file_type_from_name(o->type, !folder && is_gguf_path(to), &wanted, e)) return false;
	checkpoint *in = checkpoint_open(from, e);
	bool fine = in && convert_open(in, to, o, folder, wanted, e);
	checkpoint_close(in);
	return fine;
}
