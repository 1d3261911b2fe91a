/* api.c - the public functions: errors go in and out, work is done elsewhere. */
#include "io/picture.h"
#include "base/file.h"
#include "backend/cuda/cuda.h"
#include "checkpoint/caller.h"
#include "checkpoint/extract.h"
#include "checkpoint/files.h"
#include "checkpoint/hash.h"
#include "pipeline/engine.h"
#include "pipeline/grid.h"
#include "pipeline/heat.h"
#include "pipeline/read_parameters.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const char *sumi_version(void) { return SUMI_VERSION; }

static char devices[2048];
static void find_devices(void) { cuda_describe(devices, sizeof devices); }

const char *sumi_devices(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, find_devices);
	return devices;
}
void sumi_free(void *memory) { free(memory); }

/* ── names ── */

const char *sumi_sampler_name(int i) { return i >= 0 && i < SAMPLERS ? sampler_name((sampler_kind)i) : NULL; }
const char *sumi_guidance_name(int i) { return i >= 0 ? guidance_name(i) : NULL; }
const char *sumi_schedule_name(int i) { return i >= 0 && i < SPACINGS ? spacing_name((sigma_spacing)i) : NULL; }

const char *sumi_family_name(int i)
{
	const family *f = i >= 0 ? family_at(i) : NULL;
	return f ? f->name : NULL;
}

const char *sumi_type_name(int i)
{
	static const char *const names[] = { "f32", "f16", "bf16" };
	return i >= 0 && i < (int)(sizeof names / sizeof *names) ? names[i] : NULL;
}

/* ── listeners ── */

void sumi_listener_init(sumi_listener *listener, size_t size)
{
	const sumi_listener standard = { 0 };
	hand_out(listener, size, &standard, sizeof standard);
}

sumi_cancel *sumi_cancel_new(void) { return calloc(1, sizeof(sumi_cancel)); }
void sumi_cancel_free(sumi_cancel *cancel) { free(cancel); }

void sumi_cancel_ask(sumi_cancel *cancel)
{
	if (cancel) atomic_store(&cancel->asked, 1);
}

/* ── models ── */

void sumi_model_options_init(sumi_model_options *options, size_t size)
{
	const sumi_model_options standard = { 0 };
	hand_out(options, size, &standard, sizeof standard);
}

sumi_model *sumi_open(const char *path, const sumi_model_options *options, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_model *m = failed(&own) ? NULL : model_open(path, options, &own);
	tell_caller(e, &own);
	return m;
}

void sumi_close(sumi_model *m) { model_close(m); }

void sumi_model_size(const sumi_model *m, int *width, int *height)
{
	if (width) *width = m ? m->family.size : 0;
	if (height) *height = m ? m->family.size : 0;
}

const char *sumi_model_family(const sumi_model *m) { return m ? m->family.name : ""; }

bool sumi_hash(const char *path, char hex[65], sumi_error *e)
{
	error own = error_of_caller(e);
	if (!failed(&own) && (!path || !hex)) fail(&own, BAD_USAGE, "no path of a file to hash, or no room for its hash");
	if (!failed(&own) && !file_hash(path, hex)) fail(&own, BAD_FILE, "%s: could not be read, or is a folder", path);
	return tell_caller(e, &own);
}

/* ── pictures ── */

/* Takes the pixels over; NULL: they are freed. */
static sumi_image *image_of_picture(picture *p, error *e)
{
	sumi_image *image = calloc(1, sizeof *image);
	if (image) {
		*image = (sumi_image){ .size = sizeof *image,
			.width = p->width,
			.height = p->height,
			.pixels = p->rgb,
			.seed = -1,
			.alpha = p->alpha };
		return image;
	}
	fail(e, NO_MEMORY, "out of memory for a picture of %d×%d", p->width, p->height);
	picture_free(p);
	return NULL;
}

sumi_image *sumi_image_new(int width, int height, const unsigned char *pixels, sumi_error *e)
{
	error own = error_of_caller(e);
	picture p = { 0 };
	sumi_image *image = NULL;
	if (!failed(&own) && (width < 1 || height < 1 || width > 65535 || height > 65535))
		fail(&own, BAD_USAGE, "a picture of %d×%d; sides are between 1 and 65535", width, height);
	if (!failed(&own) && picture_new(&p, width, height, &own)) image = image_of_picture(&p, &own);
	size_t bytes = image ? (size_t)width * (size_t)height * 3 : 0;
	if (image && pixels)
		memcpy(image->pixels, pixels, bytes);
	else if (image)
		memset(image->pixels, 0, bytes);
	tell_caller(e, &own);
	return image;
}

sumi_image *sumi_image_read(const char *path, sumi_error *e)
{
	error own = error_of_caller(e);
	picture p = { 0 };
	sumi_image *image = NULL;
	if (!failed(&own) && !path) fail(&own, BAD_USAGE, "no path of a picture to read");
	if (!failed(&own) && picture_read(&p, path, PICTURE_MAX_PIXELS, &own)) image = image_of_picture(&p, &own);
	if (image) image->parameters = picture_text(path, NULL);
	tell_caller(e, &own);
	return image;
}

static bool picture_facts(const char *path, int *width, int *height, char **text, error *e)
{
	mapping m;
	int w = 0, h = 0;
	if (width) *width = 0;
	if (height) *height = 0;
	if (!path) return fail(e, BAD_USAGE, "no path of a picture to read");
	if (!map_file(&m, path, e)) return false;
	bool fine =
	    picture_size_of(m.data, m.size, &w, &h) || fail(e, BAD_FILE, "%s: not a picture that can be read", path);
	if (fine && !(*text = picture_text_of(m.data, m.size))) *text = strdup("");
	unmap_file(&m);
	if (fine && !*text) fail(e, NO_MEMORY, "out of memory for the parameters of %s", path);
	if (width) *width = w;
	if (height) *height = h;
	return fine;
}

char *sumi_image_parameters(const char *path, int *width, int *height, sumi_error *e)
{
	error own = error_of_caller(e);
	char *text = NULL;
	if (!failed(&own)) picture_facts(path, width, height, &text, &own);
	tell_caller(e, &own);
	return text;
}

sumi_image *sumi_image_decode(const void *bytes, size_t count, sumi_error *e)
{
	error own = error_of_caller(e);
	picture p = { 0 };
	sumi_image *image = NULL;
	if (!failed(&own) && (!bytes || !count)) fail(&own, BAD_USAGE, "no bytes of a picture to decode");
	if (!failed(&own) && picture_decode(&p, bytes, count, "the picture", PICTURE_MAX_PIXELS, &own)) {
		image = image_of_picture(&p, &own);
		if (image) image->parameters = picture_text_of(bytes, count);
	}
	tell_caller(e, &own);
	return image;
}

bool sumi_image_size_of(const void *bytes, size_t count, int *width, int *height)
{
	return bytes && width && height && picture_size_of(bytes, count, width, height);
}

bool sumi_image_write(const sumi_image *given, const char *path, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_image image;
	if (!failed(&own) && !path) fail(&own, BAD_USAGE, "no path to write a picture to");
	if (!failed(&own) && adopt_image(&image, given, path, &own)) {
		picture p = { .width = image.width, .height = image.height, .rgb = image.pixels };
		picture_write(&p, path, image.parameters, 0, &own);
	}
	return tell_caller(e, &own);
}

bool sumi_image_encode(
    const sumi_image *given, const char *format, int quality, unsigned char **bytes, size_t *count, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_image image;
	picture_format f;
	char name[16] = "";
	if (bytes) *bytes = NULL;
	if (count) *count = 0;
	if (!failed(&own) && (!bytes || !count || !format))
		fail(&own, BAD_USAGE, "a picture to encode needs a format, and a place for its bytes and their number");
	if (!failed(&own) && (quality < 0 || quality > 100))
		fail(&own, BAD_USAGE, "quality %d: between 0 and 100", quality);
	if (!failed(&own)) snprintf(name, sizeof name, ".%s", format);
	if (!failed(&own) && picture_format_of(name, &f, &own) && adopt_image(&image, given, "encoding", &own)) {
		picture p = { .width = image.width, .height = image.height, .rgb = image.pixels };
		picture_encode(&p, f, image.parameters, quality, bytes, count, &own);
	}
	return tell_caller(e, &own);
}

void sumi_image_free(sumi_image *image)
{
	if (!image) return;
	free(image->pixels);
	free(image->parameters);
	free(image->alpha);
	free(image->attention);
	free(image);
}

sumi_image *sumi_image_grid(const sumi_image *const *pictures, int count, int columns, int gap, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_image *grid = failed(&own) ? NULL : image_grid(pictures, count, columns, gap, &own);
	tell_caller(e, &own);
	return grid;
}

sumi_image *sumi_image_attention(const sumi_image *given, int map, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_image image, *heat = NULL;
	if (!failed(&own) && adopt_image(&image, given, "the picture of a map", &own)) heat = heat_over(&image, map, &own);
	tell_caller(e, &own);
	return heat;
}

bool sumi_image_writable(const char *path, sumi_error *e)
{
	error own = error_of_caller(e);
	picture_format format;
	if (!failed(&own) && !path) fail(&own, BAD_USAGE, "no path to write a picture to");
	if (!failed(&own) && picture_format_of(path, &format, &own)) check_writable(path, &own);
	return tell_caller(e, &own);
}

bool sumi_parameters_read(const char *text, sumi_parameter_fn *each, void *context, sumi_error *e)
{
	error own = error_of_caller(e);
	if (!failed(&own) && (!text || !each)) fail(&own, BAD_USAGE, "no text of a picture, or nothing to take its values");
	if (!failed(&own)) parameters_read(text, each, context, &own);
	return tell_caller(e, &own);
}

/* ── drawing ── */

void sumi_options_init(sumi_options *options, size_t size)
{
	const sumi_options standard = { .prompt = "",
		.steps = 20,
		.guidance = -1,
		.eta = -1,
		.seed = 42,
		.strength = 0.75,
		.aesthetic_score = 6,
		.negative_aesthetic_score = 2.5,
		.mask_padding = 32,
		.hires_strength = 0.7,
		.refiner_start = 0.8,
		.slg_scale = -1,
		.skip_layer_start = 0.01,
		.skip_layer_end = 0.2 };
	hand_out(options, size, &standard, sizeof standard);
}

void sumi_control_init(sumi_control *control, size_t size)
{
	const sumi_control standard = { .strength = 1, .to = 1 };
	hand_out(control, size, &standard, sizeof standard);
}

void sumi_ip_adapter_init(sumi_ip_adapter *adapter, size_t size)
{
	const sumi_ip_adapter standard = { .strength = 1, .to = 1 };
	hand_out(adapter, size, &standard, sizeof standard);
}

static bool can_draw(const model *m, const sumi_options *options, error *e)
{
	if (!m || !options) return fail(e, BAD_USAGE, "no model or no options to draw with");
	return !m->autoencoder_only || fail(e, BAD_USAGE, "%s: opened for its autoencoder alone", m->path);
}

sumi_image *sumi_generate(sumi_model *m, const sumi_options *options, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_image *image = NULL;
	session *s = NULL;
	if (!failed(&own) && can_draw(m, options, &own)) s = session_open(m, 0, false, &own);
	if (s) engine_draw(s, &options, 1, &image, &own);
	session_close(s);
	tell_caller(e, &own);
	return image;
}

bool sumi_dump(sumi_model *m, const sumi_options *options, const char *name, bool profile, sumi_write_fn *write,
    void *context, sumi_error *e)
{
	error own = error_of_caller(e);
	session *s = NULL;
	if (!failed(&own) && (!name || !write)) fail(&own, BAD_USAGE, "no part to dump, or nothing to write it with");
	if (!failed(&own) && can_draw(m, options, &own)) s = session_open(m, 0, false, &own);
	if (s) engine_dump(s, options, name, profile, write, context, &own);
	session_close(s);
	return tell_caller(e, &own);
}

/* ── sessions ── */

void sumi_session_options_init(sumi_session_options *options, size_t size)
{
	const sumi_session_options standard = { 0 };
	hand_out(options, size, &standard, sizeof standard);
}

sumi_session *sumi_session_open(sumi_model *m, const sumi_session_options *options, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_session_options o = sumi_session_defaults();
	sumi_session *s = NULL;
	if (!failed(&own) && !m) fail(&own, BAD_USAGE, "no model to open a session of");
	if (!failed(&own) && m->autoencoder_only) fail(&own, BAD_USAGE, "%s: opened for its autoencoder alone", m->path);
	if (!failed(&own) && adopt(&o, sizeof o, options, "sumi_session_options", &own))
		s = session_open(m, o.max_memory, true, &own);
	tell_caller(e, &own);
	return s;
}

void sumi_session_close(sumi_session *s) { session_close(s); }

sumi_image *sumi_session_draw(sumi_session *s, const sumi_options *options, sumi_error *e)
{
	sumi_image *image = NULL;
	return sumi_session_draw_batch(s, &options, 1, &image, e) ? image : NULL;
}

bool sumi_session_draw_batch(
    sumi_session *s, const sumi_options *const *options, int count, sumi_image **pictures, sumi_error *e)
{
	enum { MOST = 4096 };
	error own = error_of_caller(e);
	for (int i = 0; pictures && i < count; i++) pictures[i] = NULL;
	if (!failed(&own) && (!s || !options || !pictures))
		fail(&own, BAD_USAGE, "no session, no options, or no room for the pictures");
	if (!failed(&own) && (count < 1 || count > MOST))
		fail(&own, BAD_USAGE, "%d pictures: between 1 and %d", count, MOST);
	for (int i = 0; !failed(&own) && i < count; i++)
		if (!options[i]) fail(&own, BAD_USAGE, "picture %d of %d has no options", i + 1, count);
	if (!failed(&own)) engine_draw(s, options, count, pictures, &own);
	return tell_caller(e, &own);
}

int sumi_session_at_once(const sumi_session *s, const sumi_options *given)
{
	sumi_options o;
	if (!s || !given || !adopt_options(&o, given, NULL)) return 0;
	const model *m = session_model(s);
	int side = m->family.size, width = o.width > 0 ? o.width : side, height = o.height > 0 ? o.height : side;
	return engine_batch(m, width, height, 2);
}

void sumi_session_trim(sumi_session *s, uint64_t bytes)
{
	if (s) session_trim(s, bytes);
}

uint64_t sumi_session_bytes(const sumi_session *s) { return s ? session_bytes(s) : 0; }

/* ── files ── */

bool sumi_init(const char *name, uint64_t seed, const char *type, bool zeros, const char *path,
    const sumi_listener *listener, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_listener l;
	if (!failed(&own) && (!name || !path)) fail(&own, BAD_USAGE, "a new model needs a family and a path");
	if (!failed(&own) && adopt_listener(&l, listener, &own)) file_init(name, seed, type, zeros, path, &l, &own);
	return tell_caller(e, &own);
}

bool sumi_info(const char *path, char **report, sumi_error *e)
{
	error own = error_of_caller(e);
	if (report) *report = NULL;
	if (!failed(&own) && (!path || !report)) fail(&own, BAD_USAGE, "no path of a file, or no place for its report");
	if (!failed(&own)) file_info(path, report, &own);
	return tell_caller(e, &own);
}

void sumi_convert_options_init(sumi_convert_options *options, size_t size)
{
	const sumi_convert_options standard = { .max_shard = 10000000000 };
	hand_out(options, size, &standard, sizeof standard);
}

static void convert_as(const char *from, const char *to, const sumi_convert_options *options, error *e)
{
	sumi_convert_options o = sumi_convert_defaults();
	sumi_listener l;
	if (!adopt(&o, sizeof o, options, "sumi_convert_options", e) || !adopt_listener(&l, o.listener, e)) return;
	o.listener = &l;
	if (!from || !to) fail(e, BAD_USAGE, "a conversion needs two paths");
	if (!failed(e) && (o.lora_count < 0 || (o.lora_count && !o.loras)))
		fail(e, BAD_USAGE, "%d LoRA files, and no list of them", o.lora_count);
	for (int i = 0; !failed(e) && i < o.lora_count; i++)
		if (!o.loras[i]) fail(e, BAD_USAGE, "LoRA file %d of %d has no path", i + 1, o.lora_count);
	if (!failed(e) && !o.max_shard) fail(e, BAD_USAGE, "shards of at most 0 bytes");
	if (!failed(e)) file_convert(from, to, &o, e);
}

bool sumi_convert_as(const char *from, const char *to, const sumi_convert_options *options, sumi_error *e)
{
	error own = error_of_caller(e);
	if (!failed(&own)) convert_as(from, to, options, &own);
	return tell_caller(e, &own);
}

bool sumi_merge(const char *from, const char *to, const char *const *loras, int count, const char *type,
    const char *layout, bool clamp, const sumi_listener *listener, sumi_error *e)
{
	sumi_convert_options o = sumi_convert_defaults();
	o.type = type;
	o.layout = layout;
	o.loras = loras;
	o.lora_count = count;
	o.clamp = clamp;
	o.listener = listener;
	return sumi_convert_as(from, to, &o, e);
}

void sumi_extract_options_init(sumi_extract_options *options, size_t size)
{
	const sumi_extract_options standard = { .rank = 16 };
	hand_out(options, size, &standard, sizeof standard);
}

bool sumi_lora_extract(const char *tuned, const char *base, const char *path, const sumi_extract_options *options,
    char **report, sumi_error *e)
{
	error own = error_of_caller(e);
	watcher w = { 0 };
	sumi_extract_options o = sumi_extract_defaults();
	if (report) *report = NULL;
	if (!failed(&own) && (!tuned || !base || !path))
		fail(&own, BAD_USAGE, "a LoRA is extracted from two checkpoints into a file: one of three paths is missing");
	if (!failed(&own) && adopt(&o, sizeof o, options, "sumi_extract_options", &own) &&
	    adopt_listener(&w.listener, o.listener, &own))
		file_extract(tuned, base, path, &o, report, &w, &own);
	return tell_caller(e, &own);
}

bool sumi_convert(const char *from, const char *to, const char *type, const char *layout, bool clamp,
    const sumi_listener *listener, sumi_error *e)
{
	return sumi_merge(from, to, NULL, 0, type, layout, clamp, listener, e);
}
