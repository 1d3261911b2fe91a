/* prompt_list.h - sumi generate --prompts FILE: a prompt a line, or JSON lines whose members are options. */
#ifndef SUMI_CLI_PROMPT_LIST_H
#define SUMI_CLI_PROMPT_LIST_H
#include <stdbool.h>

typedef struct prompt_list {
	char *text;   /* of the file */
	char **lines; /* those that are not blank */
	int count;
} prompt_list;

/* 0, or the exit code, and a message was printed. path "-": stdin. */
int prompt_list_read(prompt_list *p, const char *path);
void prompt_list_free(prompt_list *p);

/* The options of line i: calls `set` with names (as of the command line, "_" for "-") and values; a line that is no
 * JSON object is a prompt. Values are valid until prompt_list_free(). 0, or what `set` or reading it gave. */
int prompt_list_options(
    prompt_list *p, int i, int (*set)(void *context, const char *name, const char *value), void *context);

/* Which of the processes that mpirun, srun or the like started this is, and how many there are; 0 of 1 without. */
void process_share(int *rank, int *count);

#endif
