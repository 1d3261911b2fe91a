/* convert_folder.c - a model as a diffusers folder. */
#include "base/file.h"
#include "checkpoint/conversion.h"
#include "checkpoint/shards.h"
#include "text/byte_pair.h"
#include "text/unigram.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ── tensors ── */

/* A parameter of the single file as its pieces in the folder. */
static void part_whole(conversion *c, const parameter *p, const weight *w)
{
	key_piece pieces[MAX_PIECES];
	if (!p->buffer && !shape_agrees(w, p->shape)) fail(c->e, BAD_FILE, "'%s' has another shape", p->name);
	int n = failed(c->e) ? 0 : diffusers_pieces(&c->family, c->role, p->name, p->shape, pieces);
	for (int i = 0; i < n; i++) {
		output *t = conversion_add(c, pieces[i].name, pieces[i].shape);
		size_t rows = p->shape.n ? (size_t)p->shape.d[0] : 1, row = weight_elements(w) / rows;
		if (!t || !conversion_take(c, t, w, &pieces[i], (size_t)pieces[i].first * row, (size_t)pieces[i].rows * row))
			return;
		if (pieces[i].transposed) output_transpose(t);
		conversion_mark(c, w);
	}
}

/* From another folder: what is in pieces there stays so. */
static void copy_pieces(conversion *c, const parameter *p)
{
	key_piece there[MAX_PIECES], here[MAX_PIECES];
	const weight *w[MAX_PIECES];
	const component *y = checkpoint_component(c->from, c->role);
	int n = component_pieces(y, checkpoint_family(c->from), c->role, p->name, p->shape, there, w);
	if (!n && !p->optional) fail(c->e, BAD_FILE, "no tensor '%s'", p->name);
	if (!n || diffusers_pieces(&c->family, c->role, p->name, p->shape, here) != n) return;
	for (int i = 0; i < n; i++) {
		if (!shape_agrees(w[i], there[i].shape)) {
			fail(c->e, BAD_FILE, "'%s' has another shape", w[i]->name);
			return;
		}
		output *t = conversion_add(c, here[i].name, here[i].shape);
		if (!t || !output_take(c->out, t, w[i], 0, weight_elements(w[i]), c->e)) return;
		conversion_mark(c, w[i]);
	}
}

static void part_pieces(void *context, const parameter *p)
{
	conversion *c = context;
	if (failed(c->e)) return;
	const weight *w = checkpoint_find(c->from, p->name);
	if (w)
		part_whole(c, p, w);
	else
		copy_pieces(c, p);
}

/* OpenCLIP's encoder has no list of positions; Hugging Face's needs one. */
static void add_positions(void *context, const parameter *p)
{
	conversion *c = context;
	key_piece pieces[MAX_PIECES];
	if (!p->buffer || p->dtype != I64 || failed(c->e)) return;
	family g = diffusers_layout(&c->family);
	if (diffusers_pieces(&g, c->role, p->name, p->shape, pieces) != 1) return;
	for (size_t i = 0; i < c->out->count; i++)
		if (!strcmp(c->out->list[i].name, pieces[0].name)) return;
	conversion_add(c, pieces[0].name, p->shape);
}

static bool collect_role(conversion *c)
{
	if (!family_parameters(&c->family, c->role, part_pieces, c, c->e) || failed(c->e)) return false;
	family g = diffusers_layout(&c->family);
	return c->role < TEXT_ENCODER || (family_parameters(&g, c->role, add_positions, c, c->e) && !failed(c->e));
}

/* ── files ── */

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

/* Also the folder that it is for. */
static bool write_text(void *context, const char *name, const char *text, error *e)
{
	char path[PATH_MAX];
	if (!join_path(path, context, name, e)) return false;
	char *slash = strrchr(path, '/');
	*slash = 0;
	if (!make_folder(path, e)) return false;
	*slash = '/';
	return write_file(path, text, strlen(text), e);
}

/* The caller's text, which is freed; NULL: its making has failed. */
static bool write_made(const char *to, const char *folder, const char *name, char *text, error *e)
{
	char path[PATH_MAX];
	bool fine = text && join_path(path, folder, name, e) && write_text((void *)(uintptr_t)to, path, text, e);
	free(text);
	return fine;
}

static bool write_tokenizers(const conversion *c, error *e)
{
	static const char *const folders[] = { "tokenizer", "tokenizer_2", "tokenizer_3" };
	bool fine = true;
	for (role r = TEXT_ENCODER; fine && r < FAMILY_ROLES; r++) {
		if (!family_has(&c->family, r)) continue;
		const char *folder = folders[diffusers_number(&c->family, r)];
		if (c->family.text[r - TEXT_ENCODER].kind == T5_TEXT)
			fine = write_made(c->to, folder, "tokenizer.json", unigram_json(e), e);
		else
			fine = write_made(c->to, folder, "vocab.json", byte_pair_vocabulary(e), e) &&
			       write_made(c->to, folder, "merges.txt", byte_pair_merges(e), e);
	}
	return fine;
}

static bool no_file(void *context, const char *name, const char *text, error *e)
{
	(void)context, (void)name, (void)text, (void)e;
	return true;
}

/* A text encoder that published files leave out may be missing. */
static bool is_written(const conversion *c, role r)
{
	if (!family_has(&c->family, r)) return false;
	return !family_apart(&c->family, r) || checkpoint_component(c->from, r)->from;
}

static bool write_weights(const conversion *c, const outputs *out, role r, outputs_progress *progress)
{
	char path[PATH_MAX];
	if (!join_path(path, c->to, diffusers_folder(&c->family, r), c->e) || !make_folder(path, c->e)) return false;
	const char *name = r < TEXT_ENCODER ? "diffusion_pytorch_model" : "model";
	return shards_write(out, path, name, c->max_shard, c->from, progress, c->e);
}

/* model_index.json comes last, so a folder that has one is whole. */
bool convert_to_folder(conversion *c, dtype type, const sumi_listener *l)
{
	outputs out[FAMILY_ROLES] = { 0 };
	outputs_progress progress = { l, 0, 0 };
	bool there[TEXT_ENCODERS];
	c->family = diffusers_part(checkpoint_family(c->from));
	for (int i = 0; i < TEXT_ENCODERS; i++) there[i] = is_written(c, (role)(TEXT_ENCODER + i));
	bool fine = diffusers_configurations(&c->family, there, no_file, NULL, c->e);
	for (c->role = 0; fine && c->role < FAMILY_ROLES; c->role++) {
		c->out = &out[c->role];
		c->out->type = type;
		fine = !is_written(c, c->role) || collect_role(c);
		progress.all += (int)c->out->count;
	}
	for (role r = 0; fine && !c->clamp && r < FAMILY_ROLES; r++) fine = outputs_fit(&out[r], c->e);
	fine = fine && make_folder(c->to, c->e) && write_tokenizers(c, c->e);
	for (role r = 0; fine && r < FAMILY_ROLES; r++) fine = !is_written(c, r) || write_weights(c, &out[r], r, &progress);
	fine = fine && diffusers_configurations(&c->family, there, write_text, (void *)(uintptr_t)c->to, c->e);
	if (fine) conversion_report(c, l);
	for (role r = 0; r < FAMILY_ROLES; r++) outputs_free(&out[r]);
	return fine;
}
