/* fuzz_adapters.c - any bytes as a LoRA file, with the text that says how strongly it is applied: what is taken must
 * build into every weight that it changes. The first byte chooses the model; the text goes to the end of the line; the
 * rest is the file, with the names, the metadata and the patterns that the tools have. */
#include "fuzz.h"
#include "fuzz_unet.h"
#include "checkpoint/adapters.h"
#include "models/lora_strengths.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* As small as these models can be. */
static const family *tiny(int which)
{
	static const char *const names[] = { "sd1", "sdxl", "sd3-medium" };
	static family families[3];
	family *f = &families[which];
	if (*f->name) return f;
	*f = *family_by_name(names[which], NULL);
	if (f->denoiser.kind == UNET) f->denoiser.unet = smallest_unet;
	if (which == 2)
		f->denoiser.mmdit = (mmdit_config){
			.channels = 4, .patch = 2, .depth = 2, .width = 4, .heads = 1, .positions = 4, .context = 2, .vector = 2
		};
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		clip_config *c = &f->text[i].clip;
		if (f->text[i].kind != CLIP_TEXT) f->text[i].kind = NO_TEXT;
		if (f->text[i].kind != CLIP_TEXT) continue;
		c->width = 2, c->heads = 1, c->layers = 2, c->inner = 4, c->vocabulary = 8;
		if (c->projection) c->projection = 2;
	}
	return f;
}

typedef struct merging {
	adapted *sets;
	int count;
} merging;

static void merge_one(void *context, const parameter *p)
{
	const merging *m = context;
	if (p->buffer) return;
	graph *g = graph_new(REAL);
	holds(g != NULL);
	tensor w = lora_merge(g, m->sets, m->count, p->name, cast(g, param(g, p->name, p->shape), REAL));
	holds(graph_error(g)->status == OK && w && shape_same(shape_of(g, w), p->shape));
	graph_free(g);
}

static void merge_all(const family *f, const adapter_list *files)
{
	adapter_list none = { 0 };
	merging m;
	error e = { 0 };
	holds(adapters_join(files, &none, &m.sets, &m.count, &e));
	for (role r = 0; r < FAMILY_ROLES; r++)
		if (r != AUTOENCODER) holds(family_parameters(f, r, merge_one, &m, &e));
	free(m.sets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64], strengths[128];
	const uint8_t *end = size > 1 ? memchr(data + 1, '\n', size - 1) : NULL;
	size_t length = end ? (size_t)(end - data) - 1 : 0;
	int file = end && length < sizeof strengths ? memfd_create("adapter", 0) : -1;
	if (file < 0) return 0;
	const family *f = tiny(*data % 3);
	adapter_list files = { 0 };
	error e = { 0 };
	memcpy(strengths, data + 1, length);
	strengths[length] = 0;
	size_t rest = size - length - 2;
	holds(write(file, end + 1, rest) == (ssize_t)rest);
	snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	if (adapters_add(&files, f, path, strengths, &e))
		merge_all(f, &files);
	else
		holds_message(&e);
	adapters_close(&files);
	close(file);
	return 0;
}
