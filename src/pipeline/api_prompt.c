/* api_prompt.c - the public function that says how a prompt is read. */
#include "pipeline/prompt_text.h"
#include "text/prompt.h"
#include <stdlib.h>
#include <string.h>

static bool tell_pieces(const char *text, sumi_prompt_fn *each, void *context, error *e)
{
	prompt_pieces p;
	if (!prompt_pieces_read(&p, text, e)) return false;
	for (size_t i = 0; i < p.count; i++)
		if (p.list[i].length) each(context, p.text + p.list[i].first, p.list[i].length, p.list[i].weight);
	prompt_pieces_free(&p);
	return true;
}

/* The first encoder that reads chunks counts, as it is the one that a long prompt is too long for; else T5. */
static const reading *longest_reading(const prompt_text *t, const model *m)
{
	const reading *found = NULL;
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (t->of[i].ids && (!found || text_in_one_piece(&m->family.text[found - t->of]))) found = &t->of[i];
	return found;
}

static bool read_branch(
    const model *m, const char *branch, int *tokens, int *room, sumi_prompt_fn *each, void *context, error *e)
{
	prompt_text t = { 0 };
	char *text = prompt_at_step(branch, 1, 1000, e);
	bool fine = text && prompt_text_read(&t, m, NULL, text, e) && (!each || tell_pieces(text, each, context, e));
	const reading *r = fine ? longest_reading(&t, m) : NULL;
	if (r && r->tokens >= *tokens) {
		int ends = text_in_one_piece(&m->family.text[r - t.of]) ? 1 : 2;
		*tokens = r->tokens;
		*room = r->chunks * (r->length - ends);
	}
	prompt_text_free(&t);
	free(text);
	return fine;
}

static bool read_prompt(
    const model *m, const char *prompt, int *tokens, int *room, sumi_prompt_fn *each, void *context, error *e)
{
	prompt_branch list[16];
	char *text = prompt_without_loras(prompt, NULL, NULL, e);
	int count = text ? prompt_branches(text, list, sizeof list / sizeof *list, e) : -1;
	bool fine = count >= 0;
	for (int i = 0; i < count; i++) {
		fine = fine && read_branch(m, list[i].text, tokens, room, each, context, e);
		free(list[i].text);
	}
	free(text);
	return fine;
}

bool sumi_prompt_read(
    const sumi_model *m, const char *prompt, int *tokens, int *room, sumi_prompt_fn *each, void *context, sumi_error *e)
{
	error own = error_of_caller(e);
	int all = 0, most = 0;
	if (!failed(&own) && (!m || !prompt)) fail(&own, BAD_USAGE, "no model or no prompt to read");
	if (!failed(&own)) read_prompt(m, prompt, &all, &most, each, context, &own);
	if (tokens) *tokens = all;
	if (room) *room = most;
	return tell_caller(e, &own);
}

static const char *learned_word(const model *m, int row)
{
	for (int i = 0; i < m->words.count; i++)
		if (row >= m->words.words[i].first && row < m->words.words[i].first + m->words.words[i].count)
			return m->words.words[i].name;
	return "";
}

static bool tell_tokens(const model *m, int encoder, const char *text, sumi_token_fn *each, void *context, error *e)
{
	const tokenizer *t = m->tokenizers[encoder];
	int words = text_in_one_piece(&m->family.text[encoder]) ? 0 : m->words.count;
	size_t n, length = strlen(text);
	if (!new_words_encode(m->words.words, words, t, text, length, NULL, 0, &n, e)) return false;
	int32_t *ids = malloc((n + 1) * sizeof *ids);
	bool fine = ids || fail(e, NO_MEMORY, "out of memory for %zu tokens", n);
	fine = fine && new_words_encode(m->words.words, words, t, text, length, ids, n, &n, e);
	for (size_t i = 0; fine && i < n; i++) {
		char token[256];
		tokenizer_token(t, ids[i], token, sizeof token);
		each(
		    context, encoder, ids[i], ids[i] < tokenizer_size(t) ? token : learned_word(m, ids[i] - tokenizer_size(t)));
	}
	free(ids);
	return fine;
}

bool sumi_prompt_tokens(const sumi_model *m, const char *text, sumi_token_fn *each, void *context, sumi_error *e)
{
	error own = error_of_caller(e);
	if (!failed(&own) && (!m || !text || !each))
		fail(&own, BAD_USAGE, "no model, no text, or nothing to take its tokens");
	for (int i = 0; !failed(&own) && i < TEXT_ENCODERS; i++)
		if (m->tokenizers[i]) tell_tokens(m, i, text, each, context, &own);
	return tell_caller(e, &own);
}
