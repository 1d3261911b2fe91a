/* explain.c - sumi explain "PROMPT": its options, and the page from its first line to its last. */
#include "cli/commands.h"
#include "cli/explain.h"
#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(explain_settings, field)

/* clang-format off */
static const option table[] = {
	{ .name = "prompt", .letter = 'p', .kind = TEXT, AT(prompt), .argument = "WORDS", .help = "what the picture shows" },
	{ .name = "output", .letter = 'o', .kind = TEXT, AT(output), .argument = "FILE", .standard = "explained.html",
	    .help = "the page to write" },
	{ .name = "model", .letter = 'm', .kind = TEXT, AT(model), .argument = "FILE", .help = "as for generate" },
	{ .name = "seed", .letter = 's', .kind = INTEGER, AT(seed), 0, MOST_SEED, "N", "42", "of the picture" },
	{ .name = "steps", .kind = INTEGER, AT(steps), 5, 1000, "N", "20", "denoising steps" },
	{ .name = "cfg-scale", .kind = NUMBER, AT(guidance), 0, 1000, "X", NULL, "how strongly the prompt leads (the model's)" },
	{ .name = "sampling-method", .alias = "sampler", .kind = TEXT, AT(sampler), .argument = "NAME", .help = "(the family's)" },
	MODEL_ROWS(components),
	MACHINE_ROWS(machine),
	{ .name = "verbose", .letter = 'v', .kind = FLAG, AT(verbose), .help = "print memory, kernels and times" },
	{ .name = "quiet", .letter = 'q', .kind = FLAG, AT(quiet), .help = "no progress, no notes" },
	{ .name = "help", .letter = 'h', .kind = FLAG, AT(quiet), .help = "this text" },
};
/* clang-format on */
enum { ROWS = sizeof table / sizeof *table };

static void write_page(page *y)
{
	page_begin(y);
	explain_tokens(y);
	sumi_image *made = explain_way(y);
	explain_guidance(y);
	explain_strengths(y, made);
	explain_round_trip(y, made);
	page_end(y, made ? made->parameters : NULL);
	sumi_image_free(made);
}

int command_explain(int argc, char **argv)
{
	explain_settings s = { .guidance = -1 };
	text_list words = { 0 };
	char path[4096], temporary[4200];
	if (wants_help(argc, argv)) {
		puts("usage: sumi explain \"WORDS\" [OPTIONS]\n\nWrites a page that shows how the picture comes about: tokens, "
		     "latents, guesses, attention, guidance.\n");
		print_options(table, ROWS);
		return 0;
	}
	int code = parse_options(table, ROWS, &s, &words, argc, argv);
	if (code) return code;
	if (words.count == 1) s.prompt = words.item[0];
	if (words.count > 1) return complain(2, "a prompt of several words is one argument, in quotes");
	if (!s.prompt) return complain(2, "no prompt: say what to draw");
	if (!find_model(s.model, path, sizeof path)) return 3;
	if (snprintf(temporary, sizeof temporary, "%s.part", s.output) >= (int)sizeof temporary)
		return complain(2, "--output: the path is too long");
	sumi_error e = { 0 };
	page y = { .s = &s, .e = &e };
	progress_begin(&y.progress, s.verbose, s.quiet);
	sumi_listener l = progress_listener(&y.progress);
	sumi_model_options m = model_options(&s.components, &s.machine, &l);
	y.model = sumi_open(path, &m, &e);
	y.to = y.model ? fopen(temporary, "w") : NULL;
	if (y.model && !y.to) code = complain(3, "%.3000s: cannot be written", temporary);
	if (y.to) write_page(&y);
	progress_end(&y.progress);
	if (y.to && (fclose(y.to) || (!e.status && rename(temporary, s.output))))
		code = complain(3, "%.3000s: could not be written", s.output);
	if (y.to && (code || e.status)) remove(temporary);
	sumi_close(y.model);
	if (e.status) return complain(e.status, "%s", e.status == SUMI_STOPPED ? "stopped" : e.text);
	if (!code) puts(s.output);
	return code;
}
