/* upscale.c - upscaling networks in every layout, whole and in tiles, on a picture. */
#include "arrays.h"
#include "goldens.h"
#include "pipeline/upscale.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct file {
	const char *path, *golden;
	int tile, pad;
} file;

static const file files[] = { { "rrdb_x4_new.safetensors", "rrdb_x4.out", 0, 0 },
	{ "rrdb_x4_esrgan.safetensors", "rrdb_x4.out", 0, 0 }, { "rrdb_x4_old.safetensors", "rrdb_x4.out", 0, 0 },
	{ "rrdb_x4.pth", "rrdb_x4.out", 0, 0 }, { "rrdb_x2_unshuffle_new.safetensors", "rrdb_x2_unshuffle.out", 0, 0 },
	{ "rrdb_x1_unshuffle_new.safetensors", "rrdb_x1_unshuffle.out", 0, 0 },
	{ "rrdb_x2_old.safetensors", "rrdb_x2_old.out", 0, 0 }, { "compact_x4.safetensors", "compact_x4.out", 0, 0 },
	{ "compact_x4.pth", "compact_x4.out", 0, 0 }, { "compact_x2.safetensors", "compact_x2.out", 0, 0 } };

/* The largest difference from the golden [1,3,H,W], and of the bytes from `_u8`. */
static double difference(const arrays *io, const file *f, const upscaler *u, double *bytes)
{
	dtype d;
	shape s, t;
	const void *pixels, *expected;
	char name[80];
	if (!array_find(io, "image_u8", &d, &s, &pixels) || !array_find(io, f->golden, &d, &t, &expected)) return INFINITY;
	sumi_image image = {
		.size = sizeof image, .width = s.d[1], .height = s.d[0], .pixels = (uint8_t *)(uintptr_t)pixels
	};
	size_t n = shape_count(s), out = shape_count(t), area = out / 3;
	float *from = malloc(n * sizeof *from), *to = calloc(out, sizeof *to);
	for (size_t i = 0; i < n; i++) from[i] = (float)image.pixels[i] / 255;
	double worst = INFINITY;
	if (t.d[3] == image.width * upscaler_scale(u) &&
	    upscaler_run(u, from, image.width, image.height, f->tile, f->pad, to, NULL, NULL)) {
		worst = 0;
		for (size_t i = 0; i < out; i++)
			worst = worse(worst, fabs((double)to[i] - (double)((const float *)expected)[i % 3 * area + i / 3]));
	}
	snprintf(name, sizeof name, "%s_u8", f->golden);
	bool also_bytes = array_find(io, name, &d, &t, &expected);
	sumi_image *made = also_bytes ? upscaler_picture(u, &image, f->tile, f->pad, NULL, NULL) : NULL;
	*bytes = !also_bytes ? -1 : made ? 0 : INFINITY;
	for (size_t i = 0; made && i < out; i++)
		*bytes = worse(*bytes, fabs((double)made->pixels[i] - (double)((const uint8_t *)expected)[i]));
	sumi_image_free(made);
	free(from);
	free(to);
	return worst;
}

static void run_file(const char *dir, const arrays *io, const file *f, report *r)
{
	const char *path = path_of(dir, "upscale/%s", f->path);
	if (!exists(path)) return;
	for (int k = 0; k < 2; k++) {
		upscaler_machine m = { golden_backend(), k ? BF16 : REAL, 2, 0 };
		error e = { 0 };
		char name[128];
		double bytes = -1, worst = INFINITY;
		upscaler *u = upscaler_open(path, &m, &e);
		if (!u) printf("      %s\n", e.text);
		if (u) worst = difference(io, f, u, &bytes);
		snprintf(name, sizeof name, "upscale/%s%s %s", f->path, k ? " bf16" : "", f->golden);
		report_error(r, name, worst, k ? 1e-2 : 1e-5);
		if (bytes >= 0) report_error(r, strcat(name, "_u8"), bytes, k ? 2 : 1);
		upscaler_close(u);
	}
}

/* The tiles of "rrdb_x4.tile12_pad4" are what its name says. */
void golden_upscale(const char *dir, report *r)
{
	arrays io = arrays_open(path_of(dir, "upscale/io.safetensors"));
	const char *name;
	json_t *entry;
	for (size_t i = 0; io.header && i < sizeof files / sizeof *files; i++) run_file(dir, &io, &files[i], r);
	json_object_foreach(io.header, name, entry)
	{
		file f = { .path = "rrdb_x4_old.safetensors", .golden = name };
		int end = 0;
		if (sscanf(name, "rrdb_x4.tile%d_pad%d%n", &f.tile, &f.pad, &end) == 2 && !name[end]) run_file(dir, &io, &f, r);
	}
	arrays_close(&io);
}
