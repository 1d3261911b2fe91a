/* options.h - a command's options are rows of a table, and the parser, --help, the environment and the configuration
 * file all read the same rows. A flag beats the environment (SUMI_CFG_SCALE), that the file
 * ($XDG_CONFIG_HOME/sumi/config, lines "cfg-scale = 5"), that the default. */
#ifndef SUMI_CLI_OPTIONS_H
#define SUMI_CLI_OPTIONS_H
#include <stdbool.h>
#include <stddef.h>

typedef enum option_kind {
	HEADING, /* a line in --help; name is its text */
	FLAG,    /* bool: no value */
	TEXT,    /* const char *, as given */
	TEXTS,   /* text_list: each occurrence adds one */
	INTEGER, /* long long within min … max */
	NUMBER,  /* double within min … max */
	BYTES    /* long long: "6G", "512M", or plain bytes */
} option_kind;

#define MOST_SEED 9223372036853727232.0 /* 2⁶³ − 2²⁰: a million seeds, one apart, are still below 2⁶³ */

typedef struct text_list {
	const char *item[256];
	int count;
	bool yields; /* what is in it comes from a file or the environment: the next source begins anew */
} text_list;

typedef struct option {
	const char *name, *alias; /* long spellings without "--"; alias may be NULL */
	char letter;              /* "-p"; 0: none */
	option_kind kind;
	size_t offset;        /* of the field in the command's struct */
	double min, max;      /* of numbers, both included */
	const char *argument; /* what --help calls the value; of a FLAG: NULL */
	const char *standard; /* the default, as it would be typed; NULL: zero, or what the field already holds */
	const char *help;     /* one line */
	bool multiple_of_8;   /* a picture's side */
} option;

/* Sets `fields` to the defaults, then from the configuration file, the environment and argv[1 …].
 * Words that are not options go to `words` (NULL: there may be none). "--" ends the options. Failing, it has printed
 * one line to stderr and returns the exit code 2; 0: fine. -h and --help are no concern of it: see wants_help(). */
int parse_options(const option *table, int rows, void *fields, text_list *words, int argc, char **argv);
/* Sets one option by its name; `origin` begins the message of a failure. The exit code, 0: fine. */
int set_option(const option *table, int rows, void *fields, const char *origin, const char *name, const char *text);
bool wants_help(int argc, char **argv);
void print_options(const option *table, int rows);

/* Prints "sumi: …" as one line to stderr and returns `code`. */
int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The name of a list (as name(0), name(1), …, NULL) nearest to `word`, ignoring case, blanks and punctuation; NULL
 * where none is near. */
const char *nearest_name(const char *(*name)(int), const char *word);

#endif
