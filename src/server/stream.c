/* stream.c - libmicrohttpd reads a stream in the thread of its connection. */
#include "server/stream.h"
#include <stdlib.h>
#include <string.h>

static ssize_t read_stream(void *context, uint64_t position, char *to, size_t most)
{
	job_stream *t = context;
	(void)position;
	if (t->sent == t->out.size) {
		if (t->ended) return MHD_CONTENT_READER_END_OF_STREAM;
		t->out.size = t->sent = 0;
		client_waits(t->r, true);
		queue_lock(server_queue(t->s));
		t->next(t);
		queue_unlock(server_queue(t->s));
		client_waits(t->r, false);
		if (t->out.failed) return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	size_t n = t->out.size - t->sent < most ? t->out.size - t->sent : most;
	memcpy(to, t->out.data + t->sent, n);
	t->sent += n;
	return (ssize_t)n;
}

/* The client may be gone: then the job ends at its next step. */
static void free_stream(void *context)
{
	job_stream *t = context;
	queue *q = server_queue(t->s);
	queue_lock(q);
	queue_cancel(q, t->j);
	while (t->j->state != DONE) queue_wait(q, t->j, 10);
	queue_unlock(q);
	job_free(t->j);
	free(t->out.data);
	free(t);
}

submitted stream_begin(job_stream *t, const char *type, reply *y)
{
	submitted done = queue_submit(server_queue(t->s), t->j);
	if (done != ACCEPTED) return done;
	y->stream = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 65536, read_stream, t, free_stream);
	y->type = type;
	if (!y->stream) free_stream(t);
	return ACCEPTED;
}
