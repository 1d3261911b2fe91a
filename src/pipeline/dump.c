/* dump.c - a network as text. */
#include "pipeline/decode.h"
#include "pipeline/denoise.h"
#include "pipeline/engine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The dump of a graph, to a writer callback. */
static bool write_dump(const graph *g, sumi_write_fn *write, void *context, error *e)
{
	char *text = NULL;
	size_t count = 0;
	FILE *to = open_memstream(&text, &count);
	if (to) graph_dump(g, to);
	bool fine = to && !fclose(to);
	if (!fine)
		fail(e, NO_MEMORY, "out of memory for the text");
	else if (!write(context, text, count))
		fine = fail(e, BAD_FILE, "the text could not be written");
	free(text);
	return fine;
}

static stage *choose(session *s, job *j, const char *name, error *e)
{
	job *const one[] = { j };
	stage *chosen = NULL;
	if (!strcmp(name, "denoise"))
		chosen = denoiser_network(s, one, 1, e);
	else if (!strcmp(name, "decode"))
		chosen = decoder_network(s, j, 1, e);
	else if (!strcmp(name, "encode"))
		chosen = text_network(s, j->text.texts, j->text.text_count, 0, j->adapters, j->skip, e);
	if (!chosen) fail(e, BAD_USAGE, "'%.40s' is no network of this model: encode, denoise or decode", name);
	return chosen;
}

/* Run twice: the first run warms caches up, and is not counted. */
static bool profile_run(session *s, stage *chosen, const watcher *w, error *e)
{
	uint64_t planned;
	if (!session_has_room(s, stage_bytes(chosen), chosen->name, &planned, e) ||
	    !stage_allocate(chosen, session_model(s), w, e) || !stage_run(chosen, e))
		return false;
	graph_profile(chosen->g, true);
	return stage_run(chosen, e);
}

bool engine_dump(
    session *s, const sumi_options *o, const char *name, bool profile, sumi_write_fn *write, void *context, error *e)
{
	job j = { 0 };
	watcher w = { 0 };
	bool fine = watcher_of(&w, o, e) && job_prepare(&j, s, &w, o, e);
	stage *chosen = fine ? choose(s, &j, name, e) : NULL;
	fine = chosen && (!profile || profile_run(s, chosen, &w, e)) && write_dump(chosen->g, write, context, e);
	job_free(&j);
	return fine;
}
