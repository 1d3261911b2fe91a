/* heard.c - see heard.h. */
#include "pipeline/heard.h"
#include "pipeline/latent.h"
#include <stdlib.h>
#include <string.h>

/* ── which tokens are words ── */

enum { MOST_WORD_TOKENS = 75 };

/* Marks each place where the word's tokens stand one after the other in what an encoder reads of a text, and in the
 * repetitions of that. */
static bool mark_reading(
    const conditioning *c, int text, bool piece, const reading *r, const int32_t *ids, int n, int word)
{
	int repeats = piece ? 1 : c->chunks, first = piece ? c->tokens - c->piece : 0;
	float *marks = c->marks + ((size_t)text * (size_t)c->tokens + (size_t)first) * (size_t)c->words + word;
	bool any = false;
	for (int k = 0; k < repeats; k++)
		for (int i = 0; i + n <= r->length; i++) {
			if (memcmp(r->ids + k % r->chunks * r->length + i, ids, (size_t)n * sizeof *ids)) continue;
			for (int t = 0; t < n; t++) marks[(k * r->length + i + t) * c->words] = 1;
			any = true;
		}
	return any;
}

static bool is_conditional(const conditioning *c, int text)
{
	for (int i = 0; i < c->steps * c->branches; i++)
		if (c->chosen[i] == text && !(c->unconditional && i % c->branches == 0)) return true;
	return false;
}

static bool mark_word(const conditioning *c, const model *m, const char *name, int word, error *e)
{
	bool any = false;
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		int32_t ids[MOST_WORD_TOKENS];
		size_t n;
		bool piece = text_in_one_piece(&m->family.text[i]);
		if (!m->tokenizers[i]) continue;
		if (!new_words_encode(m->words.words, piece ? 0 : m->words.count, m->tokenizers[i], name, strlen(name), ids,
		        MOST_WORD_TOKENS, &n, e))
			return false;
		for (int t = 0; n && n <= MOST_WORD_TOKENS && t < c->text_count; t++)
			if (c->texts[t].of[i].ids && is_conditional(c, t))
				any |= mark_reading(c, t, piece, &c->texts[t].of[i], ids, (int)n, word);
	}
	return any || fail(e, BAD_USAGE, "attention: \"%.60s\" is none of the words that the prompt is read as", name);
}

bool heard_prepare(job *j, error *e)
{
	const sumi_options *o = j->o;
	conditioning *c = &j->text;
	const denoiser_config *d = &j->m->family.denoiser;
	if (!o->attention_count || o->hires_scale > 0) return true; /* its second pass is asked */
	if (o->attention_count < 0 || o->attention_count > MOST_HEARD || !o->attention_words)
		return fail(e, BAD_USAGE, "attention: %d words; at most %d", o->attention_count, MOST_HEARD);
	if (!c->tokens || (d->kind == UNET && !d->unet.spatial_transformer))
		return fail(e, BAD_USAGE, "attention: %s has no attention to words", j->m->family.name);
	if (o->only_masked)
		return fail(
		    e, BAD_USAGE, "attention: a map is of a whole picture; with only the masked part drawn there is none");
	c->words = o->attention_count;
	c->marks = calloc((size_t)c->text_count * (size_t)c->tokens * (size_t)c->words, sizeof *c->marks);
	if (!c->marks) return fail(e, NO_MEMORY, "out of memory for %d words", c->words);
	for (int i = 0; i < c->words; i++) {
		if (!o->attention_words[i]) return fail(e, BAD_USAGE, "attention: word %d of %d is missing", i + 1, c->words);
		if (!mark_word(c, j->m, o->attention_words[i], i, e)) return false;
	}
	return true;
}

/* ── the maps ── */

/* Marks of all branches; the maps before and after, and one; and the network's maps, which all together are less than
 * half as large again as the largest of them, twice. */
size_t heard_values(const job *j)
{
	const conditioning *c = &j->text;
	size_t branches = (size_t)c->branches, places = (3 + 3 * branches) * j->positions;
	return (size_t)c->words * (branches * (size_t)c->tokens + places);
}

bool heard_begin(heard *h, const stage *network, job *const *jobs, int count, error *e)
{
	const conditioning *c = &jobs[0]->text;
	if (!c->words) return true;
	h->words = c->words;
	h->pictures = count;
	h->branches = c->branches;
	h->values = stage_count(network, network->maps.all);
	h->calls = 0;
	h->marks = malloc((size_t)(count * c->branches * c->tokens * c->words) * sizeof *h->marks);
	h->now = malloc(h->values * sizeof *h->now);
	h->sum = calloc(h->values, sizeof *h->sum);
	if (!h->maps) h->maps = calloc((size_t)(count * c->words) * jobs[0]->positions, sizeof *h->maps);
	return (h->marks && h->now && h->sum && h->maps) ||
	       fail(e, NO_MEMORY, "out of memory for maps of %d words", h->words);
}

bool heard_write(heard *h, const stage *network, tensor to, job *const *jobs, int step, error *e)
{
	if (!h->words) return true;
	const conditioning *first = &jobs[0]->text;
	size_t n = (size_t)first->tokens * (size_t)h->words;
	for (int k = 0; k < h->pictures; k++)
		for (int b = 0; b < h->branches; b++) {
			const float *marks = conditioning_marks(&jobs[k]->text, step, b);
			float *out = h->marks + (size_t)(k * h->branches + b) * n;
			if (marks)
				memcpy(out, marks, n * sizeof *out);
			else
				memset(out, 0, n * sizeof *out);
		}
	return stage_write(network, to, h->marks, e);
}

bool heard_read(heard *h, const stage *network, error *e)
{
	if (!h->words) return true;
	if (!graph_read_floats(network->g, network->maps.all, h->now, e)) return false;
	for (size_t i = 0; i < h->values; i++) h->sum[i] += h->now[i];
	h->calls++;
	return true;
}

/* Enlarges each map to the latent's size, and adds it. */
bool heard_leave(heard *h, const stage *network, job *const *jobs, error *e)
{
	if (!h->words) return true;
	latent_size to = { jobs[0]->latent_height, jobs[0]->latent_width };
	size_t n = jobs[0]->positions * (size_t)h->words;
	float *large = malloc(n * sizeof *large);
	const float *from = h->sum;
	if (!large) return fail(e, NO_MEMORY, "out of memory for maps of %d words", h->words);
	for (int i = 0; i < network->maps.count; i++) {
		latent_size size = { network->maps.of[i].rows, network->maps.of[i].columns };
		for (int item = 0; item < h->pictures * h->branches; item++) {
			float *sum = h->maps + (size_t)(item / h->branches) * n;
			latent_resize(large, to, from, size, h->words, false);
			for (size_t x = 0; x < n; x++) sum[x] += large[x];
			from += size.height * size.width * h->words;
		}
	}
	int conditional = h->branches - jobs[0]->text.unconditional;
	h->weight += (double)h->calls * network->maps.layers * conditional;
	free(large);
	return true;
}

void heard_drop(heard *h)
{
	free(h->marks);
	free(h->now);
	free(h->sum);
	h->marks = h->now = h->sum = NULL;
}

bool heard_finish(heard *h, job *const *jobs, error *e)
{
	for (int k = 0; h->words && k < h->pictures; k++) {
		size_t positions = jobs[k]->positions, words = (size_t)h->words;
		const float *sum = h->maps + (size_t)k * positions * words;
		float *maps = malloc(positions * words * sizeof *maps);
		if (!maps) return fail(e, NO_MEMORY, "out of memory for maps of %d words", h->words);
		for (size_t i = 0; i < positions * words; i++)
			maps[i % words * positions + i / words] = h->weight > 0 ? (float)((double)sum[i] / h->weight) : 0;
		free(jobs[k]->maps);
		jobs[k]->maps = maps;
	}
	return true;
}

void heard_free(heard *h)
{
	heard_drop(h);
	free(h->maps);
	*h = (heard){ 0 };
}
