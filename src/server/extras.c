/* extras.c - A1111's extra-single-image and extra-batch-images: pictures made larger by a network of the server's
 * folder or by Lanczos, in the queue like all other work. */
#include "server/a1111.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 16384, MOST_PIXELS = 1 << 26 }; /* to a side of the result; and of all of it */

typedef struct extras { /* what is asked of each picture */
	char path[4096];    /* the network; "lanczos"; "": the size stays */
	double scale;       /* 0: to width × height */
	int width, height;
	bool crop;
} extras;

/* ── reading ── */

static void refuse_what_is_not_done(const json_t *o, problem *p)
{
	static const char *const fields[] = { "gfpgan_visibility", "codeformer_visibility", NULL };
	double second = 0;
	for (int i = 0; fields[i]; i++)
		if (!a1111_is_off(json_object_get(o, fields[i])))
			problem_set(p, 422, fields[i], "%s: faces are not restored by this server", fields[i]);
	field_number(o, "extras_upscaler_2_visibility", 0, 1, &second, p);
	if (second > 0 && !a1111_is_off(json_object_get(o, "upscaler_2")))
		problem_set(p, 422, "upscaler_2", "a second upscaler is not done by this server");
}

static void read_extras(server *s, const json_t *o, extras *x, problem *p)
{
	const char *name = "None";
	int64_t mode = 0, width = 512, height = 512;
	double scale = 2;
	refuse_what_is_not_done(o, p);
	x->crop = true;
	field_text(o, "upscaler_1", &name, p);
	field_integer(o, "resize_mode", 0, 1, &mode, p);
	field_number(o, "upscaling_resize", 1e-3, 64, &scale, p);
	field_integer(o, "upscaling_resize_w", 1, LONGEST, &width, p);
	field_integer(o, "upscaling_resize_h", 1, LONGEST, &height, p);
	field_flag(o, "upscaling_crop", &x->crop, p);
	x->scale = mode ? 0 : scale;
	x->width = (int)width;
	x->height = (int)height;
	if (!*name || !strcasecmp(name, "None"))
		*x->path = 0;
	else if (!strcasecmp(name, "Lanczos"))
		strcpy(x->path, "lanczos");
	else if (!p->status && !a1111_find_network(s, name, x->path))
		problem_set(p, 422, "upscaler_1", "no upscaler '%.60s'; GET /sdapi/v1/upscalers lists them", name);
}

/* ── the work, in the queue's thread ── */

/* As often through the network as it takes, at most three times, as A1111 does. */
static sumi_image *enlarge(
    const char *path, const sumi_image *from, int width, int height, const sumi_listener *l, sumi_error *e)
{
	enum { MOST_PASSES = 3 };
	sumi_upscale_options how = sumi_upscale_defaults();
	sumi_upscaler *network = sumi_upscaler_open(path, NULL, e);
	sumi_image *now = NULL;
	how.listener = l;
	for (int i = 0; network && i < MOST_PASSES && (!now || now->width < width || now->height < height); i++) {
		const sumi_image *source = now ? now : from;
		sumi_image *next = sumi_upscale(network, source, &how, e);
		sumi_image_free(now);
		now = next;
		if (!now || sumi_upscaler_scale(network) < 2) break;
	}
	sumi_upscaler_close(network);
	return now;
}

static sumi_image *make_larger(job *j, const sumi_listener *l, sumi_error *e)
{
	const sumi_options *o = &j->options;
	const char *path = o->hires_upscaler;
	sumi_image *large = path && strcmp(path, "lanczos") ? enlarge(path, o->init, o->width, o->height, l, e) : NULL;
	if (!large) return e->status ? NULL : sumi_image_resize(o->init, o->width, o->height, e);
	if (large->width == o->width && large->height == o->height) return large;
	sumi_image *out = sumi_image_resize(large, o->width, o->height, e);
	sumi_image_free(large);
	return out;
}

/* The middle of a picture, on black where it is smaller. */
static sumi_image *cropped(const sumi_image *p, int width, int height)
{
	sumi_image *out = sumi_image_new(width, height, NULL, NULL);
	int left = width / 2 - p->width / 2, top = height / 2 - p->height / 2;
	for (int y = 0; out && y < height; y++)
		for (int x = 0; x < width; x++)
			if (y >= top && y - top < p->height && x >= left && x - left < p->width)
				memcpy(out->pixels + 3 * ((size_t)y * (size_t)width + (size_t)x),
				    p->pixels + 3 * ((size_t)(y - top) * (size_t)p->width + (size_t)(x - left)), 3);
	if (out && p->parameters) out->parameters = strdup(p->parameters);
	return out;
}

/* The picture in base64; NULL: there is a problem. `picture` is taken. */
static json_t *work(server *s, request *r, const extras *x, sumi_image *picture, problem *p)
{
	job *j = job_new();
	json_t *answer = NULL;
	if (!j) problem_set(p, 503, "", "out of memory");
	if (p->status) {
		sumi_image_free(picture);
		job_free(j);
		return NULL;
	}
	double k = x->scale > 0 ? x->scale : fmax((double)x->width / picture->width, (double)x->height / picture->height);
	/* By a factor, A1111 rounds down to multiples of 8. */
	double width = floor(picture->width * k / 8) * 8, height = floor(picture->height * k / 8) * 8;
	j->options.init = picture;
	j->options.width = *x->path ? (int)fmax(fmin(width, LONGEST), 8) : picture->width;
	j->options.height = *x->path ? (int)fmax(fmin(height, LONGEST), 8) : picture->height;
	j->make = make_larger;
	if (fmax(width, height) > LONGEST || width * height > MOST_PIXELS)
		problem_set(p, 422, "upscaling_resize", "the picture would be %.0f x %.0f, at most %d to a side and %d pixels",
		    width, height, LONGEST, MOST_PIXELS);
	if (*x->path && !job_text(&j->options.hires_upscaler, x->path)) problem_set(p, 503, "", "out of memory");
	if (!p->status) a1111_refuse_submission(s, draw_for(s, r, j), p);
	if (!p->status) problem_of(s, p, &j->error);
	if (!p->status) {
		bool crop = !(x->scale > 0) && x->crop && *x->path;
		sumi_image *middle = crop ? cropped(j->pictures[0], x->width, x->height) : NULL;
		answer = picture_json(middle ? middle : j->pictures[0], "png", 0);
		if (!answer) problem_set(p, 503, "", "out of memory");
		sumi_image_free(middle);
	}
	job_free(j);
	return answer;
}

/* ── answering ── */

static json_t *described(const extras *x)
{
	char text[128] = "";
	if (*x->path && x->scale > 0) snprintf(text, sizeof text, "<p>Postprocess upscale by: %g</p>", x->scale);
	if (*x->path && !(x->scale > 0))
		snprintf(text, sizeof text, "<p>Postprocess upscale to: %dx%d</p>", x->width, x->height);
	return json_string(text);
}

void a1111_extra_single(server *s, request *r, reply *y)
{
	problem p = { 0 };
	extras x = { 0 };
	sumi_image *picture = NULL;
	read_extras(s, r->json, &x, &p);
	field_picture(r->json, "image", &picture, &p);
	if (!picture) problem_set(&p, 422, "image", "image is missing");
	json_t *made = picture ? work(s, r, &x, picture, &p) : NULL;
	if (p.status)
		a1111_refuse(y, &p);
	else
		reply_json(y, 200, json_pack("{s:o, s:O}", "html_info", described(&x), "image", made));
	json_decref(made);
}

void a1111_extra_batch(server *s, request *r, reply *y)
{
	problem p = { 0 };
	extras x = { 0 };
	json_t *list = json_object_get(r->json, "imageList"), *one, *made = json_array();
	size_t i;
	read_extras(s, r->json, &x, &p);
	if (!json_array_size(list)) problem_set(&p, 422, "imageList", "imageList is missing, or empty");
	json_array_foreach(list, i, one)
	{
		sumi_image *picture = NULL;
		field_picture(one, "data", &picture, &p);
		if (!picture) problem_set(&p, 422, "imageList", "a picture has no data");
		if (picture) json_array_append_new(made, work(s, r, &x, picture, &p));
		if (p.status) break;
	}
	if (p.status)
		a1111_refuse(y, &p);
	else
		reply_json(y, 200, json_pack("{s:o, s:O}", "html_info", described(&x), "images", made));
	json_decref(made);
}
