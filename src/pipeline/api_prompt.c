/* api_prompt.c - the public function that says how a prompt is read. */
#include "pipeline/prompt_text.h"
#include "text/prompt.h"
#include <stdlib.h>

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
