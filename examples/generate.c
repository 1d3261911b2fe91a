/* generate.c - generate MODEL "PROMPT" FILE.png: the whole of sampling with libsumi.
 *     cc generate.c $(pkg-config --cflags --libs sumi) -o generate */
#include <stdio.h>
#include <sumi.h>

int main(int argc, char **argv)
{
	if (argc != 4) return SUMI_BAD_USAGE;
	sumi_error e = { 0 };
	sumi_model *model = sumi_open(argv[1], NULL, &e);
	sumi_options options = sumi_defaults();
	options.prompt = argv[2];
	sumi_image *picture = sumi_generate(model, &options, &e);
	if (!sumi_image_write(picture, argv[3], &e)) fprintf(stderr, "%s\n", e.text);
	sumi_image_free(picture);
	sumi_close(model);
	return e.status;
}
