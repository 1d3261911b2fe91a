/* token_sink.h - where the tokenizers put tokens: keeps the first `most`, counts all. */
#ifndef SUMI_TEXT_TOKEN_SINK_H
#define SUMI_TEXT_TOKEN_SINK_H
#include <stddef.h>
#include <stdint.h>

typedef struct token_sink {
	int32_t *ids;
	size_t most, count;
} token_sink;

static inline void put_token(token_sink *s, int32_t id)
{
	if (s->count < s->most) s->ids[s->count] = id;
	s->count++;
}

#endif
