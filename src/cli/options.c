/* options.c - parsing and printing a table of options. */
#include "cli/options.h"
#include "base/spelling.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int complain(int code, const char *format, ...)
{
	char text[1400];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 32 || *c == 127) *c = '?';
	fprintf(stderr, "sumi: %s\n", text);
	return code;
}

/* ── near misses ── */

const char *nearest_name(const char *(*name)(int), const char *word)
{
	spelling_search s = spelling_of(word);
	for (int i = 0; name(i); i++) spelling_offer(&s, name(i));
	return s.best;
}

static const char *nearest_option(const option *table, int rows, const char *word)
{
	spelling_search s = spelling_of(word);
	for (int i = 0; i < rows; i++)
		if (table[i].kind != HEADING) spelling_offer(&s, table[i].name);
	return s.best;
}

/* ── values ── */

static int out_of_range(const option *o, const char *origin, const char *text)
{
	if (o->max >= 9e18) return complain(2, "%s %.80s: at least %.15g and at most %.19g", origin, text, o->min, o->max);
	return complain(2, "%s %.80s: between %.15g and %.15g", origin, text, o->min, o->max);
}

static int read_integer(const option *o, long long *to, const char *origin, const char *text)
{
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (end == text || *end) return complain(2, "%s %.80s: not a whole number", origin, text);
	if (errno || (double)value < o->min || (double)value > o->max) return out_of_range(o, origin, text);
	if (o->multiple_of_8 && value % 8) {
		long long below = value - value % 8;
		if (below < 8) return complain(2, "%s %lld is not a multiple of 8; nearest is 8", origin, value);
		return complain(
		    2, "%s %lld is not a multiple of 8; nearest are %lld and %lld", origin, value, below, below + 8);
	}
	*to = value;
	return 0;
}

static int read_number(const option *o, double *to, const char *origin, const char *text)
{
	char *end;
	double value = strtod(text, &end);
	if (end == text || *end) return complain(2, "%s %.80s: not a number", origin, text);
	if (!isfinite(value) || value < o->min || value > o->max) return out_of_range(o, origin, text);
	*to = value;
	return 0;
}

static int read_bytes(const option *o, long long *to, const char *origin, const char *text)
{
	static const char units[] = "KMGT";
	char *end;
	double value = strtod(text, &end);
	const char *unit = end > text && *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		value *= ldexp(1, 10 * (int)(unit - units + 1));
		end++;
		if (!strcmp(end, "iB") || !strcmp(end, "B")) end = strchr(end, 0);
	}
	if (end == text || *end) return complain(2, "%s %.80s: not a size such as 6G or 512M", origin, text);
	if (!isfinite(value) || value < o->min || value > o->max) return out_of_range(o, origin, text);
	*to = (long long)value;
	return 0;
}

static int read_flag(bool *to, const char *origin, const char *text)
{
	static const char *const yes[] = { "true", "1", "yes", "on" }, *const no[] = { "false", "0", "no", "off", "" };
	for (size_t i = 0; text && i < sizeof no / sizeof *no; i++)
		if (!strcasecmp(text, no[i])) return *to = false, 0;
	for (size_t i = 0; text && i < sizeof yes / sizeof *yes; i++)
		if (!strcasecmp(text, yes[i])) text = NULL;
	*to = !text;
	return text ? complain(2, "%s %.80s: true or false", origin, text) : 0;
}

static int set(const option *o, void *fields, const char *origin, const char *text)
{
	void *field = (char *)fields + o->offset;
	switch (o->kind) {
	case FLAG: return read_flag(field, origin, text);
	case TEXT: *(const char **)field = text; return 0;
	case TEXTS: {
		text_list *list = field;
		if (list->yields) list->count = 0;
		list->yields = false;
		if (list->count == sizeof list->item / sizeof *list->item)
			return complain(2, "%s: given more than %d times", origin, list->count);
		list->item[list->count++] = text;
		return 0;
	}
	case INTEGER: return read_integer(o, field, origin, text);
	case NUMBER: return read_number(o, field, origin, text);
	case BYTES: return read_bytes(o, field, origin, text);
	case HEADING: break;
	}
	return 0;
}

/* ── where values come from ── */

static const option *by_name(const option *table, int rows, const char *name, size_t length)
{
	for (int i = 0; i < rows; i++) {
		const char *spelling[2] = { table[i].name, table[i].alias };
		if (table[i].kind == HEADING) continue;
		for (int k = 0; k < 2; k++)
			if (spelling[k] && strlen(spelling[k]) == length && !strncmp(spelling[k], name, length)) return &table[i];
	}
	return NULL;
}

static int from_environment(const option *table, int rows, void *fields)
{
	for (int i = 0; i < rows; i++) {
		char name[80] = "SUMI_";
		size_t n = strlen(name);
		if (table[i].kind == HEADING) continue;
		for (const char *c = table[i].name; *c && n + 1 < sizeof name; c++)
			name[n++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
		name[n] = 0;
		const char *text = getenv(name);
		int code = text && *text ? set(&table[i], fields, name, text) : 0;
		if (code) return code;
	}
	return 0;
}

/* The whole file as text; NULL: there is none. *code: not 0 where it could not be read. The text stays allocated, for
 * values point into it until the program ends. */
static char *read_config(const char *path, int *code)
{
	enum { MOST = 1 << 20 };
	static char *kept;
	FILE *file = fopen(path, "r");
	if (!file) return NULL;
	kept = malloc(MOST);
	size_t used = kept ? fread(kept, 1, MOST, file) : 0;
	if (ferror(file))
		*code = complain(3, "%s: %s", path, strerror(errno));
	else if (!kept)
		*code = complain(4, "%s: no memory for it", path);
	else if (used == MOST)
		*code = complain(3, "%s: a configuration of more than %d bytes", path, MOST - 1);
	fclose(file);
	if (*code) return NULL;
	kept[used] = 0;
	return kept;
}

/* Lines "name = value"; "#" begins a comment. Names that this command does not have are another command's. */
static int from_file(const option *table, int rows, void *fields)
{
	char path[4096];
	const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	if (base && *base)
		snprintf(path, sizeof path, "%s/sumi/config", base);
	else if (home)
		snprintf(path, sizeof path, "%s/.config/sumi/config", home);
	else
		return 0;
	int code = 0;
	for (char *line = read_config(path, &code), *next; line && *line && !code; line = next) {
		next = line + strcspn(line, "\n");
		if (*next) *next++ = 0;
		line += strspn(line, " \t");
		size_t length = strcspn(line, " \t=\r#");
		char *value = line + length + strspn(line + length, " \t=");
		for (char *end = strchr(value, 0); end > value && strchr(" \t\r", end[-1]);) *--end = 0;
		const option *o = by_name(table, rows, line, length);
		if (o) code = set(o, fields, path, value);
	}
	return code;
}

static int from_argument(
    const option *table, int rows, void *fields, text_list *words, int argc, char **argv, int *at, bool *only_words)
{
	char *argument = argv[*at], origin[80];
	if (!*only_words && !strcmp(argument, "--")) {
		*only_words = true;
		return 0;
	}
	if (*only_words || argument[0] != '-' || !argument[1]) {
		if (!words) return complain(2, "unexpected \"%.80s\"; --help lists the options", argument);
		if (words->count == sizeof words->item / sizeof *words->item) return complain(2, "too many arguments");
		words->item[words->count++] = argument;
		return 0;
	}
	const option *o = NULL;
	char *value = NULL;
	if (argument[1] == '-') {
		size_t length = strcspn(argument + 2, "=");
		o = by_name(table, rows, argument + 2, length);
		if (argument[2 + length]) value = argument + 3 + length;
		snprintf(origin, sizeof origin, "--%.*s", (int)length, argument + 2);
	} else {
		for (int i = 0; i < rows && !o; i++)
			if (table[i].letter && table[i].letter == argument[1]) o = &table[i];
		if (o && o->kind != FLAG && argument[2]) value = argument + 2;
		snprintf(origin, sizeof origin, "%.70s", value ? (char[]){ '-', argument[1], 0 } : argument);
		if (o && o->kind == FLAG && argument[2]) o = NULL;
	}
	if (!o) {
		const char *near = argument[1] == '-' ? nearest_option(table, rows, origin + 2) : NULL;
		if (near) return complain(2, "unknown option %s; did you mean --%s?", origin, near);
		return complain(2, "unknown option %s; --help lists them", origin);
	}
	if (o->kind != FLAG && !value) {
		value = *at + 1 < argc ? argv[++*at] : NULL;
		if (!value) return complain(2, "%s needs a value: %s", origin, o->argument);
		if (!strncmp(value, "--", 2) && by_name(table, rows, value + 2, strcspn(value + 2, "=")))
			return complain(2, "%s needs a value: %s (%s is an option)", origin, o->argument, value);
	}
	return set(o, fields, origin, value);
}

/* What lists hold so far gives way to what the next source says. */
static void let_lists_yield(const option *table, int rows, void *fields)
{
	for (int i = 0; i < rows; i++)
		if (table[i].kind == TEXTS) ((text_list *)(void *)((char *)fields + table[i].offset))->yields = true;
}

int parse_options(const option *table, int rows, void *fields, text_list *words, int argc, char **argv)
{
	for (int i = 0; i < rows; i++)
		if (table[i].standard) set(&table[i], fields, table[i].name, table[i].standard);
	int code = from_file(table, rows, fields);
	let_lists_yield(table, rows, fields);
	if (!code) code = from_environment(table, rows, fields);
	let_lists_yield(table, rows, fields);
	bool only_words = false;
	for (int i = 1; i < argc && !code; i++)
		code = from_argument(table, rows, fields, words, argc, argv, &i, &only_words);
	return code;
}

int set_option(const option *table, int rows, void *fields, const char *origin, const char *name, const char *text)
{
	char label[160];
	const option *o = by_name(table, rows, name, strlen(name));
	if (!o) {
		const char *near = nearest_option(table, rows, name);
		return complain(
		    2, near ? "%s: unknown option %.60s; did you mean %s?" : "%s: unknown option %.60s", origin, name, near);
	}
	snprintf(label, sizeof label, "%.80s: %.60s", origin, name);
	return set(o, fields, label, text);
}

bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
	return false;
}

void print_options(const option *table, int rows)
{
	for (int i = 0; i < rows; i++) {
		const option *o = &table[i];
		if (o->kind == HEADING) {
			printf("\n%s:\n", o->name);
			continue;
		}
		char left[80];
		int n = o->letter ? snprintf(left, sizeof left, "  -%c, --%s", o->letter, o->name)
		                  : snprintf(left, sizeof left, "      --%s", o->name);
		if (o->argument) snprintf(left + n, sizeof left - (size_t)n, " %s", o->argument);
		int columns = 0; /* as they are seen: bytes that continue a character do not count */
		for (const char *c = left; *c; c++) columns += (*c & 0xc0) != 0x80;
		printf("%s%*s %s", left, columns < 31 ? 31 - columns : 0, "", o->help);
		if (o->standard) printf(" (%s)", o->standard);
		putchar('\n');
	}
}
