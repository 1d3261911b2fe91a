/* status.c - how the server is: /health for whoever starts it, /metrics for Prometheus. */
#include "server/api.h"
#include "base/clock.h"
#include <stdio.h>

void health(server *s, request *r, reply *y)
{
	queue_status q;
	(void)r;
	queue_lock(server_queue(s));
	queue_report(server_queue(s), &q);
	queue_unlock(server_queue(s));
	reply_json(y, 200,
	    json_pack("{s:s, s:s, s:s, s:i, s:b}", "status", "ok", "version", sumi_version(), "model", q.model, "waiting",
	        q.waiting, "drawing", q.running != NULL));
}

void metrics(server *s, request *r, reply *y)
{
	queue_status q;
	char text[2048];
	(void)r;
	queue_lock(server_queue(s));
	queue_report(server_queue(s), &q);
	queue_unlock(server_queue(s));
	snprintf(text, sizeof text,
	    "# TYPE sumi_jobs_total counter\n"
	    "sumi_jobs_total{result=\"done\"} %llu\nsumi_jobs_total{result=\"failed\"} %llu\n"
	    "sumi_jobs_total{result=\"cancelled\"} %llu\nsumi_jobs_total{result=\"refused\"} %llu\n"
	    "# TYPE sumi_pictures_total counter\nsumi_pictures_total %llu\n"
	    "# TYPE sumi_batches_total counter\nsumi_batches_total %llu\n"
	    "# TYPE sumi_drawing_seconds_total counter\nsumi_drawing_seconds_total %.3f\n"
	    "# TYPE sumi_queue_waiting gauge\nsumi_queue_waiting %d\n"
	    "# TYPE sumi_drawing gauge\nsumi_drawing %d\n"
	    "# TYPE sumi_session_bytes gauge\nsumi_session_bytes %llu\n"
	    "# TYPE sumi_uptime_seconds gauge\nsumi_uptime_seconds %.0f\n",
	    (unsigned long long)(q.jobs - q.failed - q.cancelled), (unsigned long long)q.failed,
	    (unsigned long long)q.cancelled, (unsigned long long)q.refused, (unsigned long long)q.pictures,
	    (unsigned long long)q.batches, q.busy, q.waiting, q.together, (unsigned long long)q.bytes,
	    seconds_now() - server_started(s));
	y->type = "text/plain; version=0.0.4";
	buffer_add_text(&y->body, text);
}
