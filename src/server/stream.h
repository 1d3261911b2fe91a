/* stream.h - an answer that is written while its job is drawn: events, one after the other, until the job is DONE. */
#ifndef SUMI_SERVER_STREAM_H
#define SUMI_SERVER_STREAM_H
#include "server/http.h"

typedef struct job_stream job_stream;
struct job_stream { /* the first member of a struct from calloc(), which belongs to the stream once it has begun */
	server *s;
	request *r; /* lives while it is read */
	job *j;     /* freed with the stream */
	/* In the queue's lock, which it may leave and take again: waits for the next event, by wait_for_change(), and adds
	 * it to `out`. */
	void (*next)(job_stream *t);
	buffer out;
	bool ended; /* set by `next` with the last event */
	/* the stream's own */
	size_t sent;
};

/* Submits t->j and answers with the stream. If it is not ACCEPTED, t and its job are the caller's as before. ACCEPTED
 * without y->stream: there was no memory, and both are freed. */
submitted stream_begin(job_stream *t, const char *type, reply *y);

#endif
