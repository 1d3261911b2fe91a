/* progress.c - the bar, the plain lines, and the signals. */
#include "cli/progress.h"
#include "base/clock.h"
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The one thing a signal handler may touch. */
static volatile sig_atomic_t stop_asked;

static void on_signal(int number)
{
	stop_asked = 1;
	signal(number, SIG_DFL);
}

bool stop_requested(void) { return stop_asked != 0; }

static int columns(void)
{
	struct winsize w;
	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

void print_duration(char *out, size_t size, double seconds)
{
	long s = (long)(seconds + 0.5);
	if (s >= 3600)
		snprintf(out, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(out, size, "%ld:%02ld", s / 60, s % 60);
}

static void draw(const progress *p)
{
	char right[96] = "", left[24];
	if (p->steps && p->step) {
		double each = (p->stepped - p->began) / p->step;
		print_duration(left, sizeof left, each * (p->steps - p->step));
		snprintf(right, sizeof right, " %d/%d  %.2f s/step  %s left", p->step, p->steps, each, left);
	} else if (p->steps) {
		snprintf(right, sizeof right, " 0/%d", p->steps);
	}
	int width = columns() - 12 - (int)strlen(right);
	if (width > 40) width = 40;
	fprintf(stderr, "\r%-8s ", p->stage);
	if (p->steps && width >= 8) {
		int full = (int)((long long)width * p->step / p->steps);
		if (p->color) fputs("\033[36m", stderr);
		for (int i = 0; i < full; i++) fputs(p->blocks ? "█" : "#", stderr);
		if (p->color) fputs("\033[2m", stderr);
		for (int i = full; i < width; i++) fputs(p->blocks ? "░" : ".", stderr);
		if (p->color) fputs("\033[0m", stderr);
	}
	fprintf(stderr, "%s\033[K", right);
	fflush(stderr);
}

void progress_end(progress *p)
{
	if (!p->open) return;
	p->open = false;
	if (p->quiet) return;
	double took = p->stepped - p->began;
	if (p->terminal) fputs("\r\033[K", stderr);
	bool brief = p->terminal ? p->steps < 2 : !strcmp(p->stage, "load");
	if (brief && !p->verbose) return;
	if (p->steps > 1)
		fprintf(stderr, "%-8s %d steps, %.2f s each, %.1f s\n", p->stage, p->step, p->step ? took / p->step : 0, took);
	else
		fprintf(stderr, "%-8s %.1f s\n", p->stage, took);
}

static int on_progress(void *context, const char *stage, int step, int steps)
{
	progress *p = context;
	double now = seconds_now();
	if (!p->open || step == 0 || strcmp(stage, p->stage)) {
		progress_end(p);
		snprintf(p->stage, sizeof p->stage, "%s", stage);
		p->began = now;
		p->open = true;
	}
	p->step = step;
	p->steps = steps;
	p->stepped = now;
	if (p->terminal && !p->quiet) draw(p);
	return stop_asked;
}

static void on_note(void *context, sumi_level level, const char *line)
{
	progress *p = context;
	if (p->quiet || (level == SUMI_DETAIL && !p->verbose)) return;
	if (p->steps && p->step == p->steps) progress_end(p); /* what is noted comes after it */
	if (p->terminal) fputs("\r\033[K", stderr);
	fprintf(stderr, "%s%s\n", level == SUMI_WARNING ? "note: " : "", line);
	if (p->terminal && p->open) draw(p);
}

void progress_begin(progress *p, bool verbose, bool quiet)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool dumb = !term || !strcmp(term, "dumb");
	setlocale(LC_CTYPE, "");
	*p = (progress){ .verbose = verbose, .quiet = quiet };
	p->terminal = isatty(STDERR_FILENO) && !dumb;
	p->color = p->terminal && !(no_color && *no_color);
	p->blocks = !strcmp(nl_langinfo(CODESET), "UTF-8");
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGUSR1, on_signal); /* what mpirun and batch systems pass on in good time */
	if (signal(SIGHUP, on_signal) == SIG_IGN) signal(SIGHUP, SIG_IGN); /* the terminal went away; nohup's wish stays */
}

sumi_listener progress_listener(progress *p)
{
	sumi_listener l = sumi_listener_defaults();
	l.progress = on_progress;
	l.note = on_note;
	l.context = p;
	return l;
}
