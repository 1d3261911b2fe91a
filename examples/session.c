/* session.c - session MODEL "PROMPT" FOLDER: what a program does that draws often. Eight pictures of a session, drawn
 * together, each with a preview at every step and encoded in memory; another thread may stop it. C and C++.
 *     cc session.c $(pkg-config --cflags --libs sumi) -o session */
#include <stdio.h>
#include <string.h>
#include <sumi.h>

enum { COUNT = 8 };

static void show(void *context, int index, int step, const sumi_image *picture)
{
	(void)picture; /* picture->pixels, valid during this call */
	int *shown = (int *)context;
	(*shown)++;
	if (index == 0 && step == 1) fprintf(stderr, "previews of %d x %d\n", picture->width, picture->height);
}

/* Called piece by piece. */
static bool to_file(void *file, const void *bytes, size_t count)
{
	return fwrite(bytes, 1, count, (FILE *)file) == count;
}

static void write_webp(const sumi_image *picture, const char *path, sumi_error *e)
{
	unsigned char *bytes;
	size_t count;
	if (!sumi_image_encode(picture, "webp", 90, &bytes, &count, e)) return;
	FILE *file = fopen(path, "wb");
	if (file) fwrite(bytes, 1, count, file);
	if (file) fclose(file);
	sumi_image *again = sumi_image_decode(bytes, count, e); /* with its parameters */
	if (again && again->parameters) printf("%s: seed %s\n", path, strstr(again->parameters, "Seed: ") + 6);
	sumi_image_free(again);
	sumi_free(bytes);
}

int main(int argc, char **argv)
{
	sumi_error e = { SUMI_OK, "" };
	sumi_options options[COUNT];
	const sumi_options *list[COUNT];
	sumi_image *pictures[COUNT];
	int shown = 0;
	if (argc != 4) return SUMI_BAD_USAGE;
	sumi_listener listener = sumi_listener_defaults();
	listener.context = &shown;
	listener.preview = show;
	sumi_cancel *cancel = sumi_cancel_new(); /* sumi_cancel_ask(cancel) from any thread stops the drawing */
	for (int i = 0; i < COUNT; i++) {
		options[i] = sumi_defaults();
		options[i].prompt = argv[2];
		options[i].steps = 4;
		options[i].width = options[i].height = 128;
		options[i].seed = 42 + i;
		options[i].listener = &listener;
		options[i].cancel = cancel;
		list[i] = &options[i];
	}
	sumi_model *model = sumi_open(argv[1], NULL, &e);
	sumi_session *session = sumi_session_open(model, NULL, &e);
	if (sumi_session_draw_batch(session, list, COUNT, pictures, &e))
		for (int i = 0; i < COUNT; i++) {
			char path[4096];
			snprintf(path, sizeof path, "%s/%d.webp", argv[3], i);
			write_webp(pictures[i], path, &e);
			sumi_image_free(pictures[i]);
		}
	/* the next picture of this size begins at once */
	sumi_image_free(sumi_session_draw(session, &options[0], &e));
	printf("%d previews; the session keeps %.1f MB\n", shown, 1e-6 * (double)sumi_session_bytes(session));
	char path[4096];
	snprintf(path, sizeof path, "%s/network.txt", argv[3]);
	FILE *file = fopen(path, "w");
	if (file) sumi_dump(model, &options[0], "denoise", false, to_file, file, &e);
	if (file) fclose(file);
	sumi_session_close(session);
	sumi_close(model);
	sumi_cancel_free(cancel);
	if (e.status) fprintf(stderr, "%s\n", e.text);
	return (int)e.status;
}
