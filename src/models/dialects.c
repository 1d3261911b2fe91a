/* dialects.c - the table of dialects. */
#include "models/dialects.h"
#include <stdio.h>
#include <string.h>

/* ── the table ── */

/* Where keys begin. A text encoder is distinguished from another by its names and shapes, so that its number does not
 * matter. */
static const struct {
	role of;
	const char *prefix;
} prefixes[] = {
	{ DENOISER, "model.diffusion_model." }, /* CompVis, Stability AI */
	{ DENOISER, "diffusion_model." },       /* ComfyUI's separate files */
	{ DENOISER, "unet." },                  /* a folder's names with the folder in front */
	{ DENOISER, "model." },
	{ DENOISER, "" }, /* a file of this component alone */
	{ AUTOENCODER, "first_stage_model." },
	{ AUTOENCODER, "vae." },
	{ AUTOENCODER, "autoencoder." },
	{ AUTOENCODER, "" },
	{ TEXT_ENCODER, "cond_stage_model.transformer." },   /* CompVis */
	{ TEXT_ENCODER, "cond_stage_model.model." },         /* Stability AI, SD 2 */
	{ TEXT_ENCODER, "cond_stage_model.1.transformer." }, /* stable-diffusion.cpp's SDXL */
	{ TEXT_ENCODER, "cond_stage_model." },
	{ TEXT_ENCODER, "conditioner.embedders.0.transformer." }, /* generative-models (SGM) */
	{ TEXT_ENCODER, "conditioner.embedders.0.model." },
	{ TEXT_ENCODER, "conditioner.embedders.1.model." },
	{ TEXT_ENCODER, "conditioner.embedders.1.transformer." },
	{ TEXT_ENCODER, "text_encoders.clip_l.transformer." }, /* SD 3 */
	{ TEXT_ENCODER, "text_encoders.clip_g.transformer." },
	{ TEXT_ENCODER, "text_encoders.clip_h.transformer." },
	{ TEXT_ENCODER, "text_encoders.t5xxl.transformer." },
	{ TEXT_ENCODER, "text_encoder." },
	{ TEXT_ENCODER, "text_encoder_2." },
	{ TEXT_ENCODER, "text_encoder_3." },
	{ TEXT_ENCODER, "clip_l." },
	{ TEXT_ENCODER, "clip_g." },
	{ TEXT_ENCODER, "t5xxl." },
	{ TEXT_ENCODER, "te." },
	{ TEXT_ENCODER, "te1." },
	{ TEXT_ENCODER, "te2." },
	{ TEXT_ENCODER, "transformer." },
	{ TEXT_ENCODER, "model." },
	{ TEXT_ENCODER, "" },
	{ TINY_AUTOENCODER, "" }, /* its own files */
	{ TINY_AUTOENCODER, "decoder." },
	{ TINY_AUTOENCODER, "taesd_decoder." },
	{ TINY_AUTOENCODER, "vae.decoder." },
	{ CONTROL, "control_model." }, /* lllyasviel's */
	{ CONTROL, "controlnet." },
	{ CONTROL, "" },
};

/* Which names may follow. */
static const struct {
	role of;
	naming names;
} namings[] = {
	{ DENOISER, ORIGINAL_NAMES },
	{ DENOISER, DIFFUSERS_NAMES },
	{ AUTOENCODER, ORIGINAL_NAMES },
	{ AUTOENCODER, DIFFUSERS_NAMES },
	{ TEXT_ENCODER, ORIGINAL_NAMES },
	{ TEXT_ENCODER, GGML_CLIP_NAMES },
	{ TEXT_ENCODER, BARE_CLIP_NAMES },
	{ TEXT_ENCODER, GGML_T5_NAMES },
	{ TINY_AUTOENCODER, ORIGINAL_NAMES },
	{ TINY_AUTOENCODER, DIFFUSERS_NAMES },
	{ CONTROL, ORIGINAL_NAMES },
	{ CONTROL, DIFFUSERS_NAMES },
};

enum { PREFIXES = sizeof prefixes / sizeof *prefixes, NAMINGS = sizeof namings / sizeof *namings };

static role table_role(role r) { return r > TEXT_ENCODER && r < FAMILY_ROLES ? TEXT_ENCODER : r; }

/* ── names ── */

/* Diffusers has no layer for the tiny decoder's clamp, so it counts one less. */
static int tiny_pieces(const char *name, shape s, key_piece *p)
{
	int index, at = 0;
	if (sscanf(name, "%d%n", &index, &at) != 1 || index < 1) return 0;
	snprintf(p->name, sizeof p->name, "layers.%d%s", index - 1, name + at);
	return one_piece(p, s);
}

static int bare_clip_pieces(const char *name, shape s, key_piece *p)
{
	static const char root[] = "text_model.";
	bool inside = !strncmp(name, root, sizeof root - 1);
	snprintf(p->name, sizeof p->name, "%s", inside ? name + sizeof root - 1 : name);
	return one_piece(p, s);
}

static int ggml_t5_pieces(const char *name, shape s, key_piece *p)
{
	static const char *const within[][2] = { { "layer.0.SelfAttention.q.weight", "attn_q.weight" },
		{ "layer.0.SelfAttention.k.weight", "attn_k.weight" }, { "layer.0.SelfAttention.v.weight", "attn_v.weight" },
		{ "layer.0.SelfAttention.o.weight", "attn_o.weight" },
		{ "layer.0.SelfAttention.relative_attention_bias.weight", "attn_rel_b.weight" },
		{ "layer.0.layer_norm.weight", "attn_norm.weight" }, { "layer.1.layer_norm.weight", "ffn_norm.weight" },
		{ "layer.1.DenseReluDense.wi_0.weight", "ffn_gate.weight" },
		{ "layer.1.DenseReluDense.wi_1.weight", "ffn_up.weight" },
		{ "layer.1.DenseReluDense.wo.weight", "ffn_down.weight" } };
	static const char *const whole[][2] = { { "shared.weight", "token_embd.weight" },
		{ "encoder.final_layer_norm.weight", "enc.output_norm.weight" } };
	int block, at = 0;
	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
		if (!strcmp(name, whole[i][0])) return snprintf(p->name, sizeof p->name, "%s", whole[i][1]), one_piece(p, s);
	if (sscanf(name, "encoder.block.%d.%n", &block, &at) != 1 || !at) return 0;
	for (size_t i = 0; i < sizeof within / sizeof *within; i++)
		if (!strcmp(name + at, within[i][0])) {
			snprintf(p->name, sizeof p->name, "enc.blk.%d.%s", block, within[i][1]);
			return one_piece(p, s);
		}
	return 0;
}

static const char ggml_projection[] = "text_model.text_projection";

static int ggml_clip_pieces(const family *f, role r, const char *key, shape s, key_piece *pieces)
{
	const text_config *t = &f->text[r - TEXT_ENCODER];
	if (t->kind != CLIP_TEXT || !t->clip.fused) return 0;
	if (strcmp(family_name_within(f, r, key), "text_projection")) return diffusers_pieces(f, r, key, s, pieces);
	memcpy(pieces->name, ggml_projection, sizeof ggml_projection);
	return one_piece(pieces, s);
}

static int named_pieces(naming names, const family *f, role r, const char *key, shape s, key_piece *pieces)
{
	const char *name = r < FAMILY_ROLES ? family_name_within(f, r, key) : key;
	if (names == BARE_CLIP_NAMES) return bare_clip_pieces(name, s, pieces);
	if (names == GGML_T5_NAMES) return ggml_t5_pieces(name, s, pieces);
	if (names == GGML_CLIP_NAMES) return ggml_clip_pieces(f, r, key, s, pieces);
	if (names == DIFFUSERS_NAMES)
		return r == TINY_AUTOENCODER ? tiny_pieces(name, s, pieces) : diffusers_pieces(f, r, key, s, pieces);
	return snprintf(pieces->name, sizeof pieces->name, "%s", name) < (int)sizeof pieces->name ? one_piece(pieces, s)
	                                                                                          : 0;
}

int dialect_pieces(const dialect *d, const family *f, role r, const char *key, shape s, key_piece pieces[MAX_PIECES])
{
	int count = named_pieces(d->names, f, r, key, s, pieces);
	for (int i = 0; i < count; i++) {
		size_t n = strlen(d->prefix), m = strlen(pieces[i].name);
		if (n + m >= sizeof pieces[i].name) return 0;
		memmove(pieces[i].name + n, pieces[i].name, m + 1);
		memcpy(pieces[i].name, d->prefix, n);
	}
	return count;
}

bool dialect_synonym(role r, const char *key, int i, char *other, size_t size)
{
	enum { SPELLINGS = 3 };
	static const char *const names[][SPELLINGS] = { { ".q.", ".to_q.", ".query." }, { ".k.", ".to_k.", ".key." },
		{ ".v.", ".to_v.", ".value." }, { ".proj_out.", ".to_out.0.", ".proj_attn." },
		{ ".norm.", ".group_norm.", ".group_norm." } };
	static const char shared[] = "shared.weight", copy[] = "encoder.embed_tokens.weight";
	size_t n = strlen(key);
	if (r >= TEXT_ENCODER && r < FAMILY_ROLES && i == 0 && n >= sizeof shared - 1 &&
	    !strcmp(key + n - (sizeof shared - 1), shared)) /* T5's table of tokens: files hold one of the two, or both */
		return snprintf(other, size, "%.*s%s", (int)(n - (sizeof shared - 1)), key, copy) < (int)size;
	if (r != AUTOENCODER || i < 0 || i >= SPELLINGS) return false;
	for (size_t row = 0; row < sizeof names / sizeof *names; row++)
		for (int k = 0; k < SPELLINGS; k++) {
			const char *at = strstr(key, names[row][k]);
			if (!at) continue;
			return snprintf(other, size, "%.*s%s%s", (int)(at - key), key, names[row][i], at + strlen(names[row][k])) <
			       (int)size;
		}
	return false;
}

/* ── finding ── */

/* A tensor by which the component is known: its key in the single-file layout, and its shape. */
static void landmark(const family *f, role r, char *key, size_t size, shape *s)
{
	const char *prefix = r < FAMILY_ROLES ? f->prefix[r] : "", *name = "";
	if (r == DENOISER) {
		name = denoiser_landmark(&f->denoiser, s);
	} else if (r == AUTOENCODER) {
		int width = f->autoencoder.channels * f->autoencoder.multiplier[f->autoencoder.levels - 1];
		name = "decoder.mid.block_1.conv1.weight";
		*s = shape4(width, width, 3, 3);
	} else if (r == TINY_AUTOENCODER) {
		name = "1.weight";
		*s = (shape){ .n = 4 };
	} else if (r == CONTROL) {
		name = "input_hint_block.0.weight";
		*s = (shape){ .n = 4 };
	} else {
		const text_config *t = &f->text[r - TEXT_ENCODER];
		name = text_table_name(t);
		*s = shape2(text_vocabulary(t), text_width(t));
	}
	snprintf(key, size, "%s%s%s", prefix, *prefix ? "." : "", name);
}

typedef enum likeness { ABSENT, MISSHAPEN, ALIKE } likeness;

static likeness look(const family *f, role r, const dialect *d, tensor_lookup *lookup, void *context)
{
	char key[256];
	shape s, found;
	dtype type;
	key_piece p[MAX_PIECES];
	char other[sizeof p[0].name];
	landmark(f, r, key, sizeof key, &s);
	if (dialect_pieces(d, f, r, key, s, p) != 1) return ABSENT;
	if (d->names == GGML_CLIP_NAMES) { /* its other tensors are Hugging Face's */
		snprintf(other, sizeof other, "%s%s", d->prefix, ggml_projection);
		if (!lookup(context, other, &type, &found, NULL)) return ABSENT;
	}
	bool there = lookup(context, p[0].name, &type, &found, NULL);
	for (int i = 0; !there && dialect_synonym(r, p[0].name, i, other, sizeof other); i++)
		there = lookup(context, other, &type, &found, NULL);
	if (!there) return ABSENT;
	return r >= FAMILY_ROLES || shape_alike(found, p[0].shape) ? ALIKE : MISSHAPEN;
}

bool dialect_matches(const family *f, role r, const dialect *d, tensor_lookup *lookup, void *context)
{
	return look(f, r, d, lookup, context) == ALIKE;
}

/* The best of all dialects: the family's own prefix comes first. */
static likeness search(const family *f, role r, tensor_lookup *lookup, void *context, dialect *d)
{
	likeness best = ABSENT;
	for (int i = r < FAMILY_ROLES ? -1 : 0; i < PREFIXES && best < ALIKE; i++) {
		dialect tried = { 0 };
		if (i >= 0 && prefixes[i].of != table_role(r)) continue;
		if (i >= 0)
			snprintf(tried.prefix, sizeof tried.prefix, "%s", prefixes[i].prefix);
		else
			snprintf(tried.prefix, sizeof tried.prefix, "%s%s", f->prefix[r], *f->prefix[r] ? "." : "");
		for (int k = 0; k < NAMINGS && best < ALIKE; k++) {
			if (namings[k].of != table_role(r)) continue;
			tried.names = namings[k].names;
			likeness found = look(f, r, &tried, lookup, context);
			if (found > best) *d = tried, best = found;
		}
	}
	return best;
}

bool dialect_find(family *f, role r, tensor_lookup *lookup, void *context, dialect *d)
{
	if (r < FAMILY_ROLES && !family_has(f, r)) return false;
	likeness found = search(f, r, lookup, context, d);
	if (found == ALIKE || r < TEXT_ENCODER || r >= FAMILY_ROLES) return found != ABSENT;
	family other = *f;
	dialect with = { 0 };
	if (!hugging_face_layout(&other, r) && !open_clip_layout(&other, r)) return found != ABSENT;
	if (search(&other, r, lookup, context, &with) <= found) return found != ABSENT;
	*f = other;
	*d = with;
	return true;
}
