/* heat_maps.c - see heat_maps.h. */
#include "cli/heat_maps.h"
#include <stdio.h>
#include <string.h>

/* "out/fox.png" and "red coat": "out/fox.red-coat.png". What a file's name should not hold becomes a hyphen. */
static bool path_of(char *to, size_t size, const char *path, const char *word)
{
	char name[128];
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path, *dot = strrchr(file, '.');
	if (!dot || dot == file) dot = strchr(file, 0);
	int length = snprintf(name, sizeof name, "%.120s", word);
	for (int i = 0; i < length; i++)
		if ((unsigned char)name[i] <= ' ' || strchr("/\\:*?\"<>|%.", name[i])) name[i] = '-';
	int n = snprintf(to, size, "%.*s.%s%s", (int)(dot - path), path, name, dot);
	return n >= 0 && (size_t)n < size;
}

void write_heat_maps(const sumi_image *picture, const char *path, const text_list *words, sumi_error *e)
{
	char to[4352];
	for (int i = 0; i < words->count && !e->status; i++) {
		sumi_image *map = sumi_image_attention(picture, i, e);
		if (map && !path_of(to, sizeof to, path, words->item[i]))
			*e = (sumi_error){ SUMI_BAD_USAGE, "--attention: the path of a map would be too long" };
		if (map && sumi_image_write(map, to, e)) puts(to);
		sumi_image_free(map);
	}
}
