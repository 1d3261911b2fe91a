/* ip_adapters.c - texts to IP-Adapters. */
#include "cli/ip_adapters.h"
#include "cli/controls.h"
#include <stdlib.h>

static bool one_or_each(const text_list *l, int count) { return l->count == 1 || l->count == count; }

static const char *item_of(const text_list *l, int i) { return l->item[l->count > 1 ? i : 0]; }

int ip_adapters_read(
    ip_adapter_options *o, const text_list *files, const text_list *images, const text_list *towers, sumi_error *e)
{
	int count = files->count;
	*o = (ip_adapter_options){ 0 };
	if (!count && !images->count && !towers->count) return 0;
	if (count > MOST_IP_FILES) return complain(2, "%d IP-Adapters; at most %d at a time", count, MOST_IP_FILES);
	if (!count || !one_or_each(images, count))
		return complain(2, "--ip-adapter %d times and --ip-image %d times: a picture for each, or one for all", count,
		    images->count);
	if (!one_or_each(towers, count))
		return complain(2,
		    "--ip-adapter %d times and --clip-vision %d times: the vision tower that each was made for, or one for all",
		    count, towers->count);
	for (; o->count < count; o->count++) {
		int i = o->count;
		sumi_ip_adapter *a = &o->each[i];
		*a = sumi_ip_adapter_defaults();
		o->list[i] = a;
		a->vision = item_of(towers, i);
		a->image = o->images[i] = sumi_image_read(item_of(images, i), e);
		int code = file_and_strength("--ip-adapter", files->item[i], &o->paths[i], &a->strength, &a->from, &a->to);
		if (code) return o->count++, code;
		a->path = o->paths[i];
	}
	return 0;
}

void ip_adapters_free(ip_adapter_options *o)
{
	for (int i = 0; i < o->count; i++) {
		free(o->paths[i]);
		sumi_image_free(o->images[i]);
	}
	o->count = 0;
}
