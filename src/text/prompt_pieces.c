/* prompt_pieces.c - stress: brackets and weights become pieces of text, each with one weight. */
#include "text/prompt.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double ROUND = 1.1, SQUARE = 1 / 1.1;

typedef struct reader {
	prompt_pieces *out;
	size_t length;  /* of out->text so far */
	size_t *opened; /* indices of the pieces at which brackets open: round from the left, square from the right */
	size_t round, square, room;
	bool after_break;
} reader;

/* Every token is a piece of its own at first, as brackets begin and end at tokens. */
static void add_text(reader *r, const char *from, size_t n)
{
	prompt_pieces *p = r->out;
	memcpy(p->text + r->length, from, n);
	p->list[p->count++] = (prompt_piece){ r->length, n, 1, r->after_break };
	r->after_break = false;
	r->length += n;
}

/* The product of the weights that begin to hold here. A hostile text nests brackets by the thousand, so a weight is
 * noted where it begins and taken back where it ends, and one pass multiplies them all: as logarithms, with zeros and
 * signs counted. */
typedef struct product {
	double log;
	int zeros, signs;
} product;

/* What stands since the bracket opened is multiplied. */
static void weigh(reader *r, product *from, size_t opened, double weight)
{
	double log_of = weight != 0 ? log(fabs(weight)) : 0;
	product *begin = &from[opened], *end = &from[r->out->count];
	begin->log += log_of, begin->zeros += weight == 0, begin->signs += weight < 0;
	end->log -= log_of, end->zeros -= weight == 0, end->signs -= weight < 0;
}

static bool is_break(const char *at, const char *begin)
{
	return !strncmp(at, "BREAK", 5) && (at == begin || !isalnum((unsigned char)at[-1])) &&
	       !isalnum((unsigned char)at[5]) && at[5] != '_' && (at == begin || at[-1] != '_');
}

/* ":1.3)" with its number; 0: not that. */
static size_t weight_at(const char *p, double *weight)
{
	const char *from = p + 1 + strspn(p + 1, " \t\n\r\f\v");
	char *end;
	if (*p != ':' || !strspn(from, "+-.0123456789")) return 0;
	*weight = strtod(from, &end);
	if (end == from || strspn(from, "+-.0123456789") != (size_t)(end - from) || !isfinite(*weight)) return 0;
	end += strspn(end, " \t\n\r\f\v");
	return *end == ')' ? (size_t)(end + 1 - p) : 0;
}

static size_t read_token(reader *r, product *from, const char *prompt, const char *p)
{
	double weight;
	size_t n;
	if (*p == '\\') {
		bool escape = p[1] && strchr("()[]\\", p[1]);
		if (escape) add_text(r, p + 1, 1);
		return 1 + escape;
	}
	if (*p == '(') {
		r->opened[r->round++] = r->out->count;
		return 1;
	}
	if (*p == '[') {
		r->opened[r->room - ++r->square] = r->out->count;
		return 1;
	}
	if (r->round && (n = weight_at(p, &weight))) {
		weigh(r, from, r->opened[--r->round], weight);
		return n;
	}
	if ((*p == ')' && r->round) || (*p == ']' && r->square)) {
		size_t opened = *p == ')' ? r->opened[--r->round] : r->opened[r->room - r->square--];
		weigh(r, from, opened, *p == ')' ? ROUND : SQUARE);
		return 1;
	}
	if (is_break(p, prompt)) {
		r->after_break = true;
		return 5;
	}
	for (n = 1; p[n] && !strchr("\\()[]:", p[n]) && !is_break(p + n, prompt);) n++;
	add_text(r, p, n);
	return n;
}

/* Gives each piece its weight, and joins neighbours of the same. */
static void join(prompt_pieces *p, const product *from)
{
	size_t count = 0;
	product now = { 0 };
	for (size_t i = 0; i < p->count; i++) {
		now.log += from[i].log, now.zeros += from[i].zeros, now.signs += from[i].signs;
		prompt_piece piece = p->list[i], *last = count ? &p->list[count - 1] : NULL;
		double size = now.zeros ? 0 : fabs(now.log) < 1e-9 ? 1 : exp(now.log);
		piece.weight = (float)(now.signs % 2 ? -size : size);
		if (last && !piece.new_chunk && fabsf(last->weight - piece.weight) <= 1e-6f * fabsf(piece.weight))
			last->length += piece.length;
		else
			p->list[count++] = piece;
	}
	p->count = count;
}

bool prompt_pieces_read(prompt_pieces *p, const char *prompt, error *e)
{
	size_t length = strlen(prompt);
	*p = (prompt_pieces){ malloc(length + 1), malloc((length + 2) * sizeof *p->list), 0 };
	reader r = { .out = p, .room = length + 1 };
	r.opened = malloc((length + 1) * sizeof *r.opened);
	product *from = calloc(length + 3, sizeof *from);
	bool fine = p->text && p->list && r.opened && from;
	if (fine) {
		for (const char *at = prompt; *at;) at += read_token(&r, from, prompt, at);
		while (r.round) weigh(&r, from, r.opened[--r.round], ROUND);
		while (r.square) weigh(&r, from, r.opened[r.room - r.square--], SQUARE);
		if (r.after_break || !p->count) add_text(&r, "", 0);
		join(p, from);
	} else {
		prompt_pieces_free(p);
		fail(e, NO_MEMORY, "out of memory for a prompt");
	}
	free(r.opened);
	free(from);
	return fine;
}

void prompt_pieces_free(prompt_pieces *p)
{
	free(p->text);
	free(p->list);
	*p = (prompt_pieces){ 0 };
}

char *prompt_escaped(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1), *to = out;
	for (; out && *text; text++) {
		if (strchr("()[]\\", *text)) *to++ = '\\';
		*to++ = *text;
	}
	if (out) *to = 0;
	return out;
}
