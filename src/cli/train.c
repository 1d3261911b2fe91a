/* train.c - sumi train JOB: options as the library's table has them, and a progress line. */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/options.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Of train; cache is a command of its own. */
static const char *const jobs[] = { "autoencoder", "diffusion", "lora", "embedding", "controlnet" };
enum { JOBS = sizeof jobs / sizeof *jobs };
static const char *job_name(int i) { return i < JOBS ? jobs[i] : NULL; }

/* ── help ── */

static int help(void)
{
	puts(
	    "usage: sumi train JOB [--config FILE] [OPTIONS]\n\n"
	    "Trains a model and writes it as a checkpoint that sumi generate opens.\n\n"
	    "  autoencoder   pictures to latents and back\n"
	    "  diffusion     text encoder and denoiser on latents, from nothing or from a checkpoint\n"
	    "  lora          a small file that changes a checkpoint\n"
	    "  embedding     a new word for a checkpoint (textual inversion)\n"
	    "  controlnet    a network that makes a checkpoint follow pictures\n\n"
	    "sumi train JOB --help lists a job's options. A JSON file (--config) holds the same names; the command line\n"
	    "wins. SIGINT, SIGTERM, SIGHUP or SIGUSR1 saves a checkpoint and leaves; --resume_from_checkpoint latest goes\n"
	    "on to the same bytes. mpirun -n N sumi train … trains on N processes, each with its share of every batch.\n\n"
	    "Names that diffusers' and kohya's scripts give the same options are taken too. The path of what was written\n"
	    "goes to standard output. Exit code 5: the loss, a gradient or a weight became NaN or infinite.");
	return 0;
}

static int job_help(const char *job)
{
	bool cache = !strcmp(job, "cache");
	printf("usage: sumi %s%s [--config FILE] [OPTIONS]\n", cache ? "" : "train ", job);
	if (cache)
		puts("\nEncodes a training set once: latents by a model's autoencoder, text states by its text encoder.\n"
		     "The folder is then given to sumi train diffusion or lora as --train_data_dir, for the pictures.");
	sumi_training_option o = { .size = sizeof o };
	for (int i = 0; sumi_training_option_at(job, i, &o); i++) {
		if (o.heading) {
			printf("\n%s:\n", o.name);
			continue;
		}
		char left[80];
		snprintf(left, sizeof left, "  --%s %s", o.name, o.flag ? "" : o.value);
		printf("%-36s %s", left, o.help);
		if (*o.standard) printf(" (%s)", o.standard);
		putchar('\n');
	}
	puts("\nMachine:\n  --config FILE                        a JSON file of these options\n"
	     "  --quiet                              no progress, no notes");
	return 0;
}

/* ── progress ── */

typedef struct display {
	bool terminal, quiet, open, cache;
	bool first;     /* of all processes: notes come to it alone */
	double printed; /* seconds of the clock */
} display;

/* Ten times a second on a terminal, else every half minute. */
static int on_progress(void *context, const sumi_training_progress *p)
{
	display *d = context;
	double now = seconds_now();
	bool last = p->step == p->steps;
	if (!d->quiet && !p->rank && (last || now - d->printed >= (d->terminal ? 0.1 : 30))) {
		char left[32];
		print_duration(left, sizeof left, p->seconds_left);
		fprintf(stderr, "%s%s %lld", d->terminal ? "\r" : "", d->cache ? "picture" : "step", (long long)p->step);
		if (p->steps) fprintf(stderr, "/%lld", (long long)p->steps);
		if (!d->cache) fprintf(stderr, "  loss %.5g  lr %.3g", p->smoothed_loss, p->learning_rate);
		fprintf(stderr, "  %.1f images/s", p->images_per_second);
		if (p->waited >= 0.005) fprintf(stderr, "  %.0f %% waiting for data", 100 * p->waited);
		if (p->steps) fprintf(stderr, "  %s left", left);
		fputs(d->terminal ? "\033[K" : "\n", stderr);
		d->printed = now;
		d->open = d->terminal;
	}
	return stop_requested();
}

static void on_note(void *context, const char *line)
{
	display *d = context;
	d->first = true;
	if (d->quiet) return;
	fprintf(stderr, "%s%s\n", d->open ? "\r\033[K" : "", line);
	d->open = false;
}

/* ── arguments ── */

static bool means_bool(const char *word) { return !strcasecmp(word, "true") || !strcasecmp(word, "false"); }

/* The value behind "--NAME": after "=", or the next word where the option needs one. A word that begins with "--" is
 * the next option, not a value. NULL: there is none, and a message was printed. */
static const char *value_of(const sumi_training_option *o, int argc, char **argv, int *at)
{
	const char *inside = strchr(argv[*at], '='), *next = *at + 1 < argc ? argv[*at + 1] : NULL;
	if (inside) return inside + 1;
	if (o->flag && !(next && means_bool(next))) return "true";
	if (next && strncmp(next, "--", 2)) return argv[++*at];
	if (next)
		complain(2, "--%s needs a value; --%s=%.60s if that is it", o->name, o->name, next);
	else
		complain(2, "--%s needs a value", o->name);
	return NULL;
}

/* One argument, with its value where it takes one. The first pass takes --config alone, the second all others. */
static int take_argument(sumi_training *run, const char *job, int argc, char **argv, int *at, bool only_config)
{
	sumi_error e = { 0 };
	sumi_training_option o = { .size = sizeof o, .name = "config" };
	char name[80];
	const char *argument = argv[*at];
	if (strncmp(argument, "--", 2) || !argument[2]) return complain(2, "unexpected \"%.80s\"", argument);
	snprintf(name, sizeof name, "%.*s", (int)strcspn(argument + 2, "="), argument + 2);
	bool config = !strcmp(name, "config");
	if (!config && !sumi_training_find(job, name, &o, &e)) return complain(e.status, "%s", e.text);
	const char *value = value_of(&o, argc, argv, at);
	if (!value) return 2;
	if (config != only_config) return 0;
	bool fine = config ? sumi_training_load(run, value, &e) : sumi_training_set(run, o.name, value, &e);
	return fine ? 0 : complain(e.status, "%s", e.text);
}

static int read_arguments(sumi_training *run, const char *job, int argc, char **argv, bool *quiet)
{
	for (int pass = 0; pass < 2; pass++) /* configuration files first: the command line wins */
		for (int i = 1; i < argc; i++) {
			if (!strcmp(argv[i], "--quiet") || !strcmp(argv[i], "-q")) {
				*quiet = true;
				continue;
			}
			int code = take_argument(run, job, argc, argv, &i, pass == 0);
			if (code) return code;
		}
	return 0;
}

static int find_job(int argc, char **argv)
{
	if (argc < 2)
		return complain(2, "train what? autoencoder, diffusion, lora, embedding or controlnet; see sumi train --help");
	for (int i = 0; i < JOBS; i++)
		if (!strcasecmp(argv[1], jobs[i])) return 0;
	const char *near = nearest_name(job_name, argv[1]);
	if (near) return complain(2, "no training job %.80s; did you mean %s?", argv[1], near);
	return complain(2, "no training job %.80s: autoencoder, diffusion, lora, embedding or controlnet", argv[1]);
}

/* The result's path goes to standard output, for scripts, as with pictures. */
static int print_result(const sumi_training *run, const display *d)
{
	char path[4096], batches[32] = "0", plan[32] = "false";
	if (!d->cache) sumi_training_get(run, "benchmark_loader", batches, sizeof batches, NULL);
	if (!d->cache) sumi_training_get(run, "plan", plan, sizeof plan, NULL);
	bool wrote = !strcmp(batches, "0") && !strcmp(plan, "false");
	if (d->first && wrote && sumi_training_get(run, "output", path, sizeof path, NULL)) puts(path);
	return 0;
}

/* argv[0] is the job's name. */
static int run_job(int argc, char **argv)
{
	sumi_error e = { 0 };
	display d = { .cache = !strcmp(argv[0], "cache") };
	progress p; /* for its signal handlers and the terminal's properties */
	sumi_training *run = sumi_training_new(argv[0], &e);
	if (!run) return complain(e.status, "%s", e.text);
	int code = read_arguments(run, argv[0], argc, argv, &d.quiet);
	if (!code) {
		progress_begin(&p, false, d.quiet);
		d.terminal = p.terminal;
		sumi_training_listener l = sumi_training_listener_defaults();
		l.progress = on_progress;
		l.note = on_note;
		l.context = &d;
		sumi_training_run(run, &l, &e);
		if (d.open) fputc('\n', stderr);
		code = e.status ? complain(e.status, "%s", e.text) : print_result(run, &d);
	}
	sumi_training_free(run);
	return code;
}

int command_train(int argc, char **argv)
{
	bool helped = wants_help(argc, argv);
	if (helped && (argc < 3 || argv[1][0] == '-')) return help();
	int code = find_job(argc, argv);
	if (code) return code;
	return helped ? job_help(argv[1]) : run_job(argc - 1, argv + 1);
}

int command_cache(int argc, char **argv) { return wants_help(argc, argv) ? job_help("cache") : run_job(argc, argv); }
