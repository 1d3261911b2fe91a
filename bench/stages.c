/* stages.c - how near each stage of a picture comes to what the machine can do.
 *
 *     stages MODEL [-W WIDTH] [-H HEIGHT] [-b PICTURES] [-t THREADS] [-r RUNS] [-s STAGE] [-c wall|processor]
 *            [--type f32|bf16] [--clip_l FILE] [--clip_g FILE] [--t5xxl FILE] [--profile FILE]
 *
 * Each stage is compiled as `sumi generate` compiles it and run a few times; before and after every run the peak is
 * measured (peak.h). The share is the stage's best time against the best peak: others on the machine cost both.
 * Where they leave no quiet moment, -t 1 -c processor measures one core by the time that it worked. --profile appends
 * every step of every network, with its time summed over one run more. */
#include "peak.h"
#include "pipeline/decode.h"
#include "pipeline/denoise.h"
#include "pipeline/engine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PICTURES = 16 };

typedef struct settings {
	const char *only, *profile; /* NULL: all stages, no profile */
	bool processor;
	int runs, pictures;
} settings;

typedef struct timing {
	double load, seconds, flop; /* to allocate and fold the weights; the best run; of a run */
} timing;

static bool time_stage(stage *s, const model *m, const watch *w, int runs, double *best_peak, timing *t, error *e)
{
	double start = seconds(w);
	if (!stage_allocate(s, m, NULL, e)) return false;
	*t = (timing){ .load = seconds(w) - start, .seconds = 1e30, .flop = graph_flop(s->g) };
	for (int i = 0; i <= runs; i++) { /* one more, which warms up */
		double machine = peak(m->compute, w);
		if (machine > *best_peak) *best_peak = machine;
		start = seconds(w);
		if (!stage_run(s, e)) return false;
		if (i && seconds(w) - start < t->seconds) t->seconds = seconds(w) - start;
	}
	return true;
}

/* Once more, step by step. */
static bool profile_stage(stage *s, const char *path, error *e)
{
	FILE *to = fopen(path, "a");
	if (!to) return fail(e, BAD_FILE, "%s: cannot be written", path);
	graph_profile(s->g, true);
	bool fine = stage_run(s, e);
	if (fine) graph_dump(s->g, to);
	return !fclose(to) && fine;
}

static void print_stage(const char *name, const timing *t, double machine)
{
	double rate = t->flop / t->seconds;
	printf("%-8s %10.2f %10.3f %10.3f %10.1f", name, 1e-9 * t->flop, t->load, t->seconds, 1e-9 * rate);
	if (machine > 0)
		printf(" %10.1f %9.1f %%\n", 1e-9 * machine, 100 * rate / machine);
	else
		printf(" %10s %10s\n", "–", "–");
	fflush(stdout);
}

static stage *network_of(session *s, job *j, int which, int pictures, error *e)
{
	job *jobs[MOST_PICTURES];
	for (int i = 0; i < pictures; i++) jobs[i] = j;
	if (which == 0) return text_network(s, j->text.texts, j->text.text_count, 0, j->adapters, j->skip, e);
	return which == 1 ? denoiser_network(s, jobs, pictures, e) : decoder_network(s, j, pictures, e);
}

static bool bench(const char *path, const sumi_model_options *how, const sumi_options *o, const settings *of, error *e)
{
	job j = { 0 };
	double machine = 0;
	model *m = model_open(path, how, e);
	session *s = m ? session_open(m, 0, false, e) : NULL;
	bool fine = s && job_prepare(&j, s, NULL, o, e);
	watch w = { of->processor, m ? m->threads : 1 };
	static const char *const names[] = { "encode", "denoise", "decode" };
	if (fine) {
		printf("%s, %d×%d, %s, %d threads%s\n", m->family.name, j.width, j.height, dtype_name(m->compute), m->threads,
		    of->processor ? ", processor time" : "");
		printf("%-8s %10s %10s %10s %10s %10s %11s\n", "stage", "GFLOP", "load s", "run s", "GFLOP/s", "peak", "share");
	}
	for (int i = 0; fine && i < 3; i++) {
		timing t;
		const char *name = names[i];
		if (of->only && strcmp(of->only, name)) continue;
		stage *n = network_of(s, &j, i, of->pictures, e);
		if (!n) {
			fine = !failed(e);
			continue;
		}
		fine = time_stage(n, m, &w, of->runs, &machine, &t, e);
		if (fine) print_stage(name, &t, machine);
		if (fine && of->profile) fine = profile_stage(n, of->profile, e);
		session_drop(s, n);
	}
	job_free(&j);
	session_close(s);
	model_close(m);
	return fine;
}

static int between(int least, int n, int most) { return n < least ? least : n > most ? most : n; }

int main(int argc, char **argv)
{
	sumi_model_options how = sumi_model_defaults();
	sumi_options o = sumi_defaults();
	error e = { 0 };
	settings of = { .runs = 3, .pictures = 1 };
	o.prompt = "a red fox in the snow";
	for (int i = 2; i + 1 < argc; i += 2) {
		const char *value = argv[i + 1];
		if (!strcmp(argv[i], "-W")) o.width = atoi(value);
		if (!strcmp(argv[i], "-H")) o.height = atoi(value);
		if (!strcmp(argv[i], "-t")) how.threads = atoi(value);
		if (!strcmp(argv[i], "-b")) of.pictures = between(1, atoi(value), MOST_PICTURES);
		if (!strcmp(argv[i], "-r")) of.runs = between(1, atoi(value), 1000);
		if (!strcmp(argv[i], "-s")) of.only = value;
		if (!strcmp(argv[i], "-c")) of.processor = *value == 'p';
		if (!strcmp(argv[i], "--profile")) of.profile = value;
		if (!strcmp(argv[i], "--type")) how.type = value;
		if (!strcmp(argv[i], "--clip_l")) how.clip_l = value;
		if (!strcmp(argv[i], "--clip_g")) how.clip_g = value;
		if (!strcmp(argv[i], "--t5xxl")) how.t5xxl = value;
	}
	if (argc < 2 || argc % 2) {
		fprintf(stderr, "usage: stages MODEL [-W WIDTH] [-H HEIGHT] [-b PICTURES] [-t THREADS] [-r RUNS] "
		                "[-s encode|denoise|decode] [-c wall|processor] [--type f32|bf16] "
		                "[--clip_l FILE] [--clip_g FILE] [--t5xxl FILE] [--profile FILE]\n");
		return 2;
	}
	if (bench(argv[1], &how, &o, &of, &e)) return 0;
	fprintf(stderr, "stages: %s\n", e.text);
	return (int)e.status;
}
