/* api_upscale.c - the public functions that enlarge pictures. */
#include "backend/backend.h"
#include "base/resources.h"
#include "checkpoint/types.h"
#include "pipeline/parameters.h"
#include "pipeline/upscale.h"

void sumi_upscaler_options_init(sumi_upscaler_options *options, size_t size)
{
	const sumi_upscaler_options standard = { 0 };
	hand_out(options, size, &standard, sizeof standard);
}

void sumi_upscale_options_init(sumi_upscale_options *options, size_t size)
{
	const sumi_upscale_options standard = { .tile_pad = TILE_PAD };
	hand_out(options, size, &standard, sizeof standard);
}

static upscaler *open_upscaler(const char *path, const sumi_upscaler_options *given, error *e)
{
	sumi_upscaler_options o = sumi_upscaler_defaults();
	upscaler_machine m = { 0 };
	if (!path) return fail(e, BAD_USAGE, "no path of an upscaler"), NULL;
	if (!adopt(&o, sizeof o, given, "sumi_upscaler_options", e)) return NULL;
	if (o.threads < 0 || o.threads > 1024) return fail(e, BAD_USAGE, "threads %d: between 1 and 1024", o.threads), NULL;
	m.threads = o.threads ? o.threads : usable_cpus();
	m.max_memory = o.max_memory;
	m.backend = backend_named(o.device, e);
	if (!m.backend || !compute_type_from_name(o.type, m.backend, &m.compute, e)) return NULL;
	return upscaler_open(path, &m, e);
}

sumi_upscaler *sumi_upscaler_open(const char *path, const sumi_upscaler_options *options, sumi_error *e)
{
	error own = error_of_caller(e);
	upscaler *u = failed(&own) ? NULL : open_upscaler(path, options, &own);
	tell_caller(e, &own);
	return u;
}

void sumi_upscaler_close(sumi_upscaler *u) { upscaler_close(u); }
int sumi_upscaler_scale(const sumi_upscaler *u) { return u ? upscaler_scale(u) : 0; }

/* Behind what is there already, as A1111 puts it. */
static bool describe(const upscaler *u, const char *before, sumi_image *image, error *e)
{
	parameters p = { 0 };
	if (before) buffer_add_text(&p.text, before);
	p.listing = before && *before;
	parameters_integer(&p, "Postprocess upscale by", upscaler_scale(u));
	parameters_text(&p, "Postprocess upscaler", upscaler_name(u));
	image->parameters = p.text.data;
	return !p.text.failed || fail(e, NO_MEMORY, "out of memory for the picture's text");
}

static sumi_image *enlarge(const upscaler *u, const sumi_image *given, const sumi_upscale_options *options, error *e)
{
	sumi_upscale_options o = sumi_upscale_defaults();
	sumi_image from;
	watcher w = { 0 };
	if (!u) return fail(e, BAD_USAGE, "no upscaler to enlarge a picture with"), NULL;
	if (!adopt(&o, sizeof o, options, "sumi_upscale_options", e) || !adopt_listener(&w.listener, o.listener, e) ||
	    !adopt_image(&from, given, "the picture to enlarge", e))
		return NULL;
	if (o.tile < 0 || o.tile > 65536 || (o.tile && o.tile < 8) || o.tile_pad < 0 || o.tile_pad > 1024)
		return fail(e, BAD_USAGE, "tiles of %d pixels with %d around them: 0 or 8 to 65536, and 0 to 1024", o.tile,
		           o.tile_pad),
		       NULL;
	w.cancel = o.cancel;
	sumi_image *made = upscaler_picture(u, &from, o.tile, o.tile_pad, &w, e);
	if (!made || describe(u, from.parameters, made, e)) return made;
	sumi_image_free(made);
	return NULL;
}

sumi_image *sumi_upscale(
    const sumi_upscaler *u, const sumi_image *image, const sumi_upscale_options *options, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_image *made = failed(&own) ? NULL : enlarge(u, image, options, &own);
	tell_caller(e, &own);
	return made;
}
