/* api.c - the public functions: errors go in and out, work is done elsewhere. */
#include "io/picture.h"
#include "base/file.h"
#include "checkpoint/caller.h"
#include "checkpoint/files.h"
#include "pipeline/generate.h"
#include "pipeline/grid.h"
#include <stdlib.h>
#include <string.h>

const char *sumi_version(void) { return SUMI_VERSION; }
void sumi_free(void *text) { free(text); }

/* ── names ── */

const char *sumi_sampler_name(int i) { return i >= 0 && i < SAMPLERS ? sampler_name((sampler_kind)i) : NULL; }
const char *sumi_schedule_name(int i) { return i >= 0 && i < SPACINGS ? spacing_name((sigma_spacing)i) : NULL; }

const char *sumi_family_name(int i)
{
	const family *f = i >= 0 ? family_at(i) : NULL;
	return f ? f->name : NULL;
}

/* ── models ── */

sumi_model_options sumi_model_defaults(void) { return (sumi_model_options){ 0 }; }

sumi_model *sumi_open(const char *path, const sumi_model_options *options, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_model *m = failed(&own) ? NULL : model_open(path, options, &own);
	tell_caller(e, &own);
	return m;
}

void sumi_close(sumi_model *m) { model_close(m); }

void sumi_model_size(const sumi_model *m, int *width, int *height) { *width = *height = m->family.size; }
const char *sumi_model_family(const sumi_model *m) { return m->family.name; }

/* ── pictures ── */

sumi_image *sumi_image_read(const char *path, sumi_error *e)
{
	error own = error_of_caller(e);
	picture p = { 0 };
	sumi_image *image = NULL;
	if (!failed(&own) && picture_read(&p, path, PICTURE_MAX_PIXELS, &own)) {
		image = calloc(1, sizeof *image);
		if (image)
			*image = (sumi_image){ .width = p.width, .height = p.height, .pixels = p.rgb, .seed = -1 };
		else
			fail(&own, NO_MEMORY, "out of memory for %s", path);
	}
	if (!image) picture_free(&p);
	tell_caller(e, &own);
	return image;
}

bool sumi_image_write(const sumi_image *image, const char *path, sumi_error *e)
{
	error own = error_of_caller(e);
	if (!failed(&own) && !image) fail(&own, BAD_USAGE, "%s: no picture to write", path);
	if (!failed(&own)) {
		picture p = { .width = image->width, .height = image->height, .rgb = image->pixels };
		picture_write(&p, path, image->parameters, 0, &own);
	}
	return tell_caller(e, &own);
}

void sumi_image_free(sumi_image *image)
{
	if (!image) return;
	free(image->pixels);
	free(image->parameters);
	free(image);
}

sumi_image *sumi_image_grid(const sumi_image *const *pictures, int count, int columns, int gap, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_image *grid = failed(&own) ? NULL : image_grid(pictures, count, columns, gap, &own);
	tell_caller(e, &own);
	return grid;
}

bool sumi_image_writable(const char *path, sumi_error *e)
{
	error own = error_of_caller(e);
	picture_format format;
	if (!failed(&own) && picture_format_of(path, &format, &own)) check_writable(path, &own);
	return tell_caller(e, &own);
}

/* ── generating ── */

sumi_options sumi_defaults(void)
{
	return (sumi_options){ .prompt = "", .steps = 20, .guidance = -1, .eta = -1, .seed = 42, .strength = 0.75 };
}

sumi_image *sumi_generate(sumi_model *m, const sumi_options *options, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_image *image = NULL;
	if (!failed(&own) && (!m || !options)) fail(&own, BAD_USAGE, "no model or no options to generate with");
	if (!failed(&own) && m->autoencoder_only) fail(&own, BAD_USAGE, "%s: opened for its autoencoder alone", m->path);
	if (!failed(&own)) image = generate(m, options, &own);
	tell_caller(e, &own);
	return image;
}

bool sumi_dump(sumi_model *m, const sumi_options *options, const char *name, bool profile, FILE *to, sumi_error *e)
{
	error own = error_of_caller(e);
	if (!failed(&own) && (!m || !options || !name)) fail(&own, BAD_USAGE, "no model, options or part to dump");
	if (!failed(&own) && m->autoencoder_only) fail(&own, BAD_USAGE, "%s: opened for its autoencoder alone", m->path);
	if (!failed(&own)) dump_stage(m, options, name, profile, to, &own);
	return tell_caller(e, &own);
}

/* ── files ── */

bool sumi_init(const char *name, uint64_t seed, const char *type, bool zeros, const char *path,
    const sumi_listener *listener, sumi_error *e)
{
	error own = error_of_caller(e);
	if (!failed(&own)) file_init(name, seed, type, zeros, path, listener, &own);
	return tell_caller(e, &own);
}

bool sumi_info(const char *path, char **report, sumi_error *e)
{
	error own = error_of_caller(e);
	*report = NULL;
	if (!failed(&own)) file_info(path, report, &own);
	return tell_caller(e, &own);
}

bool sumi_convert(const char *from, const char *to, const char *type, const char *layout, const sumi_listener *listener,
    sumi_error *e)
{
	error own = error_of_caller(e);
	if (!failed(&own)) file_convert(from, to, type, layout, listener, &own);
	return tell_caller(e, &own);
}
