/* conditioning.c - reads prompts, and puts together what the text encoders give, all contexts of one length. */
#include "pipeline/conditioning.h"
#include "text/prompt.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_REPEATED = 48 };

/* ── reading ── */

/* The number of the text among those that are encoded; −1: failed. */
static int read_text(conditioning *c, const model *m, const watcher *w, const char *text, bool zero, error *e)
{
	for (int i = 0; i < c->text_count; i++)
		if (c->texts[i].zero == zero && !strcmp(c->texts[i].text, text)) return i;
	prompt_text *more = realloc(c->texts, ((size_t)c->text_count + 1) * sizeof *more);
	if (!more) return fail(e, NO_MEMORY, "out of memory for the prompt"), -1;
	c->texts = more;
	prompt_text *y = &more[c->text_count++];
	*y = (prompt_text){ .zero = zero };
	return prompt_text_read(y, m, w, text, e) ? c->text_count - 1 : -1;
}

/* What a branch reads in each step. */
static bool read_steps(
    conditioning *c, const model *m, const watcher *w, int branch, const char *prompt, bool zero, error *e)
{
	for (int s = 0; s < c->steps; s++) {
		char *text = prompt_at_step(prompt, s + 1, c->steps, e);
		int index = text ? read_text(c, m, w, text, zero, e) : -1;
		free(text);
		if (index < 0) return false;
		c->chosen[s * c->branches + branch] = index;
	}
	return true;
}

static int common_multiple(int a, int b)
{
	int x = a, y = b;
	while (y) {
		int rest = x % y;
		x = y;
		y = rest;
	}
	return a / x * b;
}

static int chunks_of(const prompt_text *t)
{
	int most = 1;
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (t->of[i].chunks > most) most = t->of[i].chunks;
	return most;
}

/* The length to which all contexts can be repeated. */
static int common_chunks(const conditioning *c)
{
	int most = 1, all = 1;
	for (int i = 0; i < c->text_count; i++) {
		int n = chunks_of(&c->texts[i]);
		if (n > most) most = n;
		if (all <= MOST_REPEATED) all = common_multiple(all, n);
	}
	return all <= MOST_REPEATED ? all : most;
}

/* Texts that are read in one piece are as long as the longest, and at least as long as the family says: padding is
 * attended to. An encoder that is not there leaves its part of that length to zeros. */
static int common_piece(const conditioning *c, const model *m)
{
	int tokens = 0;
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (text_in_one_piece(&m->family.text[i])) tokens = m->family.text[i].length;
	for (int i = 0; tokens && i < c->text_count; i++)
		if (c->texts[i].tokens > tokens) tokens = c->texts[i].tokens;
	return tokens;
}

/* The tokens of a chunk; 0: no encoder reads chunks. */
static int chunk_length(const family *f)
{
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (f->text[i].kind != NO_TEXT && !text_in_one_piece(&f->text[i])) return f->text[i].length;
	return 0;
}

static bool reads_text(const model *m)
{
	bool any = false;
	for (int i = 0; i < TEXT_ENCODERS; i++) any |= m->tokenizers[i] != NULL;
	return any && denoiser_sizes_of(&m->family.denoiser).context;
}

/* The unconditional branch reads the negative prompt; the others are those that AND parts. */
static bool read_branches(
    conditioning *c, const model *m, const watcher *w, const prompt_branch *list, const prompt_request *p, error *e)
{
	int first = c->unconditional ? 1 : 0;
	c->chosen = calloc((size_t)c->steps * (size_t)c->branches, sizeof *c->chosen);
	if (!c->chosen) return fail(e, NO_MEMORY, "out of memory for %d steps", c->steps);
	for (int b = 0; b < c->branches; b++) c->weights[b] = b < first ? 1 : list[b - first].weight;
	if (!reads_text(m)) return true;
	c->width = family_context_width(&m->family);
	c->vector = family_vector_width(&m->family);
	c->size_numbers = family_size_numbers(&m->family);
	bool zero = p->zero_negative && !*p->negative;
	if (first && !read_steps(c, m, w, 0, p->negative, zero, e)) return false;
	for (int b = first; b < c->branches; b++)
		if (!read_steps(c, m, w, b, list[b - first].text, false, e)) return false;
	c->chunks = common_chunks(c);
	c->piece = common_piece(c, m);
	for (int i = 0; i < c->text_count; i++) prompt_text_cut(&c->texts[i], m, c->piece);
	c->tokens = chunk_length(&m->family) * c->chunks + c->piece;
	return true;
}

/* Where a prompt names a learned word whose file cannot be used, it is read as any other word. */
static void warn_of_unusable(const model *m, const watcher *w, const char *prompt)
{
	for (int i = 0; (i = embeddings_unusable_in(&m->words, i, prompt)) >= 0; i++)
		watcher_note(
		    w, SUMI_WARNING, "'%s' is read as plain words: %s", m->words.unusable[i].name, m->words.unusable[i].reason);
}

/* Stable Diffusion 3's CLIP was trained on texts of one chunk; longer ones were T5's to read. */
static void warn_of_missing(const conditioning *c, const model *m, const watcher *w)
{
	bool missing = false;
	for (int i = 0; i < TEXT_ENCODERS; i++) missing |= text_in_one_piece(&m->family.text[i]) && !m->tokenizers[i];
	for (int i = 0; missing && i < c->text_count; i++) {
		if (chunks_of(&c->texts[i]) < 2) continue;
		watcher_note(w, SUMI_WARNING,
		    "the prompt is longer than the %d tokens that CLIP reads at once, and T5, which reads the rest best, is "
		    "missing (--t5xxl FILE)",
		    chunk_length(&m->family) - 2);
		return;
	}
}

bool conditioning_read(conditioning *c, const model *m, const watcher *w, const prompt_request *p, error *e)
{
	prompt_branch list[MOST_BRANCHES - 1];
	int count = prompt_branches(p->positive, list, MOST_BRANCHES - 1, e);
	if (count < 0) return false;
	warn_of_unusable(m, w, p->positive);
	if (p->guided) warn_of_unusable(m, w, p->negative);
	c->steps = p->steps;
	c->branches = count + p->guided;
	c->unconditional = p->guided;
	bool fine = read_branches(c, m, w, list, p, e);
	if (fine) warn_of_missing(c, m, w);
	for (int i = 0; i < count; i++) free(list[i].text);
	return fine;
}

/* ── putting together ── */

/* One encoder's states of all texts, and where they go in contexts and vectors. */
typedef struct part {
	const family *f;
	int encoder;
	size_t one; /* floats of a chunk: states, then what is pooled */
	int column; /* in a row of the context */
	int row;    /* in the context: where a text in one piece begins */
	int place;  /* in the vector; −1: it pools nothing that is used */
} part;

/* Attention to a context and to that context said twice is the same: so all are repeated to one length. Where that
 * would be too long, the last repetition is cut. */
static void place_text(const conditioning *c, const part *p, const reading *r, const float *states, int text)
{
	size_t width = (size_t)text_width(&p->f->text[p->encoder]), row = (size_t)c->width;
	float *context = c->contexts + ((size_t)text * (size_t)c->tokens + (size_t)p->row) * row + p->column;
	int repeats = text_in_one_piece(&p->f->text[p->encoder]) ? 1 : c->chunks;
	for (int k = 0; k < repeats; k++)
		for (int i = 0; i < r->length; i++, context += row)
			memcpy(context, states + (size_t)(k % r->chunks) * p->one + (size_t)i * width, width * sizeof *context);
	int pooled = text_pooled_width(&p->f->text[p->encoder]);
	if (p->place < 0 || !pooled) return;
	memcpy(c->pooled + (size_t)text * (size_t)c->vector + p->place, states + (size_t)r->length * width,
	    (size_t)pooled * sizeof *states); /* of the first chunk */
}

static void place_all(const conditioning *c, const part *p, const float *states)
{
	for (int i = 0; i < c->text_count; i++) {
		const reading *r = &c->texts[i].of[p->encoder];
		if (!r->ids) continue;
		place_text(c, p, r, states, i);
		states += (size_t)r->chunks * p->one;
	}
}

/* Where the family's rule puts what encoder i gives. */
static part part_of(const conditioning *c, const family *f, int i)
{
	part p = { .f = f, .encoder = i, .place = -1 };
	bool piece = text_in_one_piece(&f->text[i]);
	p.one = text_states_count(f, i, piece ? c->piece : f->text[i].length);
	for (int k = 0; !piece && k < i; k++) p.column += text_width(&f->text[k]);
	switch (f->conditioning) {
	case ONE_CONTEXT: break;
	case SIDE_BY_SIDE:
		if (i == TEXT_ENCODERS - 1 || f->text[i + 1].kind == NO_TEXT) p.place = 0;
		break;
	case STACKED:
		p.row = piece ? c->tokens - c->piece : 0;
		p.place = 0;
		for (int k = 0; k < i; k++) p.place += text_pooled_width(&f->text[k]);
		break;
	}
	return p;
}

static bool make_room(conditioning *c, error *e)
{
	if (c->contexts) return true;
	c->contexts = calloc((size_t)c->text_count * (size_t)c->tokens * (size_t)c->width, sizeof *c->contexts);
	c->pooled = calloc((size_t)c->text_count * (size_t)c->vector + 1, sizeof *c->pooled);
	return (c->contexts && c->pooled) || fail(e, NO_MEMORY, "out of memory for %d texts", c->text_count);
}

bool conditioning_encode_by(
    conditioning *c, session *s, int encoder, const adapter_set *a, int skip, const watcher *w, error *e)
{
	const model *m = adapter_set_model(a);
	if (!c->text_count || !m->tokenizers[encoder]) return true;
	part p = part_of(c, &m->family, encoder);
	if (!make_room(c, e)) return false;
	float *states = encode_texts(s, c->texts, c->text_count, encoder, a, skip, w, e);
	if (states) place_all(c, &p, states);
	free(states);
	return states != NULL;
}

bool conditioning_encode(conditioning *c, session *s, const adapter_set *a, int skip, const watcher *w, error *e)
{
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (!conditioning_encode_by(c, s, i, a, skip, w, e)) return false;
	return true;
}

static int text_of(const conditioning *c, int step, int branch)
{
	if (step >= c->steps) step = c->steps - 1;
	return c->chosen[step * c->branches + branch];
}

const float *conditioning_context(const conditioning *c, int step, int branch)
{
	return c->contexts + (size_t)text_of(c, step, branch) * (size_t)c->tokens * (size_t)c->width;
}

const float *conditioning_marks(const conditioning *c, int step, int branch)
{
	if (c->unconditional && branch == 0) return NULL;
	return c->marks + (size_t)text_of(c, step, branch) * (size_t)c->tokens * (size_t)c->words;
}

/* openaimodel.py's timestep_embedding */
void size_waves(const double *sizes, int numbers, float *out)
{
	enum { HALF = SIZE_SINUSOIDS / 2 };
	for (int i = 0; i < numbers; i++, out += SIZE_SINUSOIDS)
		for (int k = 0; k < HALF; k++) {
			float angle = (float)sizes[i] * (float)exp(-log(10000) * k / HALF);
			out[k] = (float)cos((double)angle);
			out[HALF + k] = (float)sin((double)angle);
		}
}

/* What texts pool, then the waves of each size. */
void conditioning_vector(const conditioning *c, int step, int branch, float *out)
{
	int texts = c->vector - c->size_numbers * SIZE_SINUSOIDS;
	memcpy(out, c->pooled + (size_t)text_of(c, step, branch) * (size_t)c->vector, (size_t)texts * sizeof *out);
	size_waves(c->sizes[!(c->unconditional && branch == 0)], c->size_numbers, out + texts);
}

void conditioning_free(conditioning *c)
{
	for (int i = 0; i < c->text_count; i++) prompt_text_free(&c->texts[i]);
	free(c->texts);
	free(c->chosen);
	free(c->contexts);
	free(c->pooled);
	free(c->marks);
	*c = (conditioning){ 0 };
}
