/* main.c - golden [--protected] DIR [TOPIC|all [DEVICE]]: runs every comparison with the original code that it finds in
 * DIR, a line for each;
 * --protected: what goes through graphs, on the CPU's backend and on memory that the host cannot touch: the same
 * errors. */
#include "goldens.h"
#include "../protected.h"
#include "backend/backend.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	void (*run)(const char *, report *);
	bool graphs; /* networks on golden_backend() */
} topics[] = {
	{ "rng", golden_rng, false },
	{ "schedules", golden_schedules, false },
	{ "samplers", golden_samplers, false },
	{ "guidance", golden_guidance, false },
	{ "guidance", golden_unet_changes, true },
	{ "tokenizers", golden_tokenizers, false },
	{ "sd3-words", golden_sd3_words, false },
	{ "text", golden_text, true },
	{ "t5", golden_t5, false },
	{ "unet", golden_unet, true },
	{ "controlnet", golden_controlnet, true },
	{ "adapters", golden_adapters, true },
	{ "canny", golden_canny, false },
	{ "resample", golden_resample, false },
	{ "upscale", golden_upscale, true },
	{ "mmdit", golden_mmdit, true },
	{ "timesteps", golden_timesteps, false },
	{ "vae", golden_vae, true },
	{ "lora", golden_lora, true },
	{ "lycoris", golden_lycoris, true },
	{ "lycoris", golden_lycoris_families, true },
	{ "pipeline", golden_pipeline, false },
	{ "e2e", golden_e2e, false },
	{ "train", golden_train, true },
	{ "manifests", golden_manifests, false },
};

/* In a second round every error must be what it was in the first, to the bit. */
enum { MOST_ERRORS = 65536 };
static double errors[MOST_ERRORS];
static bool second_round;

void report_error(report *r, const char *name, double found, double tolerance)
{
	bool over = !(found <= tolerance), other = false;
	if (r->compared < MOST_ERRORS && second_round)
		other = memcmp(&errors[r->compared], &found, sizeof found) != 0;
	else if (r->compared < MOST_ERRORS)
		errors[r->compared] = found;
	r->compared++;
	r->over += over || other;
	printf("%s  %-64s %9.2e (%.0e)%s\n", over || other ? "OVER" : "ok  ", name, found, tolerance,
	    other ? " differs from the CPU's" : "");
}

void report_uncovered(report *r, const char *name, const char *why)
{
	r->uncovered++;
	printf("not covered  %s: %s\n", name, why);
}

double worse(double worst, double off) { return off <= worst ? worst : isnan(off) ? INFINITY : off; }

double relative_l2(const float *a, const float *b, size_t n)
{
	double d = 0, s = 0;
	for (size_t i = 0; i < n; i++) {
		d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		s += (double)b[i] * b[i];
	}
	return s > 0 ? sqrt(d / s) : sqrt(d);
}

double relative_max(const float *a, const float *b, size_t n)
{
	double d = 0, s = 0;
	for (size_t i = 0; i < n; i++) {
		double e = fabs((double)a[i] - b[i]);
		d = worse(d, e);
		s = fmax(s, fabs((double)b[i]));
	}
	return s > 0 ? d / s : d;
}

const char *path_of(const char *dir, const char *format, ...)
{
	static char paths[8][4096];
	static int next;
	char *p = paths[next++ % 8];
	int n = snprintf(p, sizeof paths[0], "%s/", dir);
	va_list list;
	va_start(list, format);
	vsnprintf(p + n, sizeof paths[0] - (size_t)n, format, list);
	va_end(list);
	return p;
}

bool exists(const char *path) { return access(path, R_OK) == 0; }

/* All topics, or one; or those that go through a graph of the golden's own. */
static void run_topics(report *r, const char *dir, const char *name, bool graphs)
{
	for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
		if ((!name || !strcmp(name, topics[i].name)) && (topics[i].graphs || !graphs)) topics[i].run(dir, r);
}

static const backend *chosen;
const backend *golden_backend(void) { return chosen; }
bool golden_streams(void) { return second_round; }

static const backend *choose(const char *name, error *e)
{
#ifdef OTHER_BACKEND
	const backend *OTHER_BACKEND(void); /* tests/cuda */
	if (!name) return OTHER_BACKEND();
#endif
	return backend_named(name, e);
}

int main(int argc, char **argv)
{
	bool protect = argc > 1 && !strcmp(argv[1], "--protected");
	argc -= protect;
	argv += protect;
	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: golden [--protected] DIR [TOPIC|all [DEVICE]]\n");
		return 2;
	}
	report r = { 0 };
	error e = { OK, "" };
	if (!(chosen = choose(argc > 3 ? argv[3] : NULL, &e))) {
		fprintf(stderr, "%s\n", e.text);
		return 2;
	}
	const char *topic = argc < 3 || !strcmp(argv[2], "all") ? NULL : argv[2];
	run_topics(&r, argv[1], topic, protect);
	if (protect && !r.over) {
		r = (report){ 0 };
		chosen = backend_protected();
		second_round = true;
		run_topics(&r, argv[1], topic, protect);
		protected_counts c = protected_counted();
		printf("protected: %ld kernels, %ld copies up, %ld down, %ld while others ran, %ld recordings replayed\n",
		    c.kernels, c.uploads, c.downloads, c.fetches, c.replays);
		r.over += !c.kernels || (!topic && (!c.replays || !c.fetches)); /* training alone runs a graph twice */
	}
	printf("%d compared, %d over, %d not covered\n", r.compared, r.over, r.uncovered);
	return r.over || !r.compared;
}
