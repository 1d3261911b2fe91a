/* host_streams.h - the streams and events of host_driver.c. Work of a stream runs in its order; when, is as bad as a
 * GPU could make it: the first stream's at once and every other's not before something waits for it, or, where
 * SUMI_HOST_GPU_LATE is "main", the other way round. So what does not wait for what it needs finds it missing, and what
 * is overwritten too early is found overwritten. */
#ifndef SUMI_TESTS_CUDA_HOST_STREAMS_H
#define SUMI_TESTS_CUDA_HOST_STREAMS_H
#include "base/error.h"
#include <stdint.h>

typedef struct stream stream;
typedef struct event event;

/* Does the work of `data`, which is freed afterwards. */
typedef bool work_fn(void *data, error *e);

stream *host_stream_new(void); /* the first is the main one */
stream *host_stream_main(void);
bool host_stream_is(const void *p); /* one of ours that is alive */
bool host_stream_free(stream *s);   /* false: work is left in it */
/* Takes over `data`, of malloc (NULL is an error: there was no memory). */
bool host_stream_give(stream *s, work_fn *run, void *data, error *e);
bool host_stream_finish(stream *s, error *e); /* runs what it has been given */
bool host_stream_wait(stream *s, event *of, error *e);
bool host_stream_knows_main(const stream *s); /* it waits for all that the main one has been given */

event *host_event_new(void);
void host_event_free(event *v);
bool host_event_record(event *v, stream *on, error *e);
bool host_event_is_done(const event *v);

#endif
