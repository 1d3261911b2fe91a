/* vocabulary.c - gathers the texts of a set for wordpiece_learn(). */
#include "train/data/vocabulary.h"
#include "text/wordpiece_learn.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXTS = 1000000 };

typedef struct gathering {
	char **texts;
	size_t count, room;
	bool failed; /* out of memory: the texts are not all there */
} gathering;

static bool gather(void *context, const char *text)
{
	gathering *g = context;
	if (g->count == g->room) {
		size_t room = g->room ? 2 * g->room : 1024;
		char **more = realloc(g->texts, room * sizeof *more);
		if (!more) return g->failed = true, false;
		g->texts = more;
		g->room = room;
	}
	g->texts[g->count] = strdup(text);
	g->failed = !g->texts[g->count];
	g->count += !g->failed;
	return !g->failed;
}

char *learn_vocabulary(data *d, int size, error *e)
{
	gathering g = { 0 };
	char *lines = NULL;
	size_t length;
	bool fine = data_texts(d, MOST_TEXTS, gather, &g, e);
	if (fine && g.failed) fine = fail(e, NO_MEMORY, "no memory for the texts of the set");
	if (fine) lines = wordpiece_learn((const char *const *)g.texts, g.count, (size_t)size, &length, e);
	for (size_t i = 0; i < g.count; i++) free(g.texts[i]);
	free(g.texts);
	return lines;
}
