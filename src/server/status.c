/* status.c - how the server is: /health for whoever starts it, /metrics for Prometheus; and the table of routes. */
#include "server/api.h"
#include "base/clock.h"
#include <stdio.h>

const route routes[] = {
	{ "GET", "/", page },
	{ "GET", "/style.css", page },
	{ "GET", "/app.js", page },
	{ "GET", "/health", health },
	{ "GET", "/metrics", metrics },
	{ "GET", "/pictures/", kept_picture },
	{ "GET", "/v1/models", openai_models },
	{ "POST", "/v1/images/generations", openai_generations },
	{ "POST", "/v1/images/edits", openai_edits },
	{ "POST", "/sdapi/v1/txt2img", a1111_txt2img },
	{ "POST", "/sdapi/v1/img2img", a1111_img2img },
	{ "GET", "/sdapi/v1/progress", a1111_progress },
	{ "POST", "/sdapi/v1/interrupt", a1111_interrupt },
	{ "POST", "/sdapi/v1/skip", a1111_skip },
	{ "GET", "/sdapi/v1/samplers", a1111_samplers },
	{ "GET", "/sdapi/v1/schedulers", a1111_schedulers },
	{ "GET", "/sdapi/v1/sd-models", a1111_models },
	{ "POST", "/sdapi/v1/refresh-checkpoints", a1111_refresh },
	{ "GET", "/sdapi/v1/sd-vae", a1111_vaes },
	{ "GET", "/sdapi/v1/upscalers", a1111_upscalers },
	{ "GET", "/sdapi/v1/latent-upscale-modes", a1111_latent_upscalers },
	{ "GET", "/sdapi/v1/options", a1111_options },
	{ "POST", "/sdapi/v1/options", a1111_set_options },
	{ "POST", "/sdapi/v1/png-info", a1111_png_info },
	{ "GET", "/sdapi/v1/memory", a1111_memory },
	{ NULL, NULL, NULL },
};

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
	bool drawing = q.running != NULL;
	queue_unlock(server_queue(s));
	snprintf(text, sizeof text,
	    "# TYPE sumi_jobs_total counter\n"
	    "sumi_jobs_total{result=\"done\"} %llu\nsumi_jobs_total{result=\"failed\"} %llu\n"
	    "sumi_jobs_total{result=\"cancelled\"} %llu\nsumi_jobs_total{result=\"refused\"} %llu\n"
	    "# TYPE sumi_pictures_total counter\nsumi_pictures_total %llu\n"
	    "# TYPE sumi_drawing_seconds_total counter\nsumi_drawing_seconds_total %.3f\n"
	    "# TYPE sumi_queue_waiting gauge\nsumi_queue_waiting %d\n"
	    "# TYPE sumi_drawing gauge\nsumi_drawing %d\n"
	    "# TYPE sumi_session_bytes gauge\nsumi_session_bytes %llu\n"
	    "# TYPE sumi_uptime_seconds gauge\nsumi_uptime_seconds %.0f\n",
	    (unsigned long long)(q.jobs - q.failed - q.cancelled), (unsigned long long)q.failed,
	    (unsigned long long)q.cancelled, (unsigned long long)q.refused, (unsigned long long)q.pictures, q.busy,
	    q.waiting, drawing, (unsigned long long)q.bytes, seconds_now() - server_started(s));
	y->type = "text/plain; version=0.0.4";
	buffer_add_text(&y->body, text);
}
