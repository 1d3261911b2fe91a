/* diffusers.c - names of the diffusers folder by rule. */
#include "models/diffusers.h"
#include "models/mmdit_names.h"
#include <stdio.h>
#include <string.h>

typedef struct pair {
	const char *original, *foreign;
} pair;

/* If key begins with an original of the table (up to {NULL}), writes lead, its foreign name and the rest. */
static bool rename_head(const pair *table, const char *lead, const char *key, char *out, size_t size)
{
	for (; table->original; table++) {
		size_t n = strlen(table->original);
		if (strncmp(key, table->original, n) || (key[n] && key[n] != '.')) continue;
		return snprintf(out, size, "%s%s%s", lead, table->foreign, key + n) < (int)size;
	}
	return false;
}

/* ── U-Net ── */
static const pair unet_roots[] = { { "time_embed.0", "time_embedding.linear_1" },
	{ "time_embed.2", "time_embedding.linear_2" }, { "time_embed.cond_proj", "time_embedding.cond_proj" },
	{ "label_emb.0.0", "add_embedding.linear_1" }, { "label_emb.0.2", "add_embedding.linear_2" },
	{ "input_blocks.0.0", "conv_in" }, { "out.0", "conv_norm_out" }, { "out.2", "conv_out" }, { NULL, NULL } };
static const pair unet_residual[] = { { "in_layers.0", "norm1" }, { "in_layers.2", "conv1" },
	{ "emb_layers.1", "time_emb_proj" }, { "out_layers.0", "norm2" }, { "out_layers.3", "conv2" },
	{ "skip_connection", "conv_shortcut" }, { NULL, NULL } };

/* rest: what follows "input_blocks.N." and the like; a residual block, a transformer, or what changes the resolution */
static bool unet_inner(const char *side, int block, int i, const char *rest, char *out, size_t size)
{
	char lead[64];
	int at = 0, layer = 0;
	if (sscanf(rest, "%d.%n", &layer, &at) != 1 || !at) return false;
	rest += at;
	if (!strncmp(rest, "op.", 3))
		return snprintf(out, size, "%s.%d.downsamplers.0.conv.%s", side, block, rest + 3) < (int)size;
	if (!strncmp(rest, "conv.", 5))
		return snprintf(out, size, "%s.%d.upsamplers.0.conv.%s", side, block, rest + 5) < (int)size;
	snprintf(lead, sizeof lead, "%s.%d.resnets.%d.", side, block, i);
	if (rename_head(unet_residual, lead, rest, out, size)) return true;
	return layer == 1 && snprintf(out, size, "%s.%d.attentions.%d.%s", side, block, i, rest) < (int)size;
}

static bool unet_name(const unet_config *c, const char *key, char *out, size_t size)
{
	if (rename_head(unet_roots, "", key, out, size)) return true;
	int n = 0, at = 0;
	if (sscanf(key, "input_blocks.%d.%n", &n, &at) == 1 && at) {
		n--;
		for (int level = 0; level < c->levels; n -= c->blocks[level++] + 1)
			if (n <= c->blocks[level]) return unet_inner("down_blocks", level, n, key + at, out, size);
	} else if (sscanf(key, "output_blocks.%d.%n", &n, &at) == 1 && at) {
		for (int i = 0; i < c->levels; i++) {
			int count = c->blocks[c->levels - 1 - i] + 1;
			if (n < count) return unet_inner("up_blocks", i, n, key + at, out, size);
			n -= count;
		}
	} else if (sscanf(key, "middle_block.%d.%n", &n, &at) == 1 && at) {
		char lead[64];
		snprintf(lead, sizeof lead, "mid_block.resnets.%d.", n / 2);
		if (n != 1) return rename_head(unet_residual, lead, key + at, out, size);
		return snprintf(out, size, "mid_block.attentions.0.%s", key + at) < (int)size;
	}
	return false;
}

/* Of a control network: what the U-Net does not have, and else the U-Net's. */
static bool control_name(const unet_config *c, const char *key, char *out, size_t size)
{
	int n = 0, at = 0;
	if (sscanf(key, "zero_convs.%d.0.%n", &n, &at) == 1 && at)
		return snprintf(out, size, "controlnet_down_blocks.%d.%s", n, key + at) < (int)size;
	if (!strncmp(key, "middle_block_out.0.", 19))
		return snprintf(out, size, "controlnet_mid_block.%s", key + 19) < (int)size;
	if (sscanf(key, "input_hint_block.%d.%n", &n, &at) != 1 || !at) return unet_name(c, key, out, size);
	const char *rest = key + at;
	if (n == 0 || n == 14)
		return snprintf(out, size, "controlnet_cond_embedding.conv_%s.%s", n ? "out" : "in", rest) < (int)size;
	return snprintf(out, size, "controlnet_cond_embedding.blocks.%d.%s", n / 2 - 1, rest) < (int)size;
}

/* ── autoencoder ── */
static const pair vae_attention[] = { { "norm", "group_norm" }, { "q", "to_q" }, { "k", "to_k" }, { "v", "to_v" },
	{ "proj_out", "to_out.0" }, { NULL, NULL } };
static const pair vae_residual[] = { { "norm1", "norm1" }, { "conv1", "conv1" }, { "norm2", "norm2" },
	{ "conv2", "conv2" }, { "nin_shortcut", "conv_shortcut" }, { NULL, NULL } };
static const pair vae_middle[] = { { "block_1", "resnets.0" }, { "block_2", "resnets.1" }, { NULL, NULL } };

/* key: behind "encoder." or "decoder.", half: that word */
static bool vae_inner(const vae_config *c, const char *half, const char *key, char *out, size_t size)
{
	int level = 0, i = 0, at = 0;
	bool down = !strncmp(key, "down.", 5);
	char side[64], lead[128], middle[128];
	if (!strncmp(key, "mid.", 4)) {
		snprintf(lead, sizeof lead, "%s.mid_block.attentions.0.", half);
		if (!strncmp(key + 4, "attn_1.", 7)) return rename_head(vae_attention, lead, key + 11, out, size);
		if (!rename_head(vae_middle, "", key + 4, middle, sizeof middle)) return false;
		snprintf(lead, sizeof lead, "%s.mid_block.%.9s.", half, middle);
		return rename_head(vae_residual, lead, middle + 10, out, size);
	}
	if (sscanf(key, down ? "down.%d.%n" : "up.%d.%n", &level, &at) != 1 || !at) {
		const char *name = strncmp(key, "norm_out", 8) ? key : "conv_norm_out", *rest = name == key ? "" : key + 8;
		return snprintf(out, size, "%s.%s%s", half, name, rest) < (int)size;
	}
	snprintf(side, sizeof side, "%s.%s_blocks.%d", half, down ? "down" : "up", down ? level : c->levels - 1 - level);
	key += at;
	at = 0;
	if (sscanf(key, "block.%d.%n", &i, &at) == 1 && at) {
		snprintf(lead, sizeof lead, "%s.resnets.%d.", side, i);
		return rename_head(vae_residual, lead, key + at, out, size);
	}
	if (sscanf(key, "attn.%d.%n", &i, &at) == 1 && at) {
		snprintf(lead, sizeof lead, "%s.attentions.%d.", side, i);
		return rename_head(vae_attention, lead, key + at, out, size);
	}
	const char *dot = strchr(key, '.'); /* downsample.conv, upsample.conv */
	return dot && snprintf(out, size, "%s.%ssamplers.0%s", side, down ? "down" : "up", dot) < (int)size;
}

static bool vae_name(const vae_config *c, const char *key, char *out, size_t size)
{
	if (!strncmp(key, "encoder.", 8)) return vae_inner(c, "encoder", key + 8, out, size);
	if (!strncmp(key, "decoder.", 8)) return vae_inner(c, "decoder", key + 8, out, size);
	return (strstr(key, "quant_conv.") != NULL) && snprintf(out, size, "%s", key) < (int)size;
}

/* ── text encoder ── */
static const pair open_clip_roots[] = { { "token_embedding", "text_model.embeddings.token_embedding" },
	{ "positional_embedding", "text_model.embeddings.position_embedding.weight" },
	{ "ln_final", "text_model.final_layer_norm" }, { "text_projection", "text_projection.weight" }, { NULL, NULL } };
static const pair open_clip_block[] = { { "ln_1", "layer_norm1" }, { "ln_2", "layer_norm2" },
	{ "attn.out_proj", "self_attn.out_proj" }, { "mlp.c_fc", "mlp.fc1" }, { "mlp.c_proj", "mlp.fc2" }, { NULL, NULL } };

int one_piece(key_piece *p, shape s)
{
	p->shape = s;
	p->first = 0;
	p->rows = s.n ? s.d[0] : 1;
	p->transposed = p->swapped = false;
	return 1;
}

bool in_pieces(const key_piece *p, int count) { return count > 1 || (count == 1 && p->swapped); }

int piece_number(const char *key, char *whole, size_t size)
{
	const char *mark = strrchr(key, '#');
	if (!mark || mark[1] < '0' || mark[1] >= '0' + MAX_PIECES || mark[2]) return -1;
	if ((size_t)snprintf(whole, size, "%.*s", (int)(mark - key), key) >= size) return -1;
	return mark[1] - '0';
}

static int fused_pieces(const char *lead, const char *kind, shape s, key_piece *pieces)
{
	for (int i = 0; i < 3; i++) {
		snprintf(pieces[i].name, sizeof pieces[i].name, "%sself_attn.%c_proj.%s", lead, "qkv"[i], kind);
		shape third = s;
		third.d[0] /= 3;
		one_piece(&pieces[i], third);
		pieces[i].first = i * third.d[0];
	}
	return 3;
}

static int open_clip_pieces(const clip_config *c, const char *key, shape s, key_piece *pieces)
{
	key_piece *p = &pieces[0];
	int layer = 0, at = 0;
	if (sscanf(key, "transformer.resblocks.%d.%n", &layer, &at) == 1 && at) {
		char lead[64];
		if (layer >= c->layers) return 0;
		snprintf(lead, sizeof lead, "text_model.encoder.layers.%d.", layer);
		if (!strncmp(key + at, "attn.in_proj_", 13)) return fused_pieces(lead, key + at + 13, s, pieces);
		return rename_head(open_clip_block, lead, key + at, p->name, sizeof p->name) ? one_piece(p, s) : 0;
	}
	if (!rename_head(open_clip_roots, "", key, p->name, sizeof p->name)) return 0;
	one_piece(p, s);
	if (!strcmp(key, "text_projection")) {
		p->shape = shape2(s.d[1], s.d[0]);
		p->transposed = true;
	}
	return 1;
}

/* ── all of it ── */
int diffusers_number(const family *f, role r)
{
	bool refiner = f->conditioning == SIDE_BY_SIDE && f->text[1].kind == NO_TEXT;
	return (int)(r - TEXT_ENCODER) + refiner;
}

const char *diffusers_folder(const family *f, role r)
{
	static const char *const folders[ROLES] = { "unet", "vae", "text_encoder", "text_encoder_2", "text_encoder_3",
		"vae", "controlnet" };
	if (r == DENOISER && f->denoiser.kind == MMDIT) return "transformer";
	return folders[r >= TEXT_ENCODER && r < FAMILY_ROLES ? TEXT_ENCODER + diffusers_number(f, r) : (int)r];
}

int diffusers_pieces(const family *f, role r, const char *key, shape s, key_piece pieces[MAX_PIECES])
{
	const char *prefix = r < FAMILY_ROLES ? f->prefix[r] : "";
	size_t n = strlen(prefix);
	if (strncmp(key, prefix, n) || (n && key[n] != '.')) return 0;
	key += n ? n + 1 : 0;
	key_piece *p = &pieces[0];
	if (r == DENOISER && f->denoiser.kind == MMDIT) return mmdit_pieces(&f->denoiser.mmdit, key, s, pieces);
	if (r == CONTROL && f->denoiser.kind != UNET) return 0;
	if (r == CONTROL) return control_name(&f->denoiser.unet, key, p->name, sizeof p->name) ? one_piece(p, s) : 0;
	if (r == DENOISER) return unet_name(&f->denoiser.unet, key, p->name, sizeof p->name) ? one_piece(p, s) : 0;
	if (r == AUTOENCODER) {
		if (!vae_name(&f->autoencoder, key, p->name, sizeof p->name)) return 0;
		/* its attention is made of linear layers there */
		bool pointwise = s.n == 4 && strstr(p->name, ".attentions.");
		return one_piece(p, pointwise ? shape2(s.d[0], s.d[1]) : s);
	}
	const text_config *t = &f->text[r - TEXT_ENCODER];
	if (t->kind != CLIP_TEXT && t->kind != T5_TEXT) return 0;
	if (t->kind == CLIP_TEXT && t->clip.fused) return open_clip_pieces(&t->clip, key, s, pieces);
	return snprintf(p->name, sizeof p->name, "%s", key) < (int)sizeof p->name ? one_piece(p, s) : 0;
}

static bool is_open_clip(const text_config *t) { return t->kind == CLIP_TEXT && t->clip.fused; }

static void replace_end(char *prefix, const char *end, const char *by)
{
	size_t n = strlen(prefix), m = strlen(end);
	if (n >= m && !strcmp(prefix + n - m, end) && n - m + strlen(by) < PREFIX_LENGTH) strcpy(prefix + n - m, by);
}

bool hugging_face_layout(family *f, role r)
{
	text_config *t = &f->text[r - TEXT_ENCODER];
	if (!is_open_clip(t)) return false;
	t->clip.fused = false;
	replace_end(f->prefix[r], ".model", ".transformer");
	return true;
}

bool open_clip_layout(family *f, role r)
{
	text_config *t = &f->text[r - TEXT_ENCODER];
	if (t->kind != CLIP_TEXT || t->clip.fused) return false;
	t->clip.fused = true;
	replace_end(f->prefix[r], ".transformer", ".model");
	return true;
}

family diffusers_part(const family *f)
{
	family g = *f;
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		text_config *t = &g.text[i];
		if (t->kind != CLIP_TEXT || !t->final_norm) continue;
		t->clip.layers -= t->skip;
		t->skip = 0;
		if (!t->pooled) t->clip.projection = 0;
	}
	return g;
}

family diffusers_layout(const family *f)
{
	family g = diffusers_part(f);
	for (role r = TEXT_ENCODER; r < FAMILY_ROLES; r++) hugging_face_layout(&g, r);
	return g;
}

family single_layout(const family *f)
{
	family g = *f;
	if (f->conditioning == STACKED) return g; /* whose published files have Hugging Face's names */
	for (role r = TEXT_ENCODER; r < FAMILY_ROLES; r++) {
		text_config *t = &g.text[r - TEXT_ENCODER];
		if (t->kind == CLIP_TEXT && t->clip.activation == GELU && open_clip_layout(&g, r)) t->tokenizer = OPENCLIP;
	}
	return g;
}
