/* host_streams.c - streams and events without a GPU. */
#include "host_streams.h"
#include <stdlib.h>
#include <string.h>

typedef struct work {
	work_fn *run;
	void *data;
	struct work *next;
} work;

struct stream {
	work *first, *last;
	uint64_t given; /* works so far */
	uint64_t knows; /* of the main stream's works, those that it waits for */
	stream *next;
};

struct event {
	stream *on;
	uint64_t recorded, done; /* how many times */
	uint64_t given;          /* to `on`, when it was recorded last */
};

typedef struct moment { /* of an event */
	event *event;
	uint64_t number;
} moment;

static stream *all;

stream *host_stream_main(void)
{
	stream *s = all;
	while (s && s->next) s = s->next;
	return s;
}

stream *host_stream_new(void)
{
	stream *s = calloc(1, sizeof *s);
	if (!s) return NULL;
	s->next = all;
	return all = s;
}

bool host_stream_is(const void *p)
{
	for (const stream *s = all; s; s = s->next)
		if (s == p) return true;
	return false;
}

bool host_stream_free(stream *s)
{
	stream **at = &all;
	if (s->first) return false;
	while (*at != s) at = &(*at)->next;
	*at = s->next;
	free(s);
	return true;
}

static bool run_first(stream *s, error *e)
{
	work *w = s->first;
	s->first = w->next;
	if (!s->first) s->last = NULL;
	bool fine = w->run(w->data, e);
	free(w->data);
	free(w);
	return fine;
}

bool host_stream_finish(stream *s, error *e)
{
	while (s->first)
		if (!run_first(s, e)) return false;
	return true;
}

static bool is_late(const stream *s)
{
	const char *late = getenv("SUMI_HOST_GPU_LATE");
	bool main_is = late && !strcmp(late, "main");
	return (s == host_stream_main()) == main_is;
}

bool host_stream_give(stream *s, work_fn *run, void *data, error *e)
{
	work *w = calloc(1, sizeof *w);
	if (!w || !data) return free(w), free(data), fail(e, NO_MEMORY, "out of memory");
	*w = (work){ run, data, NULL };
	if (s->last)
		s->last->next = w;
	else
		s->first = w;
	s->last = w;
	s->given++;
	return is_late(s) || host_stream_finish(s, e);
}

bool host_stream_knows_main(const stream *s) { return s->knows == host_stream_main()->given; }

/* ── events ── */

event *host_event_new(void) { return calloc(1, sizeof(event)); }
void host_event_free(event *v) { free(v); }
bool host_event_is_done(const event *v) { return v->done == v->recorded; }

static bool be_done(void *data, error *e)
{
	const moment *m = data;
	(void)e;
	m->event->done = m->number;
	return true;
}

static moment *moment_of(event *v)
{
	moment *m = malloc(sizeof *m);
	if (m) *m = (moment){ v, v->recorded };
	return m;
}

bool host_event_record(event *v, stream *on, error *e)
{
	v->on = on;
	v->recorded++;
	v->given = on->given + 1;
	return host_stream_give(on, be_done, moment_of(v), e);
}

static bool await(void *data, error *e)
{
	const moment *m = data;
	while (m->event->done < m->number) {
		if (!m->event->on->first) return fail(e, BAD_USAGE, "the recording device: an event that never comes");
		if (!run_first(m->event->on, e)) return false;
	}
	return true;
}

bool host_stream_wait(stream *s, event *of, error *e)
{
	if (!of->recorded) return fail(e, BAD_USAGE, "the recording device: waits for an event that was not recorded");
	if (of->on == host_stream_main()) s->knows = of->given;
	return host_stream_give(s, await, moment_of(of), e);
}
