/* lora_strengths.c - see lora_strengths.h. */
#include "models/lora_strengths.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char expected[] = "W, TE:UNET, te=W, unet=W or lbw=W,W,…";

/* One number that fills the text. */
static bool read_number(const char *text, size_t length, float *value, error *e)
{
	char digits[32], *end = digits;
	bool fits = length > 0 && length < sizeof digits;
	snprintf(digits, sizeof digits, "%.*s", (int)length, text);
	*value = fits && strspn(digits, "+-.0123456789eE") == length ? strtof(digits, &end) : 0;
	if (end == digits || *end)
		return fail(e, BAD_USAGE, "'%.*s' is no weight; expected %s", (int)(length < 60 ? length : 60), text, expected);
	return (*value >= -100 && *value <= 100) ||
	       fail(e, BAD_USAGE, "the weight is not between -100 and 100: %s", digits);
}

/* ── blocks ── */

/* Which blocks of the U-Net have attention, in their order; gives how many blocks there are. */
static int find_attention(const unet_config *c, bool attends[LORA_BLOCKS])
{
	int n = 0;
	attends[n++] = false; /* the first convolution */
	for (int level = 0; level < c->levels; level++) {
		for (int i = 0; i < c->blocks[level]; i++) attends[n++] = c->attends[level];
		if (level < c->levels - 1) attends[n++] = false; /* halves the map */
	}
	attends[n++] = true; /* the middle */
	for (int level = c->levels - 1; level >= 0; level--)
		for (int i = 0; i <= c->blocks[level]; i++) attends[n++] = c->attends[level];
	return n;
}

static bool read_blocks(const char *list, size_t length, lora_strengths *w, error *e)
{
	bool attends[LORA_BLOCKS];
	float values[LORA_BLOCKS + 1];
	const family *f = w->f;
	if (f->denoiser.kind != UNET)
		return fail(e, BAD_USAGE, "lbw= has weights for the blocks of a U-Net, which %s has not", f->name);
	if (unet_skips(&f->denoiser.unet) > UNET_SKIPS) return fail(e, BAD_USAGE, "lbw=: a U-Net of too many blocks");
	int given = 0, blocks = find_attention(&f->denoiser.unet, attends), some = 0;
	for (int i = 0; i < blocks; i++) some += attends[i];
	for (const char *at = list, *end = list + length; at <= end; given++) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t n = (size_t)((comma ? comma : end) - at);
		while (n && *at == ' ') at++, n--;
		float value;
		if (!read_number(at, n, &value, e)) return false;
		if (given <= LORA_BLOCKS) values[given] = value;
		at = (comma ? comma : end) + 1;
	}
	if (given != some + 1 && given != blocks + 1)
		return fail(e, BAD_USAGE,
		    "lbw= has %d weights; %s has %d (BASE and the blocks with attention) or %d (BASE and all blocks)", given,
		    f->name, some + 1, blocks + 1);
	w->base = values[0];
	for (int i = 0, next = 1; i < blocks; i++)
		w->block[i] = given == blocks + 1 ? values[i + 1] : attends[i] ? values[next++] : 0;
	return true;
}

/* ── the whole ── */

typedef struct reading {
	lora_strengths *w;
	float number[2], text, denoiser; /* without names; with. NaN: not given */
	error *e;
} reading;

static bool begins(const char *text, size_t length, const char *with)
{
	size_t n = strlen(with);
	return length >= n && !strncmp(text, with, n);
}

static bool read_list(reading *r, const char *list, size_t length)
{
	if (length && !strchr("+-.0123456789 ", *list))
		return fail(r->e, BAD_USAGE, "'%.*s' is the name of a preset, which are not known here: write its weights",
		    (int)(length < 60 ? length : 60), list);
	return read_blocks(list, length, r->w, r->e);
}

static bool read_item(reading *r, const char *text, size_t length)
{
	if (begins(text, length, "te=")) return read_number(text + 3, length - 3, &r->text, r->e);
	if (begins(text, length, "unet=")) return read_number(text + 5, length - 5, &r->denoiser, r->e);
	if (begins(text, length, "lbw=")) return read_list(r, text + 4, length - 4);
	if (memchr(text, ',', length)) return read_list(r, text, length);
	for (int i = 0; i < 2 && !memchr(text, '=', length); i++)
		if (isnan(r->number[i])) return read_number(text, length, &r->number[i], r->e);
	return fail(
	    r->e, BAD_USAGE, "'%.*s' is not done here; expected %s", (int)(length < 60 ? length : 60), text, expected);
}

bool lora_strengths_read(const char *text, const family *f, lora_strengths *w, error *e)
{
	reading r = { .w = w, .number = { NAN, NAN }, .text = NAN, .denoiser = NAN, .e = e };
	*w = (lora_strengths){ .base = 1, .f = f };
	for (int i = 0; i < LORA_BLOCKS; i++) w->block[i] = 1;
	for (const char *at = text && *text ? text : NULL; at;) {
		const char *colon = strchr(at, ':');
		if (!read_item(&r, at, colon ? (size_t)(colon - at) : strlen(at))) return false;
		at = colon ? colon + 1 : NULL;
	}
	w->text = !isnan(r.text) ? r.text : !isnan(r.number[0]) ? r.number[0] : 1;
	w->denoiser = !isnan(r.denoiser) ? r.denoiser : !isnan(r.number[1]) ? r.number[1] : w->text;
	return true;
}

float lora_strengths_of(void *strengths, const char *weight)
{
	const lora_strengths *w = strengths;
	role r = family_role_of(w->f, weight);
	int n, at = -1;
	if (r != DENOISER) return w->text * w->base;
	if (w->f->denoiser.kind == UNET) {
		const char *name = family_name_within(w->f, r, weight);
		int inputs = unet_skips(&w->f->denoiser.unet);
		if (sscanf(name, "input_blocks.%d.", &n) == 1) at = n;
		if (sscanf(name, "output_blocks.%d.", &n) == 1) at = inputs + 1 + n;
		if (!strncmp(name, "middle_block.", 13)) at = inputs;
	}
	return at < 0 || at >= LORA_BLOCKS ? w->denoiser : w->denoiser * w->block[at];
}
