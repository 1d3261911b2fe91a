/* files.c - sumi init, info and convert: what is done with models as files. */
#include "cli/commands.h"
#include "cli/options.h"
#include <stdio.h>
#include <string.h>

typedef struct settings {
	const char *output, *type, *layout;
	long long seed, max_shard;
	text_list loras;
	bool zeros, clamp, verbose, quiet;
} settings;
#define AT(field) offsetof(settings, field)

#define COMMON                                                                                        \
	{ .name = "verbose", .letter = 'v', .kind = FLAG, AT(verbose), .help = "print what is done" },    \
	    { .name = "quiet", .letter = 'q', .kind = FLAG, AT(quiet), .help = "no progress, no notes" }, \
	{                                                                                                 \
		.name = "help", .letter = 'h', .kind = FLAG, AT(quiet), .help = "this text"                   \
	}

static int finish(progress *p, const sumi_error *e)
{
	progress_end(p);
	return e->status ? complain(e->status, "%s", e->status == SUMI_STOPPED ? "stopped" : e->text) : 0;
}

/* ── init ── */

/* clang-format off */
static const option init_table[] = {
	{ .name = "output", .letter = 'o', .kind = TEXT, AT(output), .argument = "FILE",
	    .help = "the file to write (FAMILY.safetensors)" },
	{ .name = "seed", .letter = 's', .kind = INTEGER, AT(seed), 0, MOST_SEED, "N", "42",
	    "the same seed writes the same bytes" },
	{ .name = "type", .kind = TEXT, AT(type), .argument = "TYPE", .standard = "f32",
	    .help = "of the weights: f32, f16, bf16, f8_e4m3, f8_e5m2" },
	{ .name = "zeros", .kind = FLAG, AT(zeros), .help = "to be trained: zero where training starts at zero" },
	COMMON,
};
/* clang-format on */
enum { INIT_ROWS = sizeof init_table / sizeof *init_table };

int command_init(int argc, char **argv)
{
	settings s = { 0 };
	text_list words = { 0 };
	sumi_error e = { 0 };
	progress p;
	char path[256];
	if (wants_help(argc, argv)) {
		puts("usage: sumi init FAMILY|CONFIG.json [OPTIONS]\n\nWrites a new model with random weights, in its "
		     "published layout; or one that a JSON file\ndescribes (docs/models.md). Stable Diffusion 3 is published "
		     "without text encoders: clip_l,\nclip_g and t5xxl in place of a family write them.\n");
		print_options(init_table, INIT_ROWS);
		fputs("\nFamilies:", stdout);
		for (int i = 0; sumi_family_name(i); i++) printf("%s %s", i ? "," : "", sumi_family_name(i));
		puts("\nText encoders: clip_l, clip_g, t5xxl");
		return 0;
	}
	int code = parse_options(init_table, INIT_ROWS, &s, &words, argc, argv);
	if (code) return code;
	if (words.count != 1) return complain(2, "sumi init takes one family; --help lists them");
	snprintf(path, sizeof path - 16, "%.200s", words.item[0]);
	char *json = strstr(path, ".json");
	strcpy(json ? json : strchr(path, 0), ".safetensors");
	if (!s.output) s.output = path;
	progress_begin(&p, s.verbose, s.quiet);
	sumi_listener listener = progress_listener(&p);
	if (sumi_init(words.item[0], (uint64_t)s.seed, s.type, s.zeros, s.output, &listener, &e)) {
		progress_end(&p);
		puts(s.output);
	}
	return finish(&p, &e);
}

/* ── info ── */

static const option info_table[] = { COMMON };
enum { INFO_ROWS = sizeof info_table / sizeof *info_table };

/* By its first bytes: PNG, JPEG, WebP. */
static bool is_picture(const char *path)
{
	unsigned char first[12] = { 0 };
	FILE *f = fopen(path, "rb");
	size_t n = f ? fread(first, 1, sizeof first, f) : 0;
	if (f) fclose(f);
	return n == sizeof first && (!memcmp(first, "\x89PNG", 4) || !memcmp(first, "\xff\xd8\xff", 3) ||
	                                (!memcmp(first, "RIFF", 4) && !memcmp(first + 8, "WEBP", 4)));
}

static void print_value(void *context, const char *name, const char *value)
{
	(void)context;
	printf("%s: %s\n", name, value);
}

static int picture_info(const char *path)
{
	sumi_error e = { 0 };
	int width, height;
	char *text = sumi_image_parameters(path, &width, &height, &e);
	if (text) printf("%dx%d pixels\n", width, height);
	if (text && !*text)
		puts("no text in it says how it was made");
	else if (text && !sumi_parameters_read(text, print_value, NULL, &e)) {
		puts(text); /* another kind of text: as it is */
		e.status = SUMI_OK;
	}
	sumi_free(text);
	return e.status ? complain(e.status, "%s", e.text) : 0;
}

int command_info(int argc, char **argv)
{
	settings s = { 0 };
	text_list words = { 0 };
	char path[4096], *report = NULL;
	if (wants_help(argc, argv)) {
		puts("usage: sumi info [FILE]\n\nSays what a model file is: family, parameters, types, and every tensor that "
		     "is\n"
		     "missing, unexpected or misshaped. Exit code 3 where it cannot be used.\n"
		     "Of a picture, it says how it was made.\n");
		print_options(info_table, INFO_ROWS);
		return 0;
	}
	int code = parse_options(info_table, INFO_ROWS, &s, &words, argc, argv);
	if (code) return code;
	if (words.count > 1) return complain(2, "sumi info takes one file");
	if (words.count && is_picture(words.item[0])) return picture_info(words.item[0]);
	if (!find_model(words.count ? words.item[0] : NULL, path, sizeof path)) return 3;
	sumi_error e = { 0 };
	bool usable = sumi_info(path, &report, &e);
	if (report) fputs(report, stdout);
	sumi_free(report);
	fflush(stdout);
	return usable ? 0 : complain(e.status, "%s", e.text);
}

/* ── convert ── */

/* clang-format off */
static const option convert_table[] = {
	{ .name = "type", .kind = TEXT, AT(type), .argument = "TYPE",
	    .help = "of the float tensors: f32, f16, bf16, f8_e4m3, f8_e5m2; where OUT ends in .gguf f32, f16, bf16, q8_0, "
	            "q5_1, q5_0, q4_1, q4_0 (as they are)" },
	{ .name = "to", .kind = TEXT, AT(layout), .argument = "single|diffusers",
	    .help = "one file, or a folder as diffusers reads it (a folder where OUT ends in /)" },
	{ .name = "lora", .kind = TEXTS, AT(loras), .argument = "FILE[:W]",
	    .help = "work a LoRA (or DoRA, LoHa, LoKr, OFT, …) into the weights, with weight W, or TE:UNET, or lbw=W,W,…" },
	{ .name = "max-shard-size", .alias = "max_shard_size", .kind = BYTES, AT(max_shard), 1, 1e15, "SIZE", "10000000000",
	    "what of a folder is larger becomes several files and an index" },
	{ .name = "clamp", .kind = FLAG, AT(clamp),
	    .help = "values that are too large for the type become its largest (refused)" },
	COMMON,
};
/* clang-format on */
enum { CONVERT_ROWS = sizeof convert_table / sizeof *convert_table };

int command_convert(int argc, char **argv)
{
	settings s = { 0 };
	text_list words = { 0 };
	sumi_error e = { 0 };
	progress p;
	if (wants_help(argc, argv)) {
		puts("usage: sumi convert IN OUT [OPTIONS]\n\nCopies a model into another type or layout, or with LoRAs in "
		     "it.\nOUT is safetensors, or GGUF where its name ends in .gguf.\n");
		print_options(convert_table, CONVERT_ROWS);
		return 0;
	}
	int code = parse_options(convert_table, CONVERT_ROWS, &s, &words, argc, argv);
	if (code) return code;
	if (words.count != 2) return complain(2, "sumi convert takes two paths: IN and OUT");
	progress_begin(&p, s.verbose, s.quiet);
	sumi_listener listener = progress_listener(&p);
	sumi_convert_options o = sumi_convert_defaults();
	o.type = s.type;
	o.layout = s.layout;
	o.loras = s.loras.item;
	o.lora_count = s.loras.count;
	o.clamp = s.clamp;
	o.max_shard = (uint64_t)s.max_shard;
	o.listener = &listener;
	if (sumi_convert_as(words.item[0], words.item[1], &o, &e)) {
		progress_end(&p);
		puts(words.item[1]);
	}
	return finish(&p, &e);
}
