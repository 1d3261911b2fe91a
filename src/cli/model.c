/* model.c - the model to use if none is named: the one that ships with Sumi, relative to the program as it was
 * built or as it was installed. */
#include "cli/commands.h"
#include "cli/options.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool find_model(const char *asked, char *path, size_t size)
{
	static const char *const places[] = { "../models", "../share/sumi/models", "models" };
	if (asked) {
		if ((size_t)snprintf(path, size, "%s", asked) < size) return true;
		complain(2, "--model: the path is too long");
		return false;
	}
	char program[3000];
	ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
	if (n > 0) {
		program[n] = 0;
		*strrchr(program, '/') = 0;
		for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
			snprintf(path, size, "%s/%s/emoji.safetensors", program, places[i]);
			if (access(path, R_OK) == 0) return true;
		}
	}
	complain(3, "no model: name one with -m FILE or SUMI_MODEL=FILE; the one that ships with Sumi "
	            "(models/emoji.safetensors) was not found near this program");
	return false;
}
