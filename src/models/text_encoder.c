/* text_encoder.c - which functions build which kind of text encoder. */
#include "models/text_encoder.h"

int text_width(const text_config *t)
{
	switch (t->kind) {
	case CLIP_TEXT: return t->clip.width;
	case TRANSFORMER_TEXT: return t->transformer.width;
	case T5_TEXT: return t->t5.width;
	case NO_TEXT: break;
	}
	return 0;
}

int text_pooled_width(const text_config *t)
{
	if (t->kind != CLIP_TEXT || !t->pooled) return 0;
	return t->clip.projection ? t->clip.projection : t->clip.width;
}

int text_vocabulary(const text_config *t)
{
	switch (t->kind) {
	case CLIP_TEXT: return t->clip.vocabulary;
	case TRANSFORMER_TEXT: return t->transformer.vocabulary;
	case T5_TEXT: return t->t5.vocabulary;
	case NO_TEXT: break;
	}
	return 0;
}

int text_positions(const text_config *t)
{
	switch (t->kind) {
	case CLIP_TEXT: return t->clip.positions;
	case TRANSFORMER_TEXT: return t->transformer.positions;
	case T5_TEXT: return T5_TOKENS;
	case NO_TEXT: break;
	}
	return 0;
}

const char *text_table_name(const text_config *t)
{
	switch (t->kind) {
	case CLIP_TEXT: return t->clip.fused ? "token_embedding.weight" : "text_model.embeddings.token_embedding.weight";
	case TRANSFORMER_TEXT: return "token_emb.weight";
	case T5_TEXT: return "shared.weight";
	case NO_TEXT: break;
	}
	return "";
}

bool text_in_one_piece(const text_config *t) { return t->kind == T5_TEXT; }

static text_states encode_clip(nn *n, const text_config *t, tensor ids, tensor ends, int skip)
{
	graph *g = n->g;
	const clip_config *c = &t->clip;
	bool pools = t->pooled && ends;
	clip_states s = clip_encode(n, c, ids, skip < 0 ? t->skip : skip, pools);
	text_states y = { .states = t->final_norm ? clip_final_norm(n, c, s.taken) : s.taken };
	y.states = cast(g, y.states, REAL);
	if (pools) y.pooled = cast(g, clip_pooled(n, c, clip_final_norm(n, c, s.last), ends, c->projection > 0), REAL);
	return y;
}

text_states text_encode(nn *n, const text_config *t, tensor ids, tensor ends, int skip)
{
	switch (t->kind) {
	case CLIP_TEXT: return encode_clip(n, t, ids, ends, skip);
	case TRANSFORMER_TEXT:
		return (text_states){ .states = cast(n->g, transformer_encode(n, &t->transformer, ids), REAL) };
	case T5_TEXT: return (text_states){ .states = t5_encode(n, &t->t5, ids, 0) };
	case NO_TEXT: graph_fail(n->g, "this model has no text encoder");
	}
	return (text_states){ 0 };
}

void text_build_dry(nn *n, const text_config *t)
{
	graph *g = n->g;
	if (t->kind == NO_TEXT) return;
	tensor ids = input(g, "ids", I32, shape2(1, 1));
	if (t->kind == T5_TEXT) {
		t5_encode(n, &t->t5, ids, 0);
		t5_copy_of_tokens(n, &t->t5);
		return;
	}
	if (t->kind == TRANSFORMER_TEXT) {
		tensor states = transformer_encode(n, &t->transformer, ids);
		if (t->transformer.logits) transformer_logits(n, &t->transformer, states);
		return;
	}
	tensor last = clip_final_norm(n, &t->clip, clip_encode(n, &t->clip, ids, 0, true).last);
	if (t->clip.projection) clip_pooled(n, &t->clip, last, input(g, "ends", I32, shape1(1)), true);
}
