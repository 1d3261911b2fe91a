/* explain.h - the page of sumi explain: what it needs (explain.c), what it shows (explain_parts.c), and how things look
 * on it (explain_page.c). */
#ifndef SUMI_CLI_EXPLAIN_H
#define SUMI_CLI_EXPLAIN_H
#include "cli/model_options.h"
#include "cli/progress.h"
#include "sumi.h"
#include <stdio.h>

typedef struct explain_settings {
	const char *model, *prompt, *output, *sampler;
	model_settings components;
	machine_settings machine;
	long long seed, steps;
	double guidance;
	bool verbose, quiet;
} explain_settings;

typedef struct page {
	FILE *to;
	progress progress;
	sumi_model *model;
	sumi_error *e;
	const explain_settings *s;
} page;

/* ── how things look: explain_page.c ── */

void page_begin(page *y);
void page_end(page *y, const char *parameters); /* NULL: none */
void page_text(FILE *to, const char *text);     /* as text of HTML */
/* A heading, a paragraph in HTML, and a row of figures until page_row_end(). */
void page_row(page *y, const char *title, const char *text);
void page_row_end(page *y);
/* A picture, so many pixels of the page wide, with a caption. NULL: nothing. */
void page_figure(page *y, const sumi_image *p, int width, const char *caption);

/* ── what is shown: explain_parts.c ── */

void explain_tokens(page *y);
sumi_image *explain_way(page *y); /* from noise to picture, and attention; the caller frees it. NULL: it failed */
void explain_guidance(page *y);
void explain_strengths(page *y, const sumi_image *made);
void explain_round_trip(page *y, const sumi_image *made);

#endif
