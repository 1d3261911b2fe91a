/* main.c - sumi COMMAND …: finds and runs the command, or lists them. */
#include "cli/commands.h"
#include "cli/options.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int command_help(int argc, char **argv);
static int command_version(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "generate", command_generate, "make pictures from words" },
	{ "train", command_train, "train a model, a LoRA, a new word or a ControlNet" },
	{ "cache", command_cache, "encode a training set once: latents and text states" },
	{ "eval", command_eval, "measure how well a model draws, with real pictures" },
	{ "serve", command_serve, "answer requests for pictures over HTTP" },
	{ "explain", command_explain, "a page that shows how a picture comes about" },
	{ "grid", command_grid, "lay pictures out in rows, as one picture" },
	{ "upscale", command_upscale, "make a picture larger by a network" },
	{ "info", command_info, "say what a model file is and what is wrong with it, or how a picture was made" },
	{ "init", command_init, "write a new model with random weights" },
	{ "convert", command_convert, "copy a model into another type or layout" },
	{ "lora", command_lora, "take the difference of two models as a LoRA" },
	{ "dump", command_dump, "show a network as it will run: nodes, memory, kernels, times" },
	{ "version", command_version, "say which version this is; with -v, which GPUs were found" },
	{ "help", command_help, "this text, or the options of a command" },
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const char *command_name(int i) { return i < COMMANDS ? commands[i].name : NULL; }

static const struct command *find_command(const char *name)
{
	for (int i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i].name, name)) return &commands[i];
	return NULL;
}

static int unknown_command(const char *name)
{
	const char *near = nearest_name(command_name, name);
	if (near) return complain(2, "unknown command %.80s; did you mean %s?", name, near);
	return complain(2, "unknown command %.80s; sumi help lists them", name);
}

static int command_help(int argc, char **argv)
{
	if (argc > 1 && argv[1][0] != '-') {
		const struct command *c = find_command(argv[1]);
		char *ask[] = { argv[1], (char[]){ "--help" }, NULL };
		return c ? c->run(2, ask) : unknown_command(argv[1]);
	}
	printf("Sumi %s: pictures from words, by latent diffusion; and the training of such models.\n\n"
	       "usage: sumi COMMAND [OPTIONS]\n\n",
	    sumi_version());
	for (int i = 0; i < COMMANDS; i++) printf("  %-10s %s\n", commands[i].name, commands[i].help);
	puts("\nsumi COMMAND --help lists a command's options. For example:\n\n"
	     "  sumi generate -p \"smiling cat with heart-eyes\" -o cat.png\n"
	     "  sumi generate -m v1-5.safetensors -p \"a red fox in the snow\" --steps 25 --sampling-method dpm++2m\n\n"
	     "Exit codes: 0 fine, 2 usage, 3 a model or a file, 4 memory, 5 training that diverged,\n6 a GPU, "
	     "130 interrupted.");
	return 0;
}

static int command_version(int argc, char **argv)
{
	printf("sumi %s\n", sumi_version());
	if (argc > 1 && (!strcmp(argv[1], "-v") || !strcmp(argv[1], "--verbose"))) fputs(sumi_devices(), stdout);
	return 0;
}

/* A full disk shows when what was buffered is written. */
static int close_output(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout)) return code;
	return code ? code : complain(3, "standard output: could not be written");
}

int main(int argc, char **argv)
{
	signal(SIGXFSZ, SIG_IGN); /* a limit to the size of files is a failure of writing like others */
	if (argc < 2) {
		command_help(1, argv);
		return close_output(2);
	}
	const char *name = argv[1];
	if (!strcmp(name, "--help") || !strcmp(name, "-h")) name = "help";
	if (!strcmp(name, "--version")) name = "version";
	const struct command *c = find_command(name);
	return close_output(c ? c->run(argc - 1, argv + 1) : unknown_command(name));
}
