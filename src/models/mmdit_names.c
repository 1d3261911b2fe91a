/* mmdit_names.c - what diffusers calls the weights of Stable Diffusion 3's denoiser. Source: diffusers'
 * SD3Transformer2DModel and scripts/convert_sd3_to_diffusers.py. */
#include "models/mmdit_names.h"
#include <stdio.h>
#include <string.h>

typedef struct rule {
	const char *theirs;   /* the original's, behind "joint_blocks.N." where it is of a block */
	const char *names[3]; /* diffusers', behind "transformer_blocks.N."; three are thirds of the rows */
	bool swapped;         /* scale before shift instead of after it */
} rule;

static const rule block_rules[] = {
	{ "x_block.attn.qkv", { "attn.to_q", "attn.to_k", "attn.to_v" }, false },
	{ "x_block.attn.ln_q", { "attn.norm_q" }, false },
	{ "x_block.attn.ln_k", { "attn.norm_k" }, false },
	{ "x_block.attn2.ln_q", { "attn2.norm_q" }, false },
	{ "x_block.attn2.ln_k", { "attn2.norm_k" }, false },
	{ "context_block.attn.ln_q", { "attn.norm_added_q" }, false },
	{ "context_block.attn.ln_k", { "attn.norm_added_k" }, false },
	{ "x_block.attn.proj", { "attn.to_out.0" }, false },
	{ "x_block.attn2.qkv", { "attn2.to_q", "attn2.to_k", "attn2.to_v" }, false },
	{ "x_block.attn2.proj", { "attn2.to_out.0" }, false },
	{ "x_block.mlp.fc1", { "ff.net.0.proj" }, false },
	{ "x_block.mlp.fc2", { "ff.net.2" }, false },
	{ "x_block.adaLN_modulation.1", { "norm1.linear" }, false },
	{ "context_block.attn.qkv", { "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj" }, false },
	{ "context_block.attn.proj", { "attn.to_add_out" }, false },
	{ "context_block.mlp.fc1", { "ff_context.net.0.proj" }, false },
	{ "context_block.mlp.fc2", { "ff_context.net.2" }, false },
	{ "context_block.adaLN_modulation.1", { "norm1_context.linear" }, false },
};

static const rule rules[] = {
	{ "x_embedder.proj", { "pos_embed.proj" }, false },
	{ "context_embedder", { "context_embedder" }, false },
	{ "t_embedder.mlp.0", { "time_text_embed.timestep_embedder.linear_1" }, false },
	{ "t_embedder.mlp.2", { "time_text_embed.timestep_embedder.linear_2" }, false },
	{ "y_embedder.mlp.0", { "time_text_embed.text_embedder.linear_1" }, false },
	{ "y_embedder.mlp.2", { "time_text_embed.text_embedder.linear_2" }, false },
	{ "final_layer.linear", { "proj_out" }, false },
	{ "final_layer.adaLN_modulation.1", { "norm_out.linear" }, true },
};

static const rule *rule_of(const rule *list, size_t count, const char *name, size_t n)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(list[i].theirs) == n && !strncmp(list[i].theirs, name, n)) return &list[i];
	return NULL;
}

int mmdit_pieces(const mmdit_config *c, const char *name, shape s, key_piece pieces[MAX_PIECES])
{
	int block = -1, at = 0;
	char lead[40] = "";
	if (sscanf(name, "joint_blocks.%d.%n", &block, &at) == 1 && at) {
		name += at;
		snprintf(lead, sizeof lead, "transformer_blocks.%d.", block);
	}
	const char *end = strrchr(name, '.'); /* ".weight", ".bias" */
	if (!end) {
		snprintf(pieces->name, sizeof pieces->name, "pos_embed.%s", name);
		return !strcmp(name, "pos_embed") ? one_piece(pieces, s) : 0;
	}
	size_t n = (size_t)(end - name);
	const rule *r = *lead ? rule_of(block_rules, sizeof block_rules / sizeof *block_rules, name, n)
	                      : rule_of(rules, sizeof rules / sizeof *rules, name, n);
	if (!r) return 0;
	/* The last block's words have shift and scale alone, and there diffusers has them the other way round. */
	bool last = block == c->depth - 1 && strstr(r->theirs, "context_block.adaLN");
	int count = r->names[1] ? 3 : 1, rows = s.d[0] / count;
	for (int i = 0; i < count; i++) {
		pieces[i] = (key_piece){ .shape = s, .first = i * rows, .rows = rows, .swapped = r->swapped || last };
		pieces[i].shape.d[0] = rows;
		snprintf(pieces[i].name, sizeof pieces[i].name, "%s%s%s", lead, r->names[i], end);
	}
	return count;
}
