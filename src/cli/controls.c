/* controls.c - texts to controls. */
#include "cli/controls.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number behind the last colon, which is cut off; false: there is none. */
static bool take_number(char *text, double *value)
{
	char *colon = strrchr(text, ':'), *end;
	if (!colon || colon == text) return false;
	double number = strtod(colon + 1, &end);
	if (end == colon + 1 || *end) return false;
	*value = number;
	*colon = 0;
	return true;
}

int file_and_strength(const char *what, const char *text, char **path, double *strength, double *from, double *to)
{
	double number[3];
	int count = 0;
	if (!(*path = strdup(text))) return complain(SUMI_NO_MEMORY, "out of memory");
	while (count < 3 && take_number(*path, &number[count])) count++;
	if (count == 2) return complain(2, "%s %.200s: FILE, FILE:STRENGTH or FILE:STRENGTH:FROM:TO", what, text);
	if (count) *strength = number[count - 1];
	if (count == 3) *from = number[1], *to = number[0];
	return 0;
}

static int read_net(control_options *c, int i, const char *text)
{
	sumi_control *o = &c->each[i];
	int code = file_and_strength("--control-net", text, &c->paths[i], &o->strength, &o->from, &o->to);
	o->path = c->paths[i];
	return code;
}

/* FILE, canny:FILE or canny:LOW:HIGH:FILE */
static void read_image(control_options *c, int i, const char *text, sumi_error *e)
{
	static const char canny[] = "canny:";
	sumi_control *o = &c->each[i];
	int low = 100, high = 200, at = 0;
	if (!strncmp(text, canny, sizeof canny - 1)) {
		text += sizeof canny - 1;
		if (sscanf(text, "%d:%d:%n", &low, &high, &at) == 2 && at) text += at;
		o->canny_low = low;
		o->canny_high = high;
	}
	o->image = c->images[i] = sumi_image_read(text, e);
}

int controls_read(control_options *c, const text_list *nets, const text_list *images, const text_list *modes,
    const sumi_image *init, sumi_error *e)
{
	*c = (control_options){ 0 };
	if (nets->count > MOST_CONTROL_NETS)
		return complain(2, "%d control networks; at most %d at a time", nets->count, MOST_CONTROL_NETS);
	if (images->count != nets->count && !(init && !images->count))
		return complain(2, "--control-net %d times and --control-image %d times: each network reads one picture",
		    nets->count, images->count);
	if (modes->count > 1 && modes->count != nets->count)
		return complain(
		    2, "--control-mode %d times: once for all, or once for each of %d networks", modes->count, nets->count);
	for (; c->count < nets->count; c->count++) {
		int i = c->count;
		c->each[i] = sumi_control_defaults();
		c->list[i] = &c->each[i];
		if (images->count)
			read_image(c, i, images->item[i], e);
		else
			c->each[i].image = init;
		if (modes->count) c->each[i].mode = modes->item[modes->count > 1 ? i : 0];
		int code = read_net(c, i, nets->item[i]);
		if (code) return c->count++, code;
	}
	return 0;
}

void controls_free(control_options *c)
{
	for (int i = 0; i < c->count; i++) {
		free(c->paths[i]);
		sumi_image_free(c->images[i]);
	}
	c->count = 0;
}
