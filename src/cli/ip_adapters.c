/* ip_adapters.c - texts to IP-Adapters. */
#include "cli/ip_adapters.h"
#include "cli/controls.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *item_of(const text_list *l, int i) { return l->count ? l->item[l->count > 1 ? i : 0] : NULL; }

/* One for each adapter, or one for all; else complains. */
static int check_count(const text_list *l, int adapters, const char *name, const char *what)
{
	if (l->count == 1 || l->count == adapters) return 0;
	return complain(
	    2, "--ip-adapter %d times and --%s %d times: %s for each, or one for all", adapters, name, l->count, what);
}

static int check_counts(const ip_adapter_texts *t)
{
	int count = t->files.count;
	if (!count)
		return complain(2, "--%s without an --ip-adapter",
		    t->images.count   ? "ip-image"
		    : t->towers.count ? "clip-vision"
		    : t->masks.count  ? "ip-mask"
		                      : "ip-blocks");
	if (count > MOST_IP_FILES) return complain(2, "%d IP-Adapters; at most %d at a time", count, MOST_IP_FILES);
	int code = count == 1 && t->images.count ? 0 : check_count(&t->images, count, "ip-image", "a picture");
	if (!code) code = check_count(&t->towers, count, "clip-vision", "the vision tower that it was made for");
	if (!code && t->masks.count) code = check_count(&t->masks, count, "ip-mask", "a mask");
	if (!code && t->blocks.count) code = check_count(&t->blocks, count, "ip-blocks", "the blocks");
	return code;
}

/* Appends the pictures that a text names: one file of this whole name, or several with commas between. */
static int read_pictures(sumi_image **images, sumi_ip_adapter *a, const char *text, sumi_error *e)
{
	bool whole = !access(text, F_OK);
	char *copy = strdup(text), *rest = copy;
	int code = copy ? 0 : complain(4, "out of memory");
	while (rest && !code && !e->status) {
		char *path = whole ? rest : strsep(&rest, ",");
		if (whole) rest = NULL;
		if (a->image_count == MOST_IP_PICTURES)
			code = complain(2, "--ip-image: at most %d pictures for an IP-Adapter", MOST_IP_PICTURES);
		else if ((images[a->image_count] = sumi_image_read(path, e)))
			a->image_count++;
	}
	free(copy);
	return code;
}

static int read_one(ip_adapter_options *o, int i, const ip_adapter_texts *t, sumi_error *e)
{
	sumi_ip_adapter *a = &o->each[i];
	const char *mask = item_of(&t->masks, i);
	*a = sumi_ip_adapter_defaults();
	o->list[i] = a;
	a->vision = item_of(&t->towers, i);
	a->blocks = item_of(&t->blocks, i);
	a->images = (const sumi_image *const *)o->images[i];
	int code = 0, all = t->files.count == 1 ? t->images.count : 1;
	for (int k = 0; !code && k < all; k++)
		code = read_pictures(o->images[i], a, t->files.count == 1 ? t->images.item[k] : item_of(&t->images, i), e);
	if (!code && mask && *mask && !e->status) a->mask = o->masks[i] = sumi_image_read(mask, e);
	if (!code) code = file_and_strength("--ip-adapter", t->files.item[i], &o->paths[i], &a->strength, &a->from, &a->to);
	a->path = o->paths[i];
	return code;
}

int ip_adapters_read(ip_adapter_options *o, const ip_adapter_texts *t, sumi_error *e)
{
	*o = (ip_adapter_options){ 0 };
	if (!t->files.count && !t->images.count && !t->towers.count && !t->masks.count && !t->blocks.count) return 0;
	int code = check_counts(t);
	while (!code && o->count < t->files.count && !e->status) {
		o->count++;
		code = read_one(o, o->count - 1, t, e);
	}
	return code;
}

void ip_adapters_free(ip_adapter_options *o)
{
	for (int i = 0; i < o->count; i++) {
		free(o->paths[i]);
		sumi_image_free(o->masks[i]);
		for (int k = 0; k < o->each[i].image_count; k++) sumi_image_free(o->images[i][k]);
	}
	o->count = 0;
}
