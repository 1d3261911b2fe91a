/* upscale.c - tiles of a picture through an upscaling network. */
#include "pipeline/upscale.h"
#include "base/resources.h"
#include "checkpoint/component.h"
#include "models/upscaler.h"
#include "pipeline/finite.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sumi_upscaler {
	char *path;
	char name[64];
	weights *file;
	upscaler_config config;
	upscaler_machine machine;
};

/* Pixels to a side that the network reads as one place. */
static int square_of(const upscaler *u) { return u->config.kind == RRDB ? u->config.unshuffle : 1; }

int upscaler_scale(const upscaler *u) { return u->config.scale; }
const char *upscaler_name(const upscaler *u) { return u->name; }

/* ── the network, for tiles of one size ── */

typedef struct tile_network {
	graph *g;
	tensor in, out;
} tile_network;

static bool bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const upscaler *u = context;
	char key[160];
	shape found;
	const weight *w = upscaler_key(&u->config, name, key, sizeof key) ? weights_find(u->file, key) : NULL;
	if (!w) return fail(e, BAD_FILE, "%s: no tensor '%s'", u->path, key);
	if (!dtype_is_float(w->dtype))
		return fail(e, BAD_FILE, "%s: '%s' has dtype %s: not a float type", u->path, key, w->type_name);
	if (!weight_as_tensor(w, d, &found, data) || !shape_same(found, s))
		return fail(e, BAD_FILE, "%s: '%s' has another shape than its network", u->path, key);
	return true;
}

/* Compiled for width × height pixels, both multiples of `unshuffle`; its memory is known then. */
static bool network_compile(tile_network *y, const upscaler *u, int width, int height, error *e)
{
	int square = square_of(u);
	y->g = graph_new(u->machine.compute);
	if (!y->g) return fail(e, NO_MEMORY, "out of memory for a graph");
	nn n = { .g = y->g, .wide_sums = true };
	y->in = input(y->g, "image", REAL, shape4(1, height / square, width / square, upscaler_inputs(&u->config)));
	y->out = upscaler_network(&n, &u->config, y->in);
	keep(y->g, y->out);
	return graph_bind(y->g, bind, (void *)(uintptr_t)u, e) &&
	       graph_compile(y->g, u->machine.backend, u->machine.threads, e);
}

static uint64_t network_bytes(const tile_network *y)
{
	uint64_t values = graph_arena_bytes(y->g), setup = graph_setup_bytes(y->g);
	return graph_constant_bytes(y->g) + (values > setup ? values : setup);
}

/* ── opening ── */

static bool check_weights(const upscaler *u, error *e)
{
	tile_network y = { 0 };
	bool fine = network_compile(&y, u, square_of(u), square_of(u), e);
	graph_free(y.g);
	return fine && weights_are_finite(u->file, e); /* its ReLUs turn NaN to 0 */
}

static bool open_file(upscaler *u, const char *path, error *e)
{
	error why = { 0 };
	const char *slash = strrchr(path, '/');
	if (!(u->path = strdup(path))) return fail(e, NO_MEMORY, "out of memory");
	snprintf(u->name, sizeof u->name, "%s", slash && slash[1] ? slash + 1 : path);
	char *dot = strrchr(u->name, '.');
	if (dot && dot > u->name) *dot = 0;
	if (!(u->file = weights_open(path, e))) return false;
	if (!upscaler_recognise(weights_lookup, u->file, &u->config, &why))
		return fail(e, why.status, "%s: %s", path, why.text);
	return check_weights(u, e);
}

upscaler *upscaler_open(const char *path, const upscaler_machine *m, error *e)
{
	upscaler *u = calloc(1, sizeof *u);
	if (!u) return fail(e, NO_MEMORY, "out of memory"), NULL;
	u->machine = *m;
	if (open_file(u, path, e)) return u;
	upscaler_close(u);
	return NULL;
}

void upscaler_close(upscaler *u)
{
	if (!u) return;
	weights_close(u->file);
	free(u->path);
	free(u);
}

/* ── one tile ── */

typedef struct rectangle {
	int left, top, width, height;
} rectangle;

typedef struct canvas {
	const upscaler *u;
	const float *image;
	int width, height; /* of image */
	float *out;
	int tile, pad, columns, rows;
	float *values; /* of a network's input or output */
} canvas;

/* Mirrored at the border, which is not repeated: …2 1 0 1 2…; of a single row, that row. */
static int mirrored(int i, int end)
{
	if (end == 1) return 0;
	i %= 2 * end - 2;
	return i < end ? i : 2 * end - 2 - i;
}

/* Pixels as the network reads them: squares of them as channels, color by color; what a side lacks to a multiple of the
 * square is mirrored. */
static void gather(const canvas *c, rectangle from, int width, int height, float *to)
{
	int square = square_of(c->u);
	for (int y = 0; y < height; y += square)
		for (int x = 0; x < width; x += square)
			for (int k = 0; k < 3; k++)
				for (int i = 0; i < square * square; i++) {
					int row = from.top + mirrored(y + i / square, from.height);
					int column = from.left + mirrored(x + i % square, from.width);
					*to++ = c->image[3 * ((size_t)row * (size_t)c->width + (size_t)column) + (size_t)k];
				}
}

/* A pixel of what the network gave for `from`, of `width` network places a row. */
static float value_at(const canvas *c, int width, int x, int y, int channel, rectangle from)
{
	const upscaler_config *u = &c->u->config;
	if (u->kind == RRDB) return c->values[3 * ((size_t)y * (size_t)width + (size_t)x) + (size_t)channel];
	int column = x / u->scale, row = y / u->scale, place = y % u->scale * u->scale + x % u->scale,
	    square = u->scale * u->scale;
	size_t at = (size_t)row * (size_t)width + (size_t)column;
	size_t pixel = (size_t)(from.top + row) * (size_t)c->width + (size_t)(from.left + column);
	return c->values[at * 3 * (size_t)square + (size_t)(channel * square + place)] +
	       c->image[3 * pixel + (size_t)channel];
}

/* Copies what is kept of a tile. */
static void scatter(const canvas *c, rectangle from, rectangle kept, int width)
{
	int scale = c->u->config.scale;
	size_t whole = (size_t)c->width * (size_t)scale;
	for (int y = 0; y < kept.height * scale; y++)
		for (int x = 0; x < kept.width * scale; x++)
			for (int k = 0; k < 3; k++) {
				size_t row = (size_t)(kept.top * scale + y), column = (size_t)(kept.left * scale + x);
				c->out[3 * (row * whole + column) + (size_t)k] =
				    value_at(c, width, (kept.left - from.left) * scale + x, (kept.top - from.top) * scale + y, k, from);
			}
}

static rectangle tile_at(const canvas *c, int i)
{
	int left = i % c->columns * c->tile, top = i / c->columns * c->tile;
	return (rectangle){ left, top, c->width - left < c->tile ? c->width - left : c->tile,
		c->height - top < c->tile ? c->height - top : c->tile };
}

static rectangle padded(const canvas *c, rectangle t)
{
	int left = t.left > c->pad ? t.left - c->pad : 0, top = t.top > c->pad ? t.top - c->pad : 0;
	int right = t.left + t.width + c->pad, bottom = t.top + t.height + c->pad;
	return (rectangle){ left, top, (right < c->width ? right : c->width) - left,
		(bottom < c->height ? bottom : c->height) - top };
}

static int rounded_up(int x, int multiple) { return (x + multiple - 1) / multiple * multiple; }

/* ── all tiles ── */

/* Tiles whose sizes are those of tile `first` go through one network; done[] marks them. */
static bool run_alike(canvas *c, int first, bool *done, int *count, const watcher *w, error *e)
{
	rectangle like = padded(c, tile_at(c, first));
	int square = square_of(c->u), tiles = c->columns * c->rows;
	int width = rounded_up(like.width, square), height = rounded_up(like.height, square);
	tile_network y = { 0 };
	bool fine = network_compile(&y, c->u, width, height, e) && graph_allocate(y.g, NULL, NULL, e);
	size_t in = fine ? shape_count(shape_of(y.g, y.in)) : 0, out = fine ? shape_count(shape_of(y.g, y.out)) : 0;
	c->values = fine ? malloc((in > out ? in : out) * sizeof *c->values) : NULL;
	if (fine && !c->values) fine = fail(e, NO_MEMORY, "out of memory for a tile of %d×%d", width, height);
	for (int i = first; fine && i < tiles; i++) {
		rectangle kept = tile_at(c, i), from = padded(c, kept);
		if (done[i] || from.width != like.width || from.height != like.height) continue;
		gather(c, from, width, height, c->values);
		fine = graph_write_floats(y.g, y.in, c->values, e) && graph_run(y.g, NULL, NULL, e) &&
		       graph_read_floats(y.g, y.out, c->values, e) &&
		       (all_finite(c->values, out, "the enlarged picture", e) || (blame_file(c->u->file, e), false));
		if (fine) scatter(c, from, kept, dim(y.g, y.out, 2));
		done[i] = true;
		fine = fine && watcher_progress(w, "upscale", ++*count, tiles, e);
	}
	free(c->values);
	c->values = NULL;
	graph_free(y.g);
	return fine;
}

static bool run_tiles(canvas *c, const watcher *w, error *e)
{
	c->columns = (c->width + c->tile - 1) / c->tile;
	c->rows = (c->height + c->tile - 1) / c->tile;
	int tiles = c->columns * c->rows, count = 0;
	bool *done = calloc((size_t)tiles, sizeof *done);
	bool fine = done ? watcher_progress(w, "upscale", 0, tiles, e) : fail(e, NO_MEMORY, "out of memory for tiles");
	for (int i = 0; fine && i < tiles; i++)
		if (!done[i]) fine = run_alike(c, i, done, &count, w, e);
	free(done);
	return fine;
}

/* ── how large tiles may be ── */

static uint64_t allowed_bytes(const upscaler *u)
{
	uint64_t free_bytes = device_available(u->machine.backend->device), most = u->machine.max_memory;
	uint64_t taken = u->machine.backend->device ? 0 : memory_resident();
	if (!most) return free_bytes;
	uint64_t left = most > taken ? most - taken : 0;
	return left < free_bytes ? left : free_bytes;
}

/* Bytes for a tile with its pad. */
static bool bytes_for(const canvas *c, int tile, uint64_t *bytes, error *e)
{
	int square = square_of(c->u);
	canvas alike = *c;
	alike.tile = tile;
	alike.columns = (c->width + tile - 1) / tile;
	alike.rows = (c->height + tile - 1) / tile;
	int middle = alike.columns / 2 + alike.rows / 2 * alike.columns; /* padded on all sides, where any is */
	rectangle r = padded(&alike, tile_at(&alike, alike.columns > 2 || alike.rows > 2 ? middle : 0));
	tile_network y = { 0 };
	bool fine = network_compile(&y, c->u, rounded_up(r.width, square), rounded_up(r.height, square), e);
	if (fine) *bytes = network_bytes(&y) + sizeof(float) * shape_count(shape_of(y.g, y.out));
	graph_free(y.g);
	return fine;
}

/* What the result takes, as floats and as bytes. */
static uint64_t result_bytes(const canvas *c)
{
	uint64_t scale = (uint64_t)c->u->config.scale;
	return (sizeof(float) + 1) * 3 * scale * scale * (uint64_t)c->width * (uint64_t)c->height;
}

/* The whole, or halves of it until there is room. */
static bool choose_tile(canvas *c, const watcher *w, error *e)
{
	enum { SMALLEST = 32 };
	int whole = c->width > c->height ? c->width : c->height, tile = c->tile > 0 && c->tile < whole ? c->tile : whole;
	uint64_t bytes = 0, allowed = allowed_bytes(c->u);
	for (bool given = c->tile > 0;; tile = (tile + 1) / 2) {
		if (!bytes_for(c, tile, &bytes, e)) return false;
		bytes += result_bytes(c);
		if (bytes <= allowed || given || tile <= SMALLEST) break;
	}
	if (bytes > allowed)
		return fail(e, NO_MEMORY, "memory: %.1f MiB are needed to enlarge tiles of %d×%d, there are %.1f MiB",
		    (double)bytes / (1 << 20), tile, tile, (double)allowed / (1 << 20));
	if (tile < whole && !c->tile)
		watcher_note(w, SUMI_DETAIL, "enlarged in tiles of %d×%d, for which there is memory", tile, tile);
	watcher_note(w, SUMI_DETAIL, "memory: %.1f MiB planned for a tile of %d×%d", (double)bytes / (1 << 20), tile, tile);
	c->tile = tile;
	return true;
}

bool upscaler_run(const upscaler *u, const float *image, int width, int height, int tile, int pad, float *out,
    const watcher *w, error *e)
{
	canvas c = { .u = u, .image = image, .width = width, .height = height, .out = out, .tile = tile, .pad = pad };
	return choose_tile(&c, w, e) && run_tiles(&c, w, e);
}

static unsigned char byte_of(float x) { return !(x > 0) ? 0 : x >= 1 ? 255 : (unsigned char)lrintf(x * 255); }

sumi_image *upscaler_picture(const upscaler *u, const sumi_image *image, int tile, int pad, const watcher *w, error *e)
{
	size_t n = (size_t)image->width * (size_t)image->height * 3, scale = (size_t)u->config.scale;
	int width = image->width * (int)scale, height = image->height * (int)scale;
	if (width > 65535 || height > 65535)
		return fail(e, BAD_USAGE, "a picture of %d×%d would be %d×%d; sides are at most 65535", image->width,
		           image->height, width, height),
		       NULL;
	sumi_image *made = calloc(1, sizeof *made);
	float *from = malloc(n * sizeof *from), *to = malloc(n * scale * scale * sizeof *to);
	if (made) *made = (sumi_image){ .size = sizeof *made, .width = width, .height = height, .seed = image->seed };
	if (made) made->pixels = malloc(n * scale * scale);
	bool fine = (made && made->pixels && from && to) ||
	            fail(e, NO_MEMORY, "out of memory for a picture of %d×%d", width, height);
	for (size_t i = 0; fine && i < n; i++) from[i] = (float)image->pixels[i] / 255;
	fine = fine && upscaler_run(u, from, image->width, image->height, tile, pad, to, w, e);
	for (size_t i = 0; fine && i < n * scale * scale; i++) made->pixels[i] = byte_of(to[i]);
	free(from);
	free(to);
	if (fine) return made;
	sumi_image_free(made);
	return NULL;
}
