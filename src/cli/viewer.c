/* viewer.c - previews in a file and in the terminal. */
#include "cli/viewer.h"
#include "cli/numbering.h"
#include "cli/options.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int viewer_begin(viewer *v, const char *preview, const char *output, bool show, const char *show_as)
{
	char *end = NULL;
	long every = preview ? strtol(preview, &end, 10) : 0;
	v->shows = show || show_as;
	if (v->shows && !terminal_begin(&v->terminal, show_as))
		return complain(2, "--show-as %.40s: auto, kitty, iterm2, sixel or blocks", show_as);
	if (!preview) return 0;
	if (end == preview || every < 1 || every > 10000 || (*end && *end != ':') || (*end && !end[1]))
		return complain(
		    2, "--preview %.80s: every how many steps, 1 to 10000, and a file: 5 or 5:step_%%03d.png", preview);
	v->every = (int)every;
	const char *slash = strrchr(output, '/'), *dot = strrchr(slash ? slash : output, '.');
	int stem = (int)(dot ? dot - output : (long)strlen(output));
	int n = *end ? snprintf(v->file, sizeof v->file, "%s", end + 1)
	             : snprintf(v->file, sizeof v->file, "%.*s-preview%s", stem, output, dot ? dot : ".png");
	sumi_error e = { 0 };
	if (n >= (int)sizeof v->file) return complain(2, "--preview: the path is too long");
	return sumi_image_writable(v->file, &e) ? 0 : complain(e.status, "%s", e.text);
}

/* One pixel for each latent position is small: whole multiples, up to 256 pixels a side. */
static sumi_image *enlarged(const sumi_image *p)
{
	int side = p->width > p->height ? p->width : p->height, factor = side < 256 ? 256 / side : 1;
	sumi_image *big = sumi_image_new(p->width * factor, p->height * factor, NULL, NULL);
	for (int y = 0; big && y < big->height; y++)
		for (int x = 0; x < big->width; x++)
			memcpy(big->pixels + 3 * ((size_t)y * (size_t)big->width + (size_t)x),
			    p->pixels + 3 * ((size_t)(y / factor) * (size_t)p->width + (size_t)(x / factor)), 3);
	return big;
}

static void on_preview(void *context, int index, int step, const sumi_image *picture)
{
	viewer *v = context;
	char path[4096];
	if (index) return; /* of a batch the first is seen */
	if (v->shows) terminal_draw(&v->terminal, picture);
	if (!v->every || step % v->every) return;
	if (!numbered_path(path, sizeof path, v->file, step, 1)) return;
	sumi_image *big = enlarged(picture);
	sumi_error e = { 0 };
	if (!sumi_image_write(big, path, &e) && big) {
		v->every = 0; /* once is enough */
		complain(0, "no more previews: %s", e.text);
	}
	sumi_image_free(big);
}

sumi_listener viewer_listener(viewer *v)
{
	sumi_listener l = progress_listener(&v->progress);
	if (v->shows && v->terminal.graphics) v->progress.quiet = true; /* the bar would lie across the picture */
	if (v->every || (v->shows && v->terminal.graphics)) l.preview = on_preview;
	return l;
}

void viewer_finish(viewer *v, const sumi_image *made)
{
	if (!v->shows || !made) return;
	terminal_draw(&v->terminal, made);
	terminal_leave(&v->terminal);
}
