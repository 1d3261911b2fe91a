/* grid.c - sumi grid: several pictures as one. */
#include "cli/commands.h"
#include "cli/options.h"
#include <stdio.h>

typedef struct settings {
	const char *output;
	long long columns, gap;
	bool ignored;
} settings;
#define AT(field) offsetof(settings, field)

/* clang-format off */
static const option table[] = {
	{ .name = "output", .letter = 'o', .kind = TEXT, AT(output), .argument = "FILE", .standard = "grid.png",
	    .help = "PNG, JPEG or WebP by its ending" },
	{ .name = "columns", .letter = 'c', .kind = INTEGER, AT(columns), 1, 1000, "N", NULL, "pictures a row (all in one)" },
	{ .name = "gap", .kind = INTEGER, AT(gap), 0, 1024, "PIXELS", "4", "white between them" },
	{ .name = "help", .letter = 'h', .kind = FLAG, AT(ignored), .help = "this text" },
};
/* clang-format on */
enum { ROWS = sizeof table / sizeof *table };

int command_grid(int argc, char **argv)
{
	settings s = { 0 };
	text_list words = { 0 };
	sumi_error e = { 0 };
	sumi_image *pictures[sizeof words.item / sizeof *words.item] = { 0 };
	if (wants_help(argc, argv)) {
		puts("usage: sumi grid PICTURE… [OPTIONS]\n\nLays pictures out in rows, as one picture.\n");
		print_options(table, ROWS);
		return 0;
	}
	int code = parse_options(table, ROWS, &s, &words, argc, argv);
	if (code) return code;
	if (!words.count) return complain(2, "no pictures: name some");
	sumi_image_writable(s.output, &e);
	for (int i = 0; i < words.count && !e.status; i++) pictures[i] = sumi_image_read(words.item[i], &e);
	sumi_image *grid = sumi_image_grid(
	    (const sumi_image *const *)pictures, words.count, s.columns ? (int)s.columns : words.count, (int)s.gap, &e);
	if (sumi_image_write(grid, s.output, &e)) puts(s.output);
	sumi_image_free(grid);
	for (int i = 0; i < words.count; i++) sumi_image_free(pictures[i]);
	return e.status ? complain(e.status, "%s", e.text) : 0;
}
