/* generate_list.c - sumi generate --prompts: a picture for each line, left out where it is there already. */
#include "cli/generate.h"
#include "cli/numbering.h"
#include "cli/wildcards.h"
#include <stdio.h>
#include <unistd.h>

typedef struct line_target {
	generate_settings *settings;
	const char *origin;
} line_target;

static int set_of_line(void *context, const char *name, const char *value)
{
	line_target *t = context;
	return generate_set(t->settings, t->origin, name, value);
}

/* The settings and the path of line i; the exit code, after a message; 0: fine. */
static int line_settings(
    prompt_list *p, int i, const generate_settings *s, generate_settings *one, char *path, size_t size)
{
	char origin[48];
	snprintf(origin, sizeof origin, "--prompts: line %d", i + 1);
	*one = *s;
	if (s->wildcards) one->seed += i; /* other words in each */
	int code = prompt_list_options(p, i, set_of_line, &(line_target){ one, origin });
	if (code) return code;
	bool own = one->output != s->output;
	bool fits = own ? numbered_path(path, size, one->output, 1, 1)
	                : numbered_path(path, size, s->output, i + 1, p->count > 1 ? p->count : 2);
	return fits ? 0 : complain(2, "%s: the path is too long", origin);
}

static void draw_line(
    sumi_session *session, const generate_settings *s, const sumi_options *common, viewer *v, sumi_error *e)
{
	filled_texts texts = { 0 };
	sumi_options o = *common;
	generate_options(&o, s);
	sumi_image *picture = NULL;
	if (wildcards_fill_options(&o, s->wildcards, &texts))
		picture = sumi_session_draw(session, &o, e);
	else
		*e = (sumi_error){ .status = SUMI_BAD_FILE };
	progress_end(&v->progress);
	if (picture) write_pictures(&picture, 0, 1, s, v, e);
	filled_texts_free(&texts);
}

void generate_list(
    sumi_model *model, const generate_settings *s, const sumi_options *common, prompt_list *p, viewer *v, sumi_error *e)
{
	int rank, processes, left_out = 0;
	sumi_session *session = sumi_session_open(model, NULL, e);
	generate_settings seeded = *s;
	if (s->wildcards) seeded.seed = choose_seed(s->seed);
	process_share(&rank, &processes);
	for (int i = rank; i < p->count && !e->status; i += processes) {
		generate_settings one;
		char path[4096];
		int code = line_settings(p, i, &seeded, &one, path, sizeof path);
		if (code) {
			*e = (sumi_error){ .status = (sumi_status)code };
			break;
		}
		if (!access(path, F_OK)) {
			left_out++;
			continue;
		}
		one.output = path;
		one.count = 1;
		draw_line(session, &one, common, v, e);
	}
	if (left_out && !s->quiet) fprintf(stderr, "%d of %d pictures were there already\n", left_out, p->count);
	sumi_session_close(session);
}
