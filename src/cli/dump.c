/* dump.c - sumi dump: a network as it will run. */
#include "cli/commands.h"
#include "cli/model_options.h"
#include <stdio.h>

typedef struct settings {
	const char *model;
	model_settings components;
	machine_settings machine;
	long long width, height;
	bool profile, verbose;
} settings;
#define AT(field) offsetof(settings, field)

/* clang-format off */
static const option table[] = {
	{ .name = "model", .letter = 'm', .kind = TEXT, AT(model), .argument = "FILE",
	    .help = "the model (the one that ships with Sumi)" },
	{ .name = "width", .letter = 'W', .kind = INTEGER, AT(width), 8, 65536, "PIXELS",
	    .help = "(what the model was made for)", .multiple_of_8 = true },
	{ .name = "height", .letter = 'H', .kind = INTEGER, AT(height), 8, 65536, "PIXELS",
	    .help = "(what the model was made for)", .multiple_of_8 = true },
	{ .name = "profile", .kind = FLAG, AT(profile), .help = "run it, and print the time of every node and kernel" },
	MODEL_ROWS(components),
	MACHINE_ROWS(machine),
	{ .name = "verbose", .letter = 'v', .kind = FLAG, AT(verbose), .help = "print what is done" },
	{ .name = "help", .letter = 'h', .kind = FLAG, AT(verbose), .help = "this text" },
};
/* clang-format on */
enum { ROWS = sizeof table / sizeof *table };

static bool write_out(void *file, const void *bytes, size_t count) { return fwrite(bytes, 1, count, file) == count; }

int command_dump(int argc, char **argv)
{
	settings s = { 0 };
	text_list words = { 0 };
	sumi_error e = { 0 };
	progress p;
	char path[4096];
	if (wants_help(argc, argv)) {
		puts("usage: sumi dump [encode|denoise|decode] [OPTIONS]\n\nShows a network of a model as it will run: nodes, "
		     "shapes, places in memory, kernels.\n");
		print_options(table, ROWS);
		return 0;
	}
	int code = parse_options(table, ROWS, &s, &words, argc, argv);
	if (code) return code;
	if (words.count > 1) return complain(2, "sumi dump takes one network: encode, denoise or decode");
	if (!find_model(s.model, path, sizeof path)) return 3;
	progress_begin(&p, s.verbose, !s.verbose);
	sumi_listener l = progress_listener(&p);
	sumi_model_options m = model_options(&s.components, &s.machine, &l);
	sumi_options o = sumi_defaults();
	o.listener = &l;
	o.width = (int)s.width;
	o.height = (int)s.height;
	sumi_model *model = sumi_open(path, &m, &e);
	sumi_dump(model, &o, words.count ? words.item[0] : "denoise", s.profile, write_out, stdout, &e);
	progress_end(&p);
	sumi_close(model);
	return e.status ? complain(e.status, "%s", e.text) : 0;
}
