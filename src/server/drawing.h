/* drawing.h - how the queue's thread makes pictures: jobs that are alike together, each with its own progress and end.
 */
#ifndef SUMI_SERVER_DRAWING_H
#define SUMI_SERVER_DRAWING_H
#include "server/jobs.h"

/* Whether two jobs of one model go through its networks together: their options differ in texts and seeds alone. */
bool jobs_alike(const job *a, const job *b);
/* Makes the pictures of these jobs, which are alike and RUNNING. A job that is cancelled on the way is DONE at the next
 * step; the rest, or what went wrong with each, is in the job when this returns. */
void draw_group(queue *q, sumi_session *session, job *const *jobs, int count);

/* Of the queue, in its lock: the job is DONE and counted. */
void queue_end(queue *q, job *j);

#endif
