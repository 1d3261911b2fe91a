/* upscale.c - sumi upscale: a picture made larger by a network. */
#include "cli/commands.h"
#include "cli/model_options.h"
#include <stdio.h>
#include <string.h>

typedef struct settings {
	const char *network, *output;
	machine_settings machine;
	long long tile, pad;
	bool verbose, quiet;
} settings;
#define AT(field) offsetof(settings, field)

/* clang-format off */
static const option table[] = {
	{ .name = "upscale-model", .letter = 'm', .kind = TEXT, AT(network), .argument = "FILE",
	    .help = "ESRGAN, Real-ESRGAN or SRVGGNetCompact: safetensors or pth" },
	{ .name = "output", .letter = 'o', .kind = TEXT, AT(output), .argument = "FILE",
	    .help = "PNG, JPEG or WebP by its ending (PICTURE_x4.png)" },
	{ .name = "tile", .kind = INTEGER, AT(tile), 0, 65536, "PIXELS", "0",
	    "make squares of so many pixels at a time; 0: all at once, or what there is memory for" },
	{ .name = "tile-pad", .kind = INTEGER, AT(pad), 0, 1024, "PIXELS", "10", "read so many around each" },
	MACHINE_ROWS(machine),
	{ .name = "verbose", .letter = 'v', .kind = FLAG, AT(verbose), .help = "print memory and tiles" },
	{ .name = "quiet", .letter = 'q', .kind = FLAG, AT(quiet), .help = "no progress, no notes" },
	{ .name = "help", .letter = 'h', .kind = FLAG, AT(quiet), .help = "this text" },
};
/* clang-format on */
enum { ROWS = sizeof table / sizeof *table };

/* "photo.jpg" → "photo_x4.png" */
static bool default_output(const char *input, int scale, char *path, size_t size)
{
	const char *slash = strrchr(input, '/'), *dot = strrchr(slash ? slash : input, '.');
	int length = dot ? (int)(dot - input) : (int)strlen(input);
	return snprintf(path, size, "%.*s_x%d.png", length, input, scale) < (int)size;
}

static int enlarge(const settings *s, const char *input)
{
	sumi_error e = { 0 };
	progress p;
	char path[4096] = "";
	progress_begin(&p, s->verbose, s->quiet);
	sumi_listener l = progress_listener(&p);
	sumi_upscaler_options how = sumi_upscaler_defaults();
	how.type = s->machine.type;
	how.device = s->machine.device;
	how.threads = (int)s->machine.threads;
	how.max_memory = (uint64_t)s->machine.max_memory;
	sumi_upscale_options o = sumi_upscale_defaults();
	o.tile = (int)s->tile;
	o.tile_pad = (int)s->pad;
	o.listener = &l;
	if (s->output) sumi_image_writable(s->output, &e);
	sumi_image *image = sumi_image_read(input, &e);
	sumi_upscaler *u = sumi_upscaler_open(s->network, &how, &e);
	if (u && !s->output && !default_output(input, sumi_upscaler_scale(u), path, sizeof path))
		e = (sumi_error){ SUMI_BAD_USAGE, "the path of the picture is too long" };
	sumi_image *made = sumi_upscale(u, image, &o, &e);
	progress_end(&p);
	const char *to = s->output ? s->output : path;
	if (sumi_image_write(made, to, &e)) puts(to);
	sumi_image_free(made);
	sumi_image_free(image);
	sumi_upscaler_close(u);
	return e.status ? complain(e.status, "%s", e.status == SUMI_STOPPED ? "stopped" : e.text) : 0;
}

int command_upscale(int argc, char **argv)
{
	settings s = { 0 };
	text_list words = { 0 };
	if (wants_help(argc, argv)) {
		puts("usage: sumi upscale PICTURE [OUTPUT] --upscale-model FILE [OPTIONS]\n\n"
		     "Makes a picture larger by a network, and prints its path.\n");
		print_options(table, ROWS);
		return 0;
	}
	int code = parse_options(table, ROWS, &s, &words, argc, argv);
	if (code) return code;
	if (words.count < 1 || words.count > 2)
		return complain(2, "sumi upscale takes a picture, and where to write the larger one");
	if (words.count == 2 && s.output) return complain(2, "two outputs: %.200s and -o %.200s", words.item[1], s.output);
	if (words.count == 2) s.output = words.item[1];
	if (!s.network) return complain(2, "no network: name one with --upscale-model FILE");
	return enlarge(&s, words.item[0]);
}
