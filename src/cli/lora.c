/* lora.c - sumi lora extract: two checkpoints as one and a small file. The options have the names of kohya's
 * extract_lora_from_models.py too. */
#include "cli/commands.h"
#include "cli/options.h"
#include <stdio.h>
#include <string.h>

typedef struct settings {
	const char *model, *base, *output, *type, *keys;
	long long rank, conv_rank;
	bool all_layers, verbose, quiet;
} settings;
#define AT(field) offsetof(settings, field)

/* clang-format off */
static const option extract_table[] = {
	{ .name = "model", .alias = "model_tuned", .letter = 'm', .kind = TEXT, AT(model), .argument = "FILE",
	    .help = "the model that was trained further, or merged" },
	{ .name = "base", .alias = "model_org", .kind = TEXT, AT(base), .argument = "FILE",
	    .help = "the model that it was made of" },
	{ .name = "output", .alias = "save_to", .letter = 'o', .kind = TEXT, AT(output), .argument = "FILE",
	    .help = "the LoRA to write" },
	{ .name = "rank", .alias = "dim", .kind = INTEGER, AT(rank), 1, 8192, "N", "16",
	    "of linear layers: the larger, the nearer, and the larger the file" },
	{ .name = "conv-rank", .alias = "conv_dim", .kind = INTEGER, AT(conv_rank), 0, 8192, "N", NULL,
	    "of 3×3 convolutions, with which residual blocks are taken (they are not)" },
	{ .name = "type", .alias = "save_precision", .kind = TEXT, AT(type), .argument = "TYPE", .standard = "f16",
	    .help = "of the file: f32, f16, bf16" },
	{ .name = "network-keys", .alias = "network_keys", .kind = TEXT, AT(keys), .argument = "kohya|peft",
	    .standard = "kohya", .help = "whose names its tensors have" },
	{ .name = "all-layers", .kind = FLAG, AT(all_layers),
	    .help = "embeddings of time, first and last layers too, which few other tools read" },
	{ .name = "verbose", .letter = 'v', .kind = FLAG, AT(verbose), .help = "print what is done" },
	{ .name = "quiet", .letter = 'q', .kind = FLAG, AT(quiet), .help = "no progress, no report" },
	{ .name = "help", .letter = 'h', .kind = FLAG, AT(quiet), .help = "this text" },
};
/* clang-format on */
enum { EXTRACT_ROWS = sizeof extract_table / sizeof *extract_table };

static void print_help(void)
{
	puts(
	    "usage: sumi lora extract -m TUNED --base BASE -o FILE [OPTIONS]\n\nTakes the difference of two models as a "
	    "LoRA: each layer's nearest matrix of low rank, with the share\nof the difference that is kept. Needs OpenBLAS "
	    "or LAPACK, which make setup installs.\n");
	print_options(extract_table, EXTRACT_ROWS);
}

/* kohya's scripts say fp16 and float. */
static const char *type_of(const char *name)
{
	static const char *const same[][2] = { { "fp16", "f16" }, { "float", "f32" }, { "fp32", "f32" } };
	for (size_t i = 0; i < sizeof same / sizeof *same; i++)
		if (!strcmp(name, same[i][0])) return same[i][1];
	return name;
}

static int extract(int argc, char **argv)
{
	settings s = { 0 };
	sumi_error e = { 0 };
	progress p;
	char *report = NULL;
	int code = parse_options(extract_table, EXTRACT_ROWS, &s, NULL, argc, argv);
	if (code) return code;
	if (!s.model || !s.base || !s.output)
		return complain(2, "%s is missing: sumi lora extract -m TUNED --base BASE -o FILE",
		    !s.model  ? "--model"
		    : !s.base ? "--base"
		              : "--output");
	progress_begin(&p, s.verbose, s.quiet);
	sumi_listener listener = progress_listener(&p);
	sumi_extract_options o = sumi_extract_defaults();
	o.rank = (int)s.rank;
	o.conv_rank = (int)s.conv_rank;
	o.all_layers = s.all_layers;
	o.type = type_of(s.type);
	o.keys = s.keys;
	o.listener = &listener;
	bool fine = sumi_lora_extract(s.model, s.base, s.output, &o, &report, &e);
	progress_end(&p);
	if (fine && !s.quiet) fputs(report, stderr);
	if (fine) puts(s.output);
	sumi_free(report);
	return fine ? 0 : complain(e.status, "%s", e.status == SUMI_STOPPED ? "stopped" : e.text);
}

int command_lora(int argc, char **argv)
{
	if (wants_help(argc, argv)) return print_help(), 0;
	if (argc < 2 || argv[1][0] == '-') return complain(2, "do what with a LoRA? extract; see sumi lora --help");
	if (strcmp(argv[1], "extract")) return complain(2, "sumi lora %.80s: extract is what there is", argv[1]);
	return extract(argc - 1, argv + 1);
}
