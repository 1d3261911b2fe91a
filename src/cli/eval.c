/* eval.c - sumi eval: how well a model draws, measured with real pictures. */
#include "cli/commands.h"
#include "cli/model_options.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct settings {
	const char *model, *data, *heldout, *group, *variant, *space, *json, *grid;
	const char *negative, *sampler, *schedule;
	model_settings components;
	machine_settings machine;
	long long samples, shown, steps, seed;
	double guidance, rescale;
	bool autoencoder, verbose, quiet;
} settings;
#define AT(field) offsetof(settings, field)

/* clang-format off */
static const option table[] = {
	{ .name = "Real pictures", .kind = HEADING },
	{ .name = "data", .letter = 'd', .kind = TEXT, AT(data), .argument = "DIR",
	    .help = "what the model was trained on: a folder with metadata.jsonl" },
	{ .name = "heldout", .kind = TEXT, AT(heldout), .argument = "DIR", .help = "… and what it never saw" },
	{ .name = "group-field", .kind = TEXT, AT(group), .argument = "NAME",
	    .help = "field of metadata.jsonl: what a picture shows, such as base" },
	{ .name = "variant-field", .kind = TEXT, AT(variant), .argument = "NAME", .help = "… and in which form, such as tone" },

	{ .name = "Model", .kind = HEADING },
	{ .name = "model", .letter = 'm', .kind = TEXT, AT(model), .argument = "FILE",
	    .help = "as in sumi generate (the one that ships with Sumi)" },
	MODEL_ROWS(components),
	{ .name = "autoencoder-only", .kind = FLAG, AT(autoencoder),
	    .help = "draw nothing; the file may hold an autoencoder alone" },

	{ .name = "How to draw", .kind = HEADING },
	{ .name = "samples", .letter = 'n', .kind = INTEGER, AT(samples), 0, 1000000, "N", "2000",
	    "pictures for texts of --data; held-out texts are all drawn" },
	{ .name = "steps", .kind = INTEGER, AT(steps), 1, 10000, "N", "20", "denoising steps" },
	{ .name = "cfg-scale", .kind = NUMBER, AT(guidance), 0, 1000, "X", NULL,
	    "how strongly the text leads (the model's, 7 for Stable Diffusion)" },
	{ .name = "guidance-rescale", .kind = NUMBER, AT(rescale), 0, 1, "X", NULL, "tame the contrast of strong guidance" },
	{ .name = "negative-prompt", .kind = TEXT, AT(negative), .argument = "WORDS", .help = "negative prompt of all" },
	{ .name = "sampling-method", .alias = "sampler", .kind = TEXT, AT(sampler), .argument = "NAME",
	    .help = "as in sumi generate" },
	{ .name = "scheduler", .alias = "schedule", .kind = TEXT, AT(schedule), .argument = "NAME", .help = "as in sumi generate" },
	{ .name = "seed", .letter = 's', .kind = INTEGER, AT(seed), 0, MOST_SEED, "N", "42", "of the first picture; the next has one more" },
	{ .name = "space", .kind = TEXT, AT(space), .argument = "latent|pixels", .standard = "latent",
	    .help = "where the nearest picture is looked for" },

	{ .name = "Results", .kind = HEADING },
	{ .name = "json", .letter = 'j', .kind = TEXT, AT(json), .argument = "FILE", .help = "write the figures and a list of all samples" },
	{ .name = "grid", .letter = 'o', .kind = TEXT, AT(grid), .argument = "FILE",
	    .help = "write samples as a picture: drawn, nearest, wanted" },
	{ .name = "shown", .kind = INTEGER, AT(shown), 1, 1000, "N", "48", "how many samples that shows" },

	{ .name = "Machine", .kind = HEADING },
	MACHINE_ROWS(machine),
	{ .name = "verbose", .letter = 'v', .kind = FLAG, AT(verbose), .help = "print details of the model" },
	{ .name = "quiet", .letter = 'q', .kind = FLAG, AT(quiet), .help = "no progress, no notes" },
	{ .name = "help", .letter = 'h', .kind = FLAG, AT(quiet), .help = "this text" },
};
/* clang-format on */
enum { ROWS = sizeof table / sizeof *table };

static int help(void)
{
	puts("usage: sumi eval --data DIR [--heldout DIR] [OPTIONS]\n\n"
	     "Measures a model with real pictures: what its autoencoder loses; whether the picture nearest to a drawn one "
	     "is\n"
	     "the one that its text belongs to; and the Fréchet distance between what is drawn and what is real.");
	print_options(table, ROWS);
	return 0;
}

static sumi_options picture_options(const settings *s)
{
	sumi_options o = sumi_defaults();
	o.negative_prompt = s->negative;
	o.steps = (int)s->steps;
	o.guidance = s->guidance;
	o.guidance_rescale = s->rescale;
	o.sampler = s->sampler;
	o.schedule = s->schedule;
	o.seed = s->seed;
	return o;
}

static void write_text(const char *path, const char *text, sumi_error *e)
{
	if (e->status) return;
	FILE *f = fopen(path, "wb");
	bool fine = f && fputs(text, f) >= 0 && fputc('\n', f) >= 0;
	if (f && fclose(f)) fine = false;
	if (fine) return;
	e->status = SUMI_BAD_FILE;
	snprintf(e->text, sizeof e->text, "%s: %s", path, strerror(errno));
}

/* Whether the text could be written, before hours of work; creates nothing. */
static int check_text_path(const char *path)
{
	struct stat at;
	char folder[4096] = ".";
	const char *slash = strrchr(path, '/');
	if (slash) snprintf(folder, sizeof folder, "%.*s", slash > path ? (int)(slash - path) : 1, path);
	bool there = !stat(path, &at);
	if (there && S_ISDIR(at.st_mode)) return complain(3, "%s: is a folder", path);
	return access(there ? path : folder, W_OK) ? complain(3, "%s: %s", path, strerror(errno)) : 0;
}

static int measure(const settings *s, const char *path)
{
	sumi_error e = { 0 };
	progress p;
	progress_begin(&p, s->verbose, s->quiet);
	sumi_listener l = progress_listener(&p);
	sumi_model_options m = model_options(&s->components, &s->machine, &l);
	m.autoencoder_only = s->autoencoder;
	sumi_options draw = picture_options(s);
	sumi_evaluation_options o = sumi_evaluation_defaults();
	o.data = s->data;
	o.heldout = s->heldout;
	o.group = s->group;
	o.variant = s->variant;
	o.space = s->space;
	o.autoencoder = s->autoencoder;
	o.samples = (int)s->samples;
	o.shown = s->grid ? (int)s->shown : 0;
	o.draw = &draw;
	o.listener = &l;
	sumi_model *model = sumi_open(path, &m, &e);
	sumi_evaluation *result = sumi_evaluate(model, &o, &e);
	progress_end(&p);
	if (!e.status) fputs(result->table, stdout);
	if (result && s->json) write_text(s->json, result->json, &e);
	if (result && s->grid && result->grid && sumi_image_write(result->grid, s->grid, &e)) puts(s->grid);
	sumi_evaluation_free(result);
	sumi_close(model);
	if (e.status == SUMI_STOPPED) return complain(e.status, "stopped");
	return e.status ? complain(e.status, "%s", e.text) : 0;
}

int command_eval(int argc, char **argv)
{
	settings s = { .guidance = -1 };
	char path[4096];
	if (wants_help(argc, argv)) return help();
	int code = parse_options(table, ROWS, &s, NULL, argc, argv);
	if (code) return code;
	if (!s.data) return complain(2, "no pictures: name a folder with --data DIR");
	sumi_error e = { 0 };
	if (s.grid && !sumi_image_writable(s.grid, &e)) return complain(e.status, "%s", e.text);
	if (s.json && (code = check_text_path(s.json))) return code;
	if (!find_model(s.model, path, sizeof path)) return 3;
	return measure(&s, path);
}
