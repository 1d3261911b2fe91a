/* recognise.c - which family a file's tensors are of, in whatever dialect it names them. */
#include "models/dialects.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct file {
	tensor_lookup *lookup;
	void *context;
	bool exactly; /* with the family's blocks and no others; otherwise what is missing is said later */
} file;

/* Whether the file has this parameter of a component with this shape, but for axes of length 1 at the ends. */
static bool has(const file *y, const family *f, role r, const dialect *d, const char *name, shape s)
{
	char key[256];
	key_piece p[MAX_PIECES];
	shape found;
	dtype type;
	snprintf(key, sizeof key, "%s%s%s", f->prefix[r], *f->prefix[r] ? "." : "", name);
	if (dialect_pieces(d, f, r, key, s, p) != 1 || !y->lookup(y->context, p[0].name, &type, &found, NULL)) return false;
	return shape_alike(found, s);
}

static bool is_there(const file *y, const family *f, const dialect *d, const char *name)
{
	char key[256];
	key_piece p[MAX_PIECES];
	shape s;
	dtype type;
	snprintf(key, sizeof key, "%s.%s", f->prefix[DENOISER], name);
	return dialect_pieces(d, f, DENOISER, key, shape2(1, 1), p) == 1 &&
	       y->lookup(y->context, p[0].name, &type, &s, NULL);
}

/* Whether a transformer of the block at this place has so many blocks and no more. */
static bool has_depth(const file *y, const family *f, const dialect *d, const char *block, int depth)
{
	char key[96];
	snprintf(key, sizeof key, "%s.1.transformer_blocks.%d.norm1.weight", block, depth);
	if (is_there(y, f, d, key)) return false;
	snprintf(key, sizeof key, "%s.1.transformer_blocks.%d.norm1.weight", block, depth - 1);
	return depth < 1 || is_there(y, f, d, key);
}

/* How many blocks there are, and how deep: distilled models differ from their teachers in this alone. */
static bool unet_has_structure(const file *y, const family *f, const dialect *d)
{
	const unet_config *u = &f->denoiser.unet;
	char block[64];
	int in = 1, out = 0;
	for (int level = 0; level < u->levels; level++, in++)
		for (int i = 0; i < u->blocks[level]; i++, in++) {
			snprintf(block, sizeof block, "input_blocks.%d", in);
			if (u->attends[level] && !has_depth(y, f, d, block, unet_depth_down(u, level, i))) return false;
		}
	for (int level = u->levels - 1; level >= 0; level--)
		for (int i = 0; i <= u->blocks[level]; i++, out++) {
			snprintf(block, sizeof block, "output_blocks.%d", out);
			if (u->attends[level] && !has_depth(y, f, d, block, unet_depth_up(u, level, i))) return false;
		}
	snprintf(block, sizeof block, "input_blocks.%d.0.in_layers.0.weight", in - 2); /* of the last level */
	return is_there(y, f, d, block) &&
	       is_there(y, f, d, "middle_block.0.in_layers.0.weight") == (u->middle != NO_MIDDLE) &&
	       is_there(y, f, d, "middle_block.2.in_layers.0.weight") == (u->middle == MIDDLE_WHOLE);
}

static bool unet_matches(const file *y, const family *f, const dialect *d)
{
	const unet_config *u = &f->denoiser.unet;
	int level = 0, block = 1; /* where the U-Net attends first */
	while (level < u->levels && !u->attends[level]) block += u->blocks[level++] + 1;
	char keys[2][96];
	snprintf(keys[0], sizeof keys[0], "input_blocks.%d.1.transformer_blocks.0.attn2.to_k.weight", block);
	snprintf(keys[1], sizeof keys[1], "input_blocks.%d.1.proj_in.weight", block);
	int width = u->channels * u->multiplier[level];
	static const char guidance[] = "time_embed.cond_proj.weight";
	bool guided = is_there(y, f, d, guidance);
	if (guided != (u->guidance > 0)) return false;
	return (!guided || has(y, f, DENOISER, d, guidance, shape2(u->channels, u->guidance))) &&
	       has(y, f, DENOISER, d, keys[0], shape2(width, u->context)) &&
	       has(y, f, DENOISER, d, keys[1], shape2(width, width));
}

/* The size of the position table distinguishes the published ones; a depth of its own is another model. */
static bool mmdit_matches(const file *y, const family *f, const dialect *d)
{
	const mmdit_config *m = &f->denoiser.mmdit;
	char last[64], beyond[64];
	snprintf(last, sizeof last, "joint_blocks.%d.x_block.attn.qkv.weight", m->depth - 1);
	snprintf(beyond, sizeof beyond, "joint_blocks.%d.x_block.attn.qkv.weight", m->depth);
	return has(y, f, DENOISER, d, "pos_embed", shape3(1, m->positions * m->positions, m->width)) &&
	       is_there(y, f, d, "joint_blocks.0.x_block.attn.ln_q.weight") == m->qk_norm &&
	       is_there(y, f, d, "joint_blocks.0.x_block.attn2.qkv.weight") == m->twice[0] &&
	       has(y, f, DENOISER, d, last, shape2(3 * m->width, m->width)) && !is_there(y, f, d, beyond);
}

static bool denoiser_matches(const file *y, family *f)
{
	dialect d;
	if (!dialect_find(f, DENOISER, y->lookup, y->context, &d)) return false;
	if (!dialect_matches(f, DENOISER, &d, y->lookup, y->context)) return false;
	switch (f->denoiser.kind) {
	case UNET: return unet_matches(y, f, &d) && (!y->exactly || unet_has_structure(y, f, &d));
	case MMDIT: return mmdit_matches(y, f, &d);
	}
	return false;
}

/* Text encoders that are not in the file may come from others. */
static bool texts_match(const file *y, family *f, bool needed)
{
	dialect d;
	for (role r = TEXT_ENCODER; r < FAMILY_ROLES; r++) {
		if (!family_has(f, r)) continue;
		bool found = dialect_find(f, r, y->lookup, y->context, &d);
		if (found ? !dialect_matches(f, r, &d, y->lookup, y->context) : needed && !family_apart(f, r)) return false;
	}
	return true;
}

/* The first tensor of a denoiser of any family, whatever its shape; NULL: the file has none. */
static const char *some_denoiser(const file *y, char *name, size_t size, shape *found)
{
	const family *known;
	for (int i = 0; (known = family_at(i)); i++) {
		family f = *known;
		dialect d;
		key_piece p[MAX_PIECES];
		shape s;
		dtype type;
		char key[256];
		if (!dialect_find(&f, DENOISER, y->lookup, y->context, &d)) continue;
		snprintf(key, sizeof key, "%s.%s", f.prefix[DENOISER], denoiser_landmark(&f.denoiser, &s));
		if (dialect_pieces(&d, &f, DENOISER, key, s, p) != 1 || !y->lookup(y->context, p[0].name, &type, found, NULL))
			continue;
		snprintf(name, size, "%s", p[0].name);
		return name;
	}
	return NULL;
}

/* A file of an autoencoder alone. */
static bool only_autoencoder_matches(const file *y, family *f)
{
	dialect d;
	char name[256];
	shape s;
	return !some_denoiser(y, name, sizeof name, &s) && dialect_find(f, AUTOENCODER, y->lookup, y->context, &d) &&
	       dialect_matches(f, AUTOENCODER, &d, y->lookup, y->context);
}

static bool matches(const file *y, const family *known, int laxity)
{
	family f = *known;
	if (laxity == 2) return only_autoencoder_matches(y, &f);
	return denoiser_matches(y, &f) && texts_match(y, &f, laxity == 0);
}

/* Standard deviation of the bias by which SD 2 models that predict velocity are recognised; 0: there is no such key. */
static double spread_of_bias(const file *y, const family *known)
{
	family f = *known;
	dialect d;
	char key[256];
	key_piece p[MAX_PIECES];
	dtype type;
	shape s;
	const void *data = NULL;
	if (f.denoiser.kind != UNET) return 0;
	snprintf(key, sizeof key, "%s.output_blocks.11.1.transformer_blocks.0.norm1.bias", f.prefix[DENOISER]);
	if (!dialect_find(&f, DENOISER, y->lookup, y->context, &d) ||
	    dialect_pieces(&d, &f, DENOISER, key, shape1(1), p) != 1 ||
	    !y->lookup(y->context, p[0].name, &type, &s, &data) || !data || !dtype_is_float(type))
		return 0;
	size_t n = shape_count(s);
	float *values = malloc(n * sizeof *values);
	if (!values || !n) return free(values), 0;
	convert(values, F32, data, type, n);
	double sum = 0, squares = 0;
	for (size_t i = 0; i < n; i++) sum += (double)values[i], squares += (double)values[i] * (double)values[i];
	free(values);
	double mean = sum / (double)n;
	return sqrt(fmax(0, squares / (double)n - mean * mean));
}

/* The option that takes a file of a text encoder alone; NULL: the file is none. */
static const char *option_for(const file *y)
{
	const family *known;
	for (int i = 0; (known = family_at(i)); i++)
		for (role r = TEXT_ENCODER; r < FAMILY_ROLES; r++) {
			family f = *known;
			dialect d;
			if (family_has(&f, r) && dialect_find(&f, r, y->lookup, y->context, &d) &&
			    dialect_matches(&f, r, &d, y->lookup, y->context) && family_text_option(&f, (int)(r - TEXT_ENCODER)))
				return family_text_option(&f, (int)(r - TEXT_ENCODER));
		}
	return NULL;
}

/* A denoiser of other shapes than those of all families is named with its first layer, which shows how many channels it
 * reads. */
static void say_unknown(const file *y, error *e)
{
	char name[256], text[128] = "";
	shape s;
	if (!some_denoiser(y, name, sizeof name, &s)) {
		const char *option = option_for(y);
		if (option)
			fail(e, BAD_FILE, "a text encoder alone, which --%s takes, and no model", option);
		else
			fail(e, BAD_FILE, "not a model that Sumi knows: no family's denoiser and text encoder are in it");
		return;
	}
	for (int i = 0, n = 0; i < s.n && n < (int)sizeof text; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, "%s%d", i ? ", " : "", s.d[i]);
	fail(e, BAD_FILE, "not a model that Sumi knows: it has a denoiser, and no family's is like it ('%s' is [%s])", name,
	    text);
}

const family *family_recognise(tensor_lookup *lookup, void *context, error *e)
{
	const family *found = NULL, *f;
	for (int laxity = 0; laxity < 6 && !found; laxity++)
		for (int i = 0; (f = family_at(i)); i++) {
			const file y = { lookup, context, laxity % 2 == 0 };
			if (!matches(&y, f, laxity / 2)) continue;
			if (f->prediction != PREDICT_VELOCITY || spread_of_bias(&y, f) > 0.09) return f;
			if (!found) found = f; /* unless there is one of the same shapes that predicts noise */
		}
	const file y = { lookup, context, false };
	if (!found) say_unknown(&y, e);
	return found;
}
