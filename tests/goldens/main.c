/* main.c - golden DIR: runs every comparison with the original code that it finds in DIR, a line for each. */
#include "goldens.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	void (*run)(const char *, report *);
} topics[] = {
	{ "rng", golden_rng },
	{ "schedules", golden_schedules },
	{ "samplers", golden_samplers },
	{ "guidance", golden_guidance },
	{ "tokenizers", golden_tokenizers },
	{ "text", golden_text },
	{ "t5", golden_t5 },
	{ "unet", golden_unet },
	{ "mmdit", golden_mmdit },
	{ "timesteps", golden_timesteps },
	{ "vae", golden_vae },
	{ "lora", golden_lora },
	{ "lycoris", golden_lycoris },
	{ "pipeline", golden_pipeline },
	{ "e2e", golden_e2e },
	{ "train", golden_train },
	{ "manifests", golden_manifests },
};

void report_error(report *r, const char *name, double error, double tolerance)
{
	bool over = !(error <= tolerance);
	r->compared++;
	r->over += over;
	printf("%s  %-64s %9.2e (%.0e)\n", over ? "OVER" : "ok  ", name, error, tolerance);
}

void report_uncovered(report *r, const char *name, const char *why)
{
	r->uncovered++;
	printf("not covered  %s: %s\n", name, why);
}

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
		if (!(e <= d)) d = e; /* NaN is kept */
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

int main(int argc, char **argv)
{
	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: golden DIR [TOPIC]\n");
		return 2;
	}
	report r = { 0 };
	for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
		if (topics[i].run && (argc < 3 || !strcmp(argv[2], topics[i].name))) topics[i].run(argv[1], &r);
	printf("%d compared, %d over, %d not covered\n", r.compared, r.over, r.uncovered);
	return r.over || !r.compared;
}
