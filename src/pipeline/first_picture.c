/* first_picture.c - cutting, fitting, extending and filling pictures, and laying the result over them. */
#include "io/blur.h"
#include "io/picture.h"
#include "pipeline/job.h"
#include "pipeline/picture.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct rectangle {
	int left, top, width, height;
} rectangle;

struct first_picture {
	picture init, mask; /* at the job's size, for the encoder; the mask is grey; empty: as the caller gave them */
	picture canvas;     /* what the result is laid over; empty: nothing, or as the caller gave it */
	uint8_t *share;     /* [height][width] of the canvas: how much of it is painted, 0 … 255; NULL: all */
	rectangle place;    /* of the result in the canvas */
};

typedef struct first_picture first_picture;

typedef enum fitting { STRETCHED, CROPPED, PADDED } fitting;

/* ── options ── */

static const char *const fills[] = { "original", "fill", "latent noise", "latent nothing" };

const char *mask_filling_name(mask_filling f) { return fills[f]; }

static bool choice(const char *name, const char *value, const char *const *names, int count, int *to, error *e)
{
	*to = 0;
	for (int i = 0; value && i < count; i++)
		if (!strcasecmp(value, names[i])) return *to = i, true;
	return !value || fail(e, BAD_USAGE, "%s '%.40s' is none of: %s, %s, %s%s%s", name, value, names[0], names[1],
	                     names[2], count > 3 ? ", " : "", count > 3 ? names[3] : "");
}

static bool read_choices(const sumi_options *o, int *fill, int *fit, error *e)
{
	static const char *const fits[] = { "resize", "crop", "pad" };
	return choice("mask fill", o->mask_fill, fills, 4, fill, e) &&
	       choice("resize mode", o->resize_mode, fits, 3, fit, e);
}

bool first_picture_size(const sumi_options *o, int sides[2])
{
	sides[0] = o->init->width + o->extend_left + o->extend_right;
	sides[1] = o->init->height + o->extend_up + o->extend_down;
	return o->extend_left || o->extend_right || o->extend_up || o->extend_down;
}

static bool check(const sumi_options *o, int fill, int fit, error *e)
{
	int sides[2];
	bool extended = o->extend_left || o->extend_right || o->extend_up || o->extend_down, masked = o->mask || extended;
	bool of_mask = o->mask || o->mask_inverted || o->mask_soft || o->only_masked || fill || extended;
	if (o->mask_blur < 0 || !(o->mask_blur <= 256))
		return fail(e, BAD_USAGE, "mask blur %g: between 0 and 256", o->mask_blur);
	if (o->mask_padding < 0 || o->mask_padding > 65535)
		return fail(e, BAD_USAGE, "mask padding %d: between 0 and 65535", o->mask_padding);
	if (!o->init && (of_mask || fit)) return fail(e, BAD_USAGE, "a mask needs a picture to begin from");
	if (o->init && first_picture_size(o, sides) && (sides[0] > 65535 || sides[1] > 65535))
		return fail(e, BAD_USAGE, "the picture is extended to %d×%d; sides are at most 65535", sides[0], sides[1]);
	if (!masked && (o->mask_inverted || o->mask_soft || o->only_masked || fill))
		return fail(e, BAD_USAGE, "inverting, softening, filling or drawing only what is masked needs a mask");
	return true;
}

/* ── pictures ── */

static bool copy_picture(picture *out, const picture *p, error *e)
{
	return picture_crop(out, p, 0, 0, p->width, p->height, e);
}

static void put(picture *to, const picture *from, int left, int top)
{
	for (int y = 0; y < from->height; y++)
		for (int x = 0; x < from->width; x++) {
			int v = top + y, u = left + x;
			if (v < 0 || u < 0 || v >= to->height || u >= to->width) continue;
			memcpy(to->rgb + 3 * ((size_t)v * (size_t)to->width + (size_t)u),
			    from->rgb + 3 * ((size_t)y * (size_t)from->width + (size_t)x), 3);
		}
}

/* Around what lies in the rectangle, its own edge goes on. */
static void repeat_edges(picture *p, rectangle r)
{
	for (int y = 0; y < p->height; y++)
		for (int x = 0; x < p->width; x++) {
			int v = y < r.top ? r.top : y >= r.top + r.height ? r.top + r.height - 1 : y;
			int u = x < r.left ? r.left : x >= r.left + r.width ? r.left + r.width - 1 : x;
			memmove(p->rgb + 3 * ((size_t)y * (size_t)p->width + (size_t)x),
			    p->rgb + 3 * ((size_t)v * (size_t)p->width + (size_t)u), 3);
		}
}

/* In the middle of a picture of this size; what is left over is cut off, or continued. */
static bool fit(picture *out, const picture *p, int width, int height, fitting how, error *e)
{
	double x = (double)width / p->width, y = (double)height / p->height,
	       scale = how == CROPPED ? fmax(x, y) : fmin(x, y);
	int w = how == STRETCHED ? width : (int)fmax(1, lrint(p->width * scale));
	int h = how == STRETCHED ? height : (int)fmax(1, lrint(p->height * scale));
	picture sized;
	if (!picture_resize(&sized, p, w, h, LANCZOS, e)) return false;
	rectangle r = { width / 2 - w / 2, height / 2 - h / 2, w, h };
	bool fine = picture_new(out, width, height, e);
	if (fine) put(out, &sized, r.left, r.top);
	if (fine && how == PADDED) repeat_edges(out, r);
	picture_free(&sized);
	return fine;
}

/* The picture with what extends it, and its mask: what is new is white. */
static bool extend(const sumi_options *o, const job *j, picture *canvas, picture *mask, error *e)
{
	int sides[2];
	int step = vae_factor(&j->m->family.autoencoder) * denoiser_patch(&j->m->family.denoiser);
	bool extended = first_picture_size(o, sides);
	bool rounded = j->width - sides[0] >= 0 && j->width - sides[0] < step && j->height - sides[1] >= 0 &&
	               j->height - sides[1] < step;
	picture init = { .width = o->init->width, .height = o->init->height, .rgb = o->init->pixels };
	rectangle r = { o->extend_left, o->extend_up, init.width, init.height };
	if (extended && !o->only_masked && rounded) sides[0] = j->width, sides[1] = j->height; /* to what the model takes */
	if (!picture_new(canvas, sides[0], sides[1], e)) return false;
	put(canvas, &init, r.left, r.top);
	if (extended) repeat_edges(canvas, r);
	if (!o->mask && !extended) return true;
	if (!picture_new(mask, sides[0], sides[1], e)) return false;
	memset(mask->rgb, 255, 3 * (size_t)sides[0] * (size_t)sides[1]);
	float *white = o->mask ? mask_of(o->mask, true, r.width, r.height, e) : NULL;
	if (o->mask && !white) return false;
	for (int y = 0; y < r.height; y++)
		for (int x = 0; x < r.width; x++) {
			float share = white ? white[(size_t)y * (size_t)r.width + (size_t)x] : 0;
			if (o->mask_inverted) share = 1 - share;
			int grey = o->mask_soft ? (int)lrintf(255 * share) : share >= 0.5f ? 255 : 0;
			memset(mask->rgb + 3 * ((size_t)(r.top + y) * (size_t)sides[0] + (size_t)(r.left + x)), grey, 3);
		}
	free(white);
	return true;
}

/* ── the part that is drawn ── */

static bool bounds_of(const picture *mask, rectangle *r)
{
	int left = mask->width, top = mask->height, right = 0, bottom = 0;
	for (int y = 0; y < mask->height; y++)
		for (int x = 0; x < mask->width; x++) {
			if (!mask->rgb[3 * ((size_t)y * (size_t)mask->width + (size_t)x)]) continue;
			if (x < left) left = x;
			if (y < top) top = y;
			if (x >= right) right = x + 1;
			if (y >= bottom) bottom = y + 1;
		}
	*r = (rectangle){ left, top, right - left, bottom - top };
	return right > left;
}

/* One axis, made longer on both sides and moved into the picture. */
static void widen(int *first, int *length, double wanted, int whole)
{
	int more = (int)(wanted - *length);
	*first -= more / 2;
	*length += more;
	if (*first + *length > whole) *first = whole - *length;
	if (*first < 0) *first = 0;
	if (*first + *length > whole) *length = whole - *first;
}

/* What the mask covers with padding, in the shape that is drawn as far as the picture allows. */
static bool find_part(const picture *mask, int padding, int width, int height, rectangle *r, error *e)
{
	if (!bounds_of(mask, r)) return fail(e, BAD_USAGE, "the mask covers nothing: no part of the picture to draw");
	int right = r->left + r->width + padding, bottom = r->top + r->height + padding;
	r->left = r->left > padding ? r->left - padding : 0;
	r->top = r->top > padding ? r->top - padding : 0;
	r->width = (right < mask->width ? right : mask->width) - r->left;
	r->height = (bottom < mask->height ? bottom : mask->height) - r->top;
	if ((int64_t)r->width * height > (int64_t)r->height * width)
		widen(&r->top, &r->height, (double)r->width * height / width, mask->height);
	else
		widen(&r->left, &r->width, (double)r->height * width / height, mask->width);
	return true;
}

static bool cut(picture *out, const picture *p, rectangle r, int width, int height, error *e)
{
	picture part;
	if (!picture_crop(&part, p, r.left, r.top, r.width, r.height, e)) return false;
	bool fine = picture_resize(out, &part, width, height, LANCZOS, e);
	picture_free(&part);
	return fine;
}

/* ── filling ── */

/* What is not masked, blurred ever less, laid over itself: colours flow into the mask from around it. */
static bool fill_masked(picture *p, const picture *mask, error *e)
{
	static const struct {
		int radius, times;
	} blurs[] = { { 256, 1 }, { 64, 1 }, { 16, 2 }, { 4, 4 }, { 2, 2 }, { 0, 1 } };
	size_t n = (size_t)p->width * (size_t)p->height;
	uint8_t *kept = malloc(8 * n), *blurred = kept ? kept + 4 * n : NULL; /* premultiplied by the last channel */
	if (!kept) return fail(e, NO_MEMORY, "no memory to fill a picture of %d×%d", p->width, p->height);
	for (size_t i = 0; i < n; i++) {
		unsigned alpha = 255 - mask->rgb[3 * i];
		for (size_t c = 0; c < 3; c++) kept[4 * i + c] = (uint8_t)((p->rgb[3 * i + c] * alpha + 127) / 255);
		kept[4 * i + 3] = (uint8_t)alpha;
	}
	memset(p->rgb, 0, 3 * n);
	bool fine = true;
	for (size_t b = 0; fine && b < sizeof blurs / sizeof *blurs; b++) {
		memcpy(blurred, kept, 4 * n);
		fine = blur_pillow(blurred, 4, p->width, p->height, blurs[b].radius, e);
		for (int t = 0; fine && t < blurs[b].times; t++)
			for (size_t i = 0; i < n; i++) {
				unsigned rest = 255u - blurred[4 * i + 3];
				for (size_t c = 0; c < 3; c++) {
					unsigned value = blurred[4 * i + c] + (p->rgb[3 * i + c] * rest + 127) / 255;
					p->rgb[3 * i + c] = (uint8_t)(value > 255 ? 255 : value);
				}
			}
	}
	free(kept);
	return fine;
}

/* ── the whole ── */

/* How much of each pixel is painted. A1111 doubles the blurred mask where the whole picture is drawn, so that all that
 * was masked is new and the blur lies outside. */
static bool make_share(job *j, const picture *mask, error *e)
{
	size_t n = (size_t)mask->width * (size_t)mask->height;
	int factor = j->o->only_masked ? 1 : 2;
	j->first->share = malloc(n);
	if (!j->first->share) return fail(e, NO_MEMORY, "no memory for a mask of %d×%d", mask->width, mask->height);
	for (size_t i = 0; i < n; i++) {
		int grey = mask->rgb[3 * i];
		int share = j->o->mask_soft && grey ? 255 : factor * grey;
		j->first->share[i] = (uint8_t)(share > 255 ? 255 : share);
	}
	return true;
}

/* The pictures at the job's size. */
static bool bring_to_size(job *j, picture *canvas, picture *mask, fitting how, error *e)
{
	first_picture *f = j->first;
	f->place = (rectangle){ 0, 0, j->width, j->height };
	if (j->o->only_masked) {
		if (!find_part(mask, j->o->mask_padding, j->width, j->height, &f->place, e) ||
		    !cut(&f->init, canvas, f->place, j->width, j->height, e) ||
		    !cut(&f->mask, mask, f->place, j->width, j->height, e))
			return false;
		f->canvas = *canvas;
		*canvas = (picture){ 0 };
		return make_share(j, mask, e);
	}
	if (!fit(&f->init, canvas, j->width, j->height, how, e)) return false;
	if (!mask->rgb) return true;
	return fit(&f->mask, mask, j->width, j->height, how, e) && copy_picture(&f->canvas, &f->init, e) &&
	       make_share(j, &f->mask, e);
}

static void lend(sumi_image *image, const picture *p, const sumi_image **option)
{
	if (!p->rgb) return;
	*image =
	    (sumi_image){ .size = sizeof *image, .width = p->width, .height = p->height, .pixels = p->rgb, .seed = -1 };
	*option = image;
}

static void note_shape(const job *j, const watcher *w)
{
	int sides[2];
	first_picture_size(j->o, sides);
	double stretched = (double)j->width * sides[1] / ((double)j->height * sides[0]);
	if (j->o->only_masked || (stretched < 1.02 && stretched > 1 / 1.02)) return;
	watcher_note(w, SUMI_WARNING,
	    "the picture to begin from has %d×%d pixels and is stretched to %d×%d; the resize modes crop and pad keep its "
	    "shape",
	    sides[0], sides[1], j->width, j->height);
}

bool first_picture_prepare(job *j, const watcher *w, error *e)
{
	const sumi_options *o = j->o;
	int fill = 0, how = 0, sides[2];
	if (!read_choices(o, &fill, &how, e) || !check(o, fill, how, e)) return false;
	if (!o->init) return true;
	j->fill = (mask_filling)fill;
	if (how == STRETCHED) note_shape(j, w);
	bool masked = o->mask && (o->mask_blur > 0 || o->mask_inverted || o->mask_soft || o->only_masked || fill);
	if (!masked && how == STRETCHED && !first_picture_size(o, sides)) return true;
	picture canvas = { 0 }, mask = { 0 };
	j->first = calloc(1, sizeof *j->first);
	if (!j->first) return fail(e, NO_MEMORY, "out of memory for a picture");
	bool fine = extend(o, j, &canvas, &mask, e);
	if (fine && mask.rgb && o->mask_blur > 0)
		fine = blur_gaussian(mask.rgb, 3, mask.width, mask.height, o->mask_blur, e);
	fine = fine && bring_to_size(j, &canvas, &mask, (fitting)how, e);
	if (fine && fill && j->first->mask.rgb) fine = fill_masked(&j->first->init, &j->first->mask, e);
	picture_free(&canvas);
	picture_free(&mask);
	j->options.width = j->width; /* chosen by the caller's picture, which is no longer the one that is named */
	j->options.height = j->height;
	lend(&j->init_image, &j->first->init, &j->options.init);
	lend(&j->mask_image, &j->first->mask, &j->options.mask);
	return fine;
}

void first_picture_free(job *j)
{
	if (!j->first) return;
	picture_free(&j->first->init);
	picture_free(&j->first->mask);
	picture_free(&j->first->canvas);
	free(j->first->share);
	free(j->first);
}

/* Lays the result over the canvas; p takes its size. */
static bool lay_over(const first_picture *f, sumi_image *p, error *e)
{
	picture drawn = { .width = p->width, .height = p->height, .rgb = p->pixels }, sized, out;
	rectangle r = f->place;
	if (!picture_resize(&sized, &drawn, r.width, r.height, LANCZOS, e)) return false;
	if (!copy_picture(&out, &f->canvas, e)) return picture_free(&sized), false;
	for (int y = 0; y < r.height; y++)
		for (int x = 0; x < r.width; x++) {
			size_t at = (size_t)(r.top + y) * (size_t)out.width + (size_t)(r.left + x);
			const uint8_t *from = sized.rgb + 3 * ((size_t)y * (size_t)r.width + (size_t)x);
			unsigned share = f->share[at];
			for (size_t c = 0; c < 3; c++)
				out.rgb[3 * at + c] = (uint8_t)((share * from[c] + (255 - share) * out.rgb[3 * at + c] + 127) / 255);
		}
	picture_free(&sized);
	free(p->pixels);
	p->pixels = out.rgb;
	p->width = out.width;
	p->height = out.height;
	return true;
}

sumi_image *first_picture_finish(const job *j, const float *values, error *e)
{
	const first_picture *f = j->first;
	bool own = f && f->share;
	sumi_image *p = picture_from(values, j->width, j->height, own ? NULL : j->o->init, own ? NULL : j->o->mask, e);
	if (!p || !own || lay_over(f, p, e)) return p;
	sumi_image_free(p);
	return NULL;
}
