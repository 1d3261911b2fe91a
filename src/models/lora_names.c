/* lora_names.c - a sorted table from the modules of LoRA files to weights.
 *
 * All spellings but cloneofsimo's differ only in dots, underscores and what stands before the part: brought to one
 * form, "u_" or "t_" and the module with underscores, they are looked up alike. */
#include "models/lora_names.h"
#include "base/text.h"
#include "models/diffusers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
	char *module; /* in the one form */
	char *weight;
	shape shape;
	int first, rows;
	bool bias; /* the layer has one */
	bool swapped;
	int order; /* of the parameters in family_parameters() */
} entry;

struct lora_names {
	entry *list;
	int count, capacity;
	int *counted[2]; /* cloneofsimo's numbering: indices into list, of the U-Net and of the text encoder */
	int counts[2];
	const family *f;
	role role;
	bool failed;
};

static char *copy(const char *s)
{
	char *c = malloc(strlen(s) + 1);
	if (c) strcpy(c, s);
	return c;
}

static void add_entry(lora_names *n, const char *module, const char *weight, shape s, int first, int rows, bool swapped)
{
	if (n->count == n->capacity) {
		int capacity = n->capacity ? 2 * n->capacity : 1024;
		entry *list = realloc(n->list, (size_t)capacity * sizeof *list);
		if (!list) {
			n->failed = true;
			return;
		}
		n->list = list;
		n->capacity = capacity;
	}
	entry *x = &n->list[n->count];
	*x = (entry){ copy(module), copy(weight), s, first, rows, false, swapped, n->count };
	n->count++;
	n->failed |= !x->module || !x->weight;
}

/* Without ".weight", dots as underscores. */
static void plain(const char *lead, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s%s", lead, name);
	size_t n = strlen(out);
	if (n > 7 && !strcmp(out + n - 7, ".weight")) out[n - 7] = 0;
	for (char *c = out; *c; c++)
		if (*c == '.') *c = '_';
}

/* In the one form a module begins with its network. */
static const char *lead_of(role r)
{
	static const char *const leads[FAMILY_ROLES] = {
		[DENOISER] = "u_", [TEXT_ENCODER] = "t_", [TEXT_ENCODER + 1] = "t2_", [TEXT_ENCODER + 2] = "t3_"
	};
	return leads[r];
}

/* A bias follows its weight. */
static void note_bias(lora_names *n, const char *bias)
{
	size_t length = strlen(bias) - 4;
	for (int i = n->count - 1; i >= 0; i--) {
		const char *weight = n->list[i].weight;
		if (!weight || strncmp(weight, bias, length) || strcmp(weight + length, "weight")) return;
		n->list[i].bias = true;
	}
}

/* A table of tokens or positions, which no product reads. */
static bool is_table(const char *weight)
{
	return strstr(weight, "embedding.weight") || ends_in(weight, "_emb.weight") || ends_in(weight, "shared.weight") ||
	       strstr(weight, "relative_attention_bias");
}

static void add_parameter(void *context, const parameter *p)
{
	lora_names *n = context;
	size_t length = strlen(p->name);
	if (length > 5 && !strcmp(p->name + length - 4, "bias")) note_bias(n, p->name);
	bool weight = length > 7 && !strcmp(p->name + length - 6, "weight");
	if (!weight || is_table(p->name)) return;
	const char *lead = lead_of(n->role);
	char module[300];
	key_piece pieces[MAX_PIECES];
	const char *own = family_name_within(n->f, n->role, p->name);
	int count = diffusers_pieces(n->f, n->role, p->name, p->shape, pieces);
	for (int i = 0; i < count; i++) {
		plain(lead, pieces[i].name, module, sizeof module);
		add_entry(n, module, p->name, p->shape, pieces[i].first, pieces[i].rows, pieces[i].swapped);
	}
	plain(lead, own, module, sizeof module);
	add_entry(n, module, p->name, p->shape, 0, p->shape.d[0], false);
}

static int by_module(const void *a, const void *b)
{
	const entry *x = a, *y = b;
	int c = strcmp(x->module, y->module);
	return c ? c : x->order - y->order;
}

static int index_of(const lora_names *n, const char *module)
{
	int low = 0, high = n->count;
	while (low < high) {
		int middle = (low + high) / 2;
		if (strcmp(n->list[middle].module, module) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n->count && !strcmp(n->list[low].module, module) ? low : -1;
}

/* ── cloneofsimo's numbering: down, up, middle; in a block attn1, GEGLU, attn2 ── */
static void count_module(lora_names *n, int which, const char *module)
{
	int i = index_of(n, module);
	if (i >= 0) n->counted[which][n->counts[which]++] = i;
}

static void count_transformer(lora_names *n, const char *transformer)
{
	static const char *const linear[] = { "attn1_to_q", "attn1_to_k", "attn1_to_v", "attn1_to_out_0", "ff_net_0_proj",
		"attn2_to_q", "attn2_to_k", "attn2_to_v", "attn2_to_out_0" };
	char module[300];
	for (int depth = 0; depth < 64; depth++) {
		snprintf(module, sizeof module, "%s_transformer_blocks_%d_attn1_to_q", transformer, depth);
		if (index_of(n, module) < 0) return;
		for (size_t i = 0; i < sizeof linear / sizeof *linear; i++) {
			snprintf(module, sizeof module, "%s_transformer_blocks_%d_%s", transformer, depth, linear[i]);
			count_module(n, 0, module);
		}
	}
}

static void count_all(lora_names *n)
{
	static const char *const sides[] = { "u_down_blocks_%d_attentions_%d", "u_up_blocks_%d_attentions_%d" };
	static const char *const projections[] = { "k", "v", "q", "out" };
	char name[128];
	if (n->f->denoiser.kind != UNET) return;
	for (int side = 0; side < 2; side++)
		for (int block = 0; block < n->f->denoiser.unet.levels; block++)
			for (int i = 0; i < 32; i++) {
				snprintf(name, sizeof name, sides[side], block, i);
				count_transformer(n, name);
			}
	count_transformer(n, "u_mid_block_attentions_0");
	for (int layer = 0; layer < 256; layer++)
		for (int i = 0; i < 4; i++) {
			snprintf(name, sizeof name, "t_text_model_encoder_layers_%d_self_attn_%s_proj", layer, projections[i]);
			count_module(n, 1, name);
		}
}

lora_names *lora_names_new(const family *f, error *e)
{
	lora_names *n = calloc(1, sizeof *n);
	if (!n) {
		fail(e, NO_MEMORY, "out of memory for the names of LoRA modules");
		return NULL;
	}
	n->f = f;
	bool fine = true;
	for (int r = 0; r < FAMILY_ROLES && fine; r++) {
		n->role = (role)r;
		if (lead_of(n->role) && family_has(f, n->role)) fine = family_parameters(f, n->role, add_parameter, n, e);
	}
	for (int i = 0; i < 2; i++) n->failed |= !(n->counted[i] = calloc((size_t)n->count + 1, sizeof(int)));
	if (!fine || n->failed) {
		fail(e, NO_MEMORY, "out of memory for the names of LoRA modules");
		lora_names_free(n);
		return NULL;
	}
	qsort(n->list, (size_t)n->count, sizeof *n->list, by_module);
	count_all(n);
	return n;
}

void lora_names_free(lora_names *n)
{
	if (!n) return;
	for (int i = 0; i < n->count; i++) {
		free(n->list[i].module);
		free(n->list[i].weight);
	}
	for (int i = 0; i < 2; i++) free(n->counted[i]);
	free(n->list);
	free(n);
}

/* ── names ── */

/* Early diffusers called the text encoder's projections as the U-Net's. */
static void mend_text_name(char *module, size_t size)
{
	static const char *const names[][2] = { { "_self_attn_to_q", "_self_attn_q_proj" },
		{ "_self_attn_to_k", "_self_attn_k_proj" }, { "_self_attn_to_v", "_self_attn_v_proj" },
		{ "_self_attn_to_out", "_self_attn_out_proj" } };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		size_t n = strlen(module) - strlen(names[i][0]);
		if (!ends_in(module, names[i][0])) continue;
		snprintf(module + n, size - n, "%s", names[i][1]);
		return;
	}
}

/* What stands behind the network's prefix; −1: it has no such module. */
static int find_in(const lora_names *n, role r, const char *rest)
{
	char simple[300], longer[320];
	const char *lead = lead_of(r);
	size_t lead_length = strlen(lead);
	plain(lead, rest, simple, sizeof simple);
	char *processor = strstr(simple, "_processor_");
	if (processor) memmove(processor, processor + 10, strlen(processor + 10) + 1);
	if (*lead == 't') mend_text_name(simple, sizeof simple);
	int i = index_of(n, simple);
	if (i >= 0) return i;
	snprintf(longer, sizeof longer, ends_in(simple, "_to_out") ? "%s_0" : "%s", simple);
	if ((i = index_of(n, longer)) >= 0 || *lead != 't') return i;
	snprintf(longer, sizeof longer, "%stext_model_%s", lead, simple + lead_length);
	return index_of(n, longer);
}

static bool takes_off(const char **module, const char *prefix)
{
	size_t n = strlen(prefix);
	if (strncmp(*module, prefix, n)) return false;
	*module += n;
	return true;
}

/* Where the name has no known prefix, it may be of any network. */
static int find_named(const lora_names *n, const char *module)
{
	enum { TEXT = TEXT_ENCODER };
	static const struct {
		const char *prefix;
		int role;
	} known[] = {
		{ "lora_unet_", DENOISER },
		{ "oft_unet_", DENOISER }, /* kohya */
		{ "lora_te_", TEXT },
		{ "lora_te1_", TEXT },
		{ "lora_te2_", TEXT + 1 },
		{ "lora_te3_", TEXT + 2 },
		{ "unet.", DENOISER },
		{ "transformer.", DENOISER },      /* diffusers */
		{ "lora_transformer_", DENOISER }, /* OneTrainer */
		{ "text_encoder.", TEXT },
		{ "text_encoder_2.", TEXT + 1 },
		{ "text_encoder_3.", TEXT + 2 },
		{ "diffusion_model.", DENOISER },
		{ "clip_l.transformer.", TEXT }, /* ComfyUI */
		{ "clip_g.transformer.", TEXT + 1 },
		{ "t5xxl.transformer.", TEXT + 2 },
	};
	takes_off(&module, "base_model.model."); /* PEFT */
	takes_off(&module, "lycoris_");          /* LyCORIS, of a network that it wrapped itself */
	for (int r = 0; r < FAMILY_ROLES; r++) {
		char own[PREFIX_LENGTH + 1];
		snprintf(own, sizeof own, "%s.", n->f->prefix[r]);
		if (lead_of((role)r) && *n->f->prefix[r] && takes_off(&module, own)) return find_in(n, (role)r, module);
	}
	takes_off(&module, "text_encoders."); /* ComfyUI */
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (takes_off(&module, known[i].prefix)) return find_in(n, (role)known[i].role, module);
	int found = -1;
	for (int r = 0; r < FAMILY_ROLES && found < 0; r++)
		if (lead_of((role)r)) found = find_in(n, (role)r, module);
	return found;
}

lora_target lora_names_find(void *names, const char *module)
{
	const lora_names *n = names;
	int number, i = -1;
	if (sscanf(module, "unet:%d", &number) == 1)
		i = number >= 0 && number < n->counts[0] ? n->counted[0][number] : -1;
	else if (sscanf(module, "text_encoder:%d", &number) == 1)
		i = number >= 0 && number < n->counts[1] ? n->counted[1][number] : -1;
	else
		i = find_named(n, module);
	if (i < 0) return (lora_target){ 0 };
	const entry *x = &n->list[i];
	return (lora_target){ x->weight, x->shape, x->first, x->rows, x->bias, x->swapped };
}

/* Block `layer` of an encoder gives nothing that is read: what is pooled reads all of them. */
static bool is_skipped(const text_config *t, const char *name)
{
	int layer;
	if (t->kind != CLIP_TEXT || t->pooled) return false;
	return sscanf(name, "text_model.encoder.layers.%d.", &layer) == 1 && layer >= t->clip.layers - t->skip;
}

static const char *prefix_of(const family *f, role r, lora_spelling spelling)
{
	static const char *const kohya[] = { "lora_te1_", "lora_te2_", "lora_te3_" }, *const peft[] = { "text_encoder.",
		"text_encoder_2.", "text_encoder_3." };
	bool several = family_has(f, (role)(TEXT_ENCODER + 1)), transformer = f->denoiser.kind == MMDIT;
	if (r == DENOISER) return spelling == KOHYA_NAMES ? "lora_unet_" : transformer ? "transformer." : "unet.";
	if (spelling == PEFT_NAMES) return peft[r - TEXT_ENCODER];
	return several ? kohya[r - TEXT_ENCODER] : "lora_te_";
}

int lora_modules_of(const family *f, const char *weight, shape s, lora_spelling spelling, key_piece modules[MAX_PIECES])
{
	role r = family_role_of(f, weight);
	if (r == ROLES || r == AUTOENCODER) return 0;
	const char *own = family_name_within(f, r, weight);
	bool transformer = r == DENOISER && f->denoiser.kind == MMDIT;
	int count = diffusers_pieces(f, r, weight, s, modules);
	bool original = r == DENOISER && spelling == KOHYA_NAMES && (transformer || f->conditioning == SIDE_BY_SIDE);
	if (count && r >= TEXT_ENCODER && is_skipped(&f->text[r - TEXT_ENCODER], modules[0].name)) return 0;
	if (count && original) { /* whole, in its own name */
		count = 1;
		modules[0] = (key_piece){ .shape = s, .rows = s.d[0] };
		snprintf(modules[0].name, sizeof modules[0].name, "%s", own);
	}
	for (int i = 0; i < count; i++) {
		char name[sizeof modules[i].name];
		if (!ends_in(modules[i].name, ".weight")) return 0;
		snprintf(name, sizeof name, "%.*s", (int)strlen(modules[i].name) - 7, modules[i].name);
		for (char *c = name; spelling == KOHYA_NAMES && *c; c++)
			if (*c == '.') *c = '_';
		if (snprintf(modules[i].name, sizeof modules[i].name, "%s%s", prefix_of(f, r, spelling), name) >=
		    (int)sizeof modules[i].name)
			return 0;
	}
	return count;
}

lora_layer lora_layer_of(const family *f, const char *weight, shape s)
{
	key_piece modules[MAX_PIECES];
	if (is_table(weight) || (s.n != 2 && s.n != 4) || !lora_modules_of(f, weight, s, PEFT_NAMES, modules))
		return NO_LORA_LAYER;
	const char *module = modules[0].name;
	if (strstr(module, ".self_attn.") || strstr(module, ".mlp.fc")) return LORA_OF_CLIP;
	if (strstr(module, ".SelfAttention.") || strstr(module, ".DenseReluDense.")) return LORA_OF_T5;
	if (strstr(module, ".attentions.") || strstr(module, ".transformer_blocks.")) return LORA_OF_TRANSFORMER;
	return strstr(module, ".resnets.") || strstr(module, "samplers.") ? LORA_OF_RESIDUAL_BLOCK : LORA_OF_OTHER;
}
