/* begin.c - how soon a session's pictures begin: the time from the call to the denoiser's first step, of a first
 * picture, of the same prompt again, and of other prompts.
 *
 *     begin MODEL [WIDTH HEIGHT]
 */
#include "base/clock.h"
#include "sumi.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct stopwatch {
	double wall, processor;
	bool stop; /* at the first step: what comes after it is not measured */
} stopwatch;

static double processor_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

static int on_progress(void *context, const char *stage, int step, int steps)
{
	stopwatch *s = context;
	(void)steps;
	if (strcmp(stage, "denoise") || step) return 0;
	s->wall = seconds_now() - s->wall;
	s->processor = processor_seconds() - s->processor;
	return s->stop;
}

static bool time_one(sumi_session *session, sumi_options *o, const char *what, bool stop, sumi_error *e)
{
	stopwatch s = { seconds_now(), processor_seconds(), stop };
	sumi_listener l = sumi_listener_defaults();
	l.context = &s;
	l.progress = on_progress;
	o->listener = &l;
	sumi_image_free(sumi_session_draw(session, o, e));
	if (e->status == SUMI_STOPPED) *e = (sumi_error){ 0 };
	if (!e->status) printf("%-14s %8.1f ms, %8.1f ms of processor time\n", what, 1e3 * s.wall, 1e3 * s.processor);
	return !e->status;
}

int main(int argc, char **argv)
{
	static const char *const others[] = { "a ship in a bottle", "two owls on a branch at night, in ink",
		"a portrait of an old sailor", "mountains" };
	if (argc != 2 && argc != 4) return fputs("usage: begin MODEL [WIDTH HEIGHT]\n", stderr), 2;
	sumi_error e = { 0 };
	sumi_options o = sumi_defaults();
	sumi_model *model = sumi_open(argv[1], NULL, &e);
	sumi_session *session = sumi_session_open(model, NULL, &e);
	o.steps = 1;
	o.prompt = "a red fox in the snow";
	if (argc == 4) o.width = atoi(argv[2]), o.height = atoi(argv[3]);
	bool fine = session && time_one(session, &o, "first picture", false, &e) &&
	            time_one(session, &o, "the same again", true, &e);
	for (size_t i = 0; fine && i < sizeof others / sizeof *others; i++) {
		o.prompt = others[i];
		fine = time_one(session, &o, "another prompt", true, &e);
	}
	sumi_session_close(session);
	sumi_close(model);
	if (!fine) fprintf(stderr, "begin: %s\n", e.text);
	return e.status;
}
