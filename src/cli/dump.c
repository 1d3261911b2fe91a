/* dump.c - sumi dump: a network as it will run. */
#include "cli/commands.h"
#include "cli/options.h"
#include <stdio.h>

typedef struct settings {
	const char *model, *type, *device;
	long long width, height, threads, max_memory;
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
	{ .name = "threads", .letter = 't', .kind = INTEGER, AT(threads), 1, 1024, "N", NULL, "(one for each CPU)" },
	{ .name = "device", .kind = TEXT, AT(device), .argument = "DEVICE",
	    .help = "compute on: cpu, cuda[:N] a GPU, or auto, a GPU where there is one (cpu)" },
	{ .name = "type", .kind = TEXT, AT(type), .argument = "f32|bf16",
	    .help = "compute in (bf16 on a GPU, and where the CPU has it)" },
	{ .name = "max-memory", .kind = BYTES, AT(max_memory), 1 << 20, 1e15, "SIZE", NULL, "(what is free)" },
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
	sumi_model_options m = sumi_model_defaults();
	m.type = s.type;
	m.device = s.device;
	m.threads = (int)s.threads;
	m.max_memory = (uint64_t)s.max_memory;
	sumi_listener l = progress_listener(&p);
	m.listener = &l;
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
