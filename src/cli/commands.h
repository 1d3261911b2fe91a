/* commands.h - the subcommands: each gets its own argv (argv[0] is its name) and returns the exit code. */
#ifndef SUMI_CLI_COMMANDS_H
#define SUMI_CLI_COMMANDS_H
#include "cli/progress.h"

int command_generate(int argc, char **argv);
int command_init(int argc, char **argv);
int command_info(int argc, char **argv);
int command_convert(int argc, char **argv);
int command_lora(int argc, char **argv);
int command_dump(int argc, char **argv);
int command_train(int argc, char **argv);
int command_cache(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_serve(int argc, char **argv);
int command_grid(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_upscale(int argc, char **argv);

/* The model of -m, or the one that ships with Sumi. False: there is none, and a message was printed. */
bool find_model(const char *asked, char *path, size_t size);

#endif
