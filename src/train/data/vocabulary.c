/* vocabulary.c - gathers the texts of a set for wordpiece_learn(). */
#include "train/data/vocabulary.h"
#include "text/wordpiece_learn.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXTS = 1000000 };

typedef struct gathering {
	char **texts;
	size_t count, room;
} gathering;

static bool gather(void *context, const char *text)
{
	gathering *g = context;
	if (g->count == g->room) {
		size_t room = g->room ? 2 * g->room : 1024;
		char **more = realloc(g->texts, room * sizeof *more);
		if (!more) return false;
		g->texts = more;
		g->room = room;
	}
	g->texts[g->count] = strdup(text);
	return g->texts[g->count] && ++g->count;
}

char *learn_vocabulary(data *d, int size, error *e)
{
	gathering g = { 0 };
	char *lines = NULL;
	size_t length;
	if (data_texts(d, MOST_TEXTS, gather, &g, e))
		lines = wordpiece_learn((const char *const *)g.texts, g.count, (size_t)size, &length, e);
	for (size_t i = 0; i < g.count; i++) free(g.texts[i]);
	free(g.texts);
	return lines;
}
