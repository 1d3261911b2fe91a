/* image_prompts.c - runs vision towers and hands their tokens to the denoiser. */
#include "pipeline/image_prompts.h"
#include "pipeline/control.h"
#include "pipeline/image_masks.h"
#include "pipeline/picture.h"
#include <stdlib.h>
#include <string.h>

enum { TOKENS_INPUT = 10, STRENGTHS_INPUT = 11, MASKS_INPUT = 12 }; /* of the denoiser's stage */

/* ── checking ── */

static bool read_blocks(job_image_prompt *p, const job *j, error *e)
{
	const unet_config *u = &j->m->family.denoiser.unet;
	const char *blocks = p->options.blocks;
	int count = unet_attending_blocks(u);
	for (int i = 0; i < IP_BLOCKS; i++) p->weights[i] = 1;
	if (blocks && !ip_adapter_blocks_from_text(blocks, u, p->weights, e)) return false;
	for (int i = 0; i < count; i++) p->absent |= (uint64_t)(p->weights[i] == 0) << i;
	return true;
}

static bool read_images(job_image_prompt *p, error *e)
{
	const sumi_ip_adapter *o = &p->options;
	const sumi_image *const *images = o->images ? o->images : &o->image;
	int count = o->images ? o->image_count : 1;
	if (o->image_count < 0 || count < 1 || count > MOST_IP_IMAGES || (o->image_count && !o->images))
		return fail(e, BAD_USAGE, "%d pictures for an IP-Adapter: 1 to %d, with a list of them", o->image_count,
		    MOST_IP_IMAGES);
	for (; p->image_count < count; p->image_count++)
		if (!adopt_image(&p->images[p->image_count], images[p->image_count], "the IP-Adapter's picture", e))
			return false;
	p->masked = o->mask != NULL;
	return !p->masked || adopt_image(&p->mask, o->mask, "the IP-Adapter's mask", e);
}

static bool prepare_one(job_image_prompt *p, const job *j, session *s, error *e)
{
	const sumi_ip_adapter *o = &p->options;
	if (!o->path) return fail(e, BAD_USAGE, "an IP-Adapter has no path of its file");
	if (!o->vision) return fail(e, BAD_USAGE, "%s: has no path of its CLIP vision tower", o->path);
	if (!(o->strength >= 0 && o->strength <= 10))
		return fail(e, BAD_USAGE, "IP-Adapter strength %g: between 0 and 10", o->strength);
	if (!(o->from >= 0 && o->from <= o->to && o->to <= 1))
		return fail(e, BAD_USAGE, "IP-Adapter from %g to %g of the steps: 0 to 1, the smaller first", o->from, o->to);
	return (p->file = session_ip_adapter(s, o->path, o->vision, e)) && read_blocks(p, j, e);
}

bool image_prompts_prepare(job *j, session *s, error *e)
{
	const sumi_options *o = j->o;
	if (o->ip_adapter_count < 0 || o->ip_adapter_count > MOST_IP_ADAPTERS || (o->ip_adapter_count && !o->ip_adapters))
		return fail(
		    e, BAD_USAGE, "%d IP-Adapters: 0 to %d, with a list of them", o->ip_adapter_count, MOST_IP_ADAPTERS);
	for (int i = 0; i < o->ip_adapter_count; i++) {
		job_image_prompt *p = &j->image_prompts[i];
		p->options = sumi_ip_adapter_defaults();
		if (!o->ip_adapters[i])
			return fail(e, BAD_USAGE, "IP-Adapter %d of %d is not given", i + 1, o->ip_adapter_count);
		if (!adopt(&p->options, sizeof p->options, o->ip_adapters[i], "sumi_ip_adapter", e) || !read_images(p, e) ||
		    !prepare_one(p, j, s, e))
			return false;
		j->image_prompt_count++;
	}
	return true;
}

/* What a denoiser is built for. */
static struct image_prompt_form form_of(const job_image_prompt *p)
{
	return (struct image_prompt_form){ p->absent, p->image_count, p->masked };
}

bool image_prompts_alike(const job *a, const job *b)
{
	bool same = a->image_prompt_count == b->image_prompt_count;
	for (int i = 0; same && i < a->image_prompt_count; i++) {
		struct image_prompt_form one = form_of(&a->image_prompts[i]), other = form_of(&b->image_prompts[i]);
		same = a->image_prompts[i].file == b->image_prompts[i].file && !memcmp(&one, &other, sizeof one);
	}
	return same;
}

void image_prompts_key(const job *j, network_key *key)
{
	for (int i = 0; i < j->image_prompt_count; i++) {
		key->ip_adapters[i] = j->image_prompts[i].file;
		key->image_prompts[i] = form_of(&j->image_prompts[i]);
	}
}

/* ── the denoiser's inputs ── */

static const unet_config *unet_of(const job *j) { return &j->m->family.denoiser.unet; }

/* How many of its blocks attend; 0 without image prompts, where the denoiser may be another than a U-Net. */
static int blocks_of(const job *j) { return j->image_prompt_count ? unet_attending_blocks(unet_of(j)) : 0; }

/* Of an image, or of a blank one. */
static size_t image_values(const job *j, int which)
{
	const ip_adapter_file *a = j->image_prompts[which].file;
	return (size_t)ip_adapter_token_count(a) * (size_t)ip_adapter_config_of(a)->context;
}

static shape tokens_shape(const job *j, int which, int items)
{
	const job_image_prompt *p = &j->image_prompts[which];
	return shape3(items, p->image_count * ip_adapter_token_count(p->file), ip_adapter_config_of(p->file)->context);
}

static size_t tokens_values(const job *j, int items)
{
	size_t n = 0;
	for (int i = 0; i < j->image_prompt_count; i++) n += shape_count(tokens_shape(j, i, items));
	return n;
}

/* Of a mask at all sizes, for one item. */
static size_t mask_values(const job *j)
{
	int places[IMAGE_MASKS];
	size_t n = 0;
	image_mask_places(unet_of(j), j->latent_height, j->latent_width, places);
	for (int i = 0; i < unet_of(j)->levels; i++) n += (size_t)places[i];
	return n;
}

static int masked_count(const job *j)
{
	int count = 0;
	for (int i = 0; i < j->image_prompt_count; i++) count += j->image_prompts[i].masked;
	return count;
}

static void view_masks(graph *g, const job *j, int items, tensor masks, size_t *first, image_prompt *out)
{
	int places[IMAGE_MASKS];
	image_mask_places(unet_of(j), j->latent_height, j->latent_width, places);
	for (out->mask_count = 0; out->mask_count < unet_of(j)->levels; out->mask_count++) {
		shape s = shape3(items, places[out->mask_count], 1);
		out->masks[out->mask_count] = view(g, masks, *first, s);
		*first += shape_count(s);
	}
}

void image_prompts_inputs(nn *n, const job *j, int items, stage *s, image_prompt *out)
{
	graph *g = n->g;
	size_t first = 0, mask = 0;
	int count = j->image_prompt_count, masked = masked_count(j), blocks = blocks_of(j) * items;
	if (!count) return;
	s->in[TOKENS_INPUT] = input(g, "image_tokens", REAL, shape1((int)tokens_values(j, items)));
	s->in[STRENGTHS_INPUT] = input(g, "image_strengths", REAL, shape1(count * blocks));
	if (masked) s->in[MASKS_INPUT] = input(g, "image_masks", REAL, shape1(masked * items * (int)mask_values(j)));
	for (int i = 0; i < count; i++) {
		const job_image_prompt *p = &j->image_prompts[i];
		shape t = tokens_shape(j, i, items);
		out[i] = (image_prompt){ .absent = p->absent };
		while (j->image_prompts[out[i].weights].file != p->file) out[i].weights++;
		out[i].tokens = cast(g, view(g, s->in[TOKENS_INPUT], first, t), graph_compute(g));
		out[i].strengths = view(g, s->in[STRENGTHS_INPUT], (size_t)(i * blocks), shape1(blocks));
		if (p->masked) view_masks(g, j, items, s->in[MASKS_INPUT], &mask, &out[i]);
		first += shape_count(t);
	}
	n->images = out;
	n->image_count = count;
}

/* ── the networks ── */

typedef struct shapes {
	const ip_adapter_file *file;
	bool blank;
} shapes;

/* Items that the network reads: a blank image where it must see one. */
static int images_of(const shapes *y) { return y->blank && ip_adapter_config_of(y->file)->kind != IP_BASE ? 2 : 1; }

static void build(nn *n, const model *m, stage *s, const void *context)
{
	const shapes *y = context;
	const clip_vision_config *v = ip_adapter_vision(y->file);
	int side = clip_vision_side(v);
	(void)m;
	s->in[0] = input(n->g, "image", REAL, shape4(images_of(y), side, side, 3));
	s->out = ip_adapter_tokens(n, ip_adapter_config_of(y->file), v, s->in[0], y->blank);
}

static network_key key_of(const shapes *y)
{
	return (network_key){ .kind = IMAGE_NETWORK, .size = { y->blank }, .ip_adapters = { y->file } };
}

static shapes shapes_of(const job *j, int which)
{
	return (shapes){ j->image_prompts[which].file, j->text.unconditional };
}

stage *image_prompt_network(session *s, const job *j, int which, error *e)
{
	shapes y = shapes_of(j, which);
	network_key key = key_of(&y);
	return session_network(s, &key, build, &y, e);
}

uint64_t image_prompts_bytes(const job *j, int pictures)
{
	size_t masks = masked_count(j) ? (size_t)(masked_count(j) * pictures * j->text.branches + 1) * mask_values(j) : 0;
	return sizeof(float) * (uint64_t)(tokens_values(j, pictures * (2 + j->text.branches)) + masks);
}

/* ── running ── */

static bool same_image(const sumi_image *a, const sumi_image *b)
{
	return a->width == b->width && a->height == b->height &&
	       !memcmp(a->pixels, b->pixels, (size_t)a->width * (size_t)a->height * 3);
}

/* The tokens of one image, and behind them those of a blank one. */
static bool run_one(const sumi_image *image, int side, float *to, const stage *network, error *e)
{
	float *pixels = calloc(2 * 3 * (size_t)side * (size_t)side, sizeof *pixels); /* the blank one stays zero */
	bool fine = pixels || fail(e, NO_MEMORY, "out of memory for a picture of %d×%d", side, side);
	fine = fine && clip_picture(image, side, pixels, e) && stage_write(network, network->in[0], pixels, e) &&
	       stage_run((stage *)(uintptr_t)network, e) && stage_read(network, to, e);
	free(pixels);
	return fine;
}

static bool same_images(const job_image_prompt *a, const job_image_prompt *b)
{
	bool same = a->image_count == b->image_count;
	for (int i = 0; same && i < a->image_count; i++) same = same_image(&a->images[i], &b->images[i]);
	return same;
}

/* Values for one picture: its images, and a blank one. */
static size_t picture_values(const job *j, int which)
{
	return image_values(j, which) * (size_t)(j->image_prompts[which].image_count + j->text.unconditional);
}

/* The tokens of one picture; as the one before has them, where its images are the same. */
static bool run_picture(const image_prompts *y, int which, int picture, int side, const stage *network, error *e)
{
	const job_image_prompt *p = &y->jobs[picture]->image_prompts[which];
	size_t all = picture_values(y->jobs[0], which), one = image_values(y->jobs[0], which);
	float *to = y->tokens[which] + (size_t)picture * all;
	bool fine = true;
	if (picture && same_images(p, &y->jobs[picture - 1]->image_prompts[which]))
		return memcpy(to, to - all, all * sizeof *to), true;
	for (int i = 0; fine && i < p->image_count; i++)
		fine = run_one(&p->images[i], side, to + (size_t)i * one, network, e);
	return fine;
}

static bool run_all(image_prompts *y, session *s, int which, const watcher *w, error *e)
{
	const job *j = y->jobs[0];
	shapes of = shapes_of(j, which);
	network_key key = key_of(&of);
	stage *network = session_ready(s, &key, build, &of, 0, w, e);
	if (!network) return false;
	y->tokens[which] = malloc((size_t)y->count * picture_values(j, which) * sizeof(float));
	bool fine = y->tokens[which] || fail(e, NO_MEMORY, "out of memory for an image's tokens");
	int side = clip_vision_side(ip_adapter_vision(of.file));
	for (int k = 0; fine && k < y->count; k++) fine = run_picture(y, which, k, side, network, e);
	session_done(s, network);
	return fine;
}

static size_t strength_values(const image_prompts *y)
{
	const job *j = y->jobs[0];
	return (size_t)(j->image_prompt_count * blocks_of(j) * y->count * j->text.branches);
}

bool image_prompts_begin(image_prompts *y, session *s, job *const *jobs, int count, const watcher *w, error *e)
{
	const job *j = jobs[0];
	bool fine = true;
	*y = (image_prompts){ .jobs = jobs, .count = count };
	if (!j->image_prompt_count) return true;
	y->strengths = malloc(strength_values(y) * sizeof *y->strengths);
	if (!y->strengths) return fail(e, NO_MEMORY, "out of memory for an image's tokens");
	for (int i = 0; fine && i < j->image_prompt_count; i++) fine = run_all(y, s, i, w, e);
	return fine;
}

/* The unconditional branch, which is the first, has the blank image, which is the last, in place of each. */
static bool write_tokens(const image_prompts *y, const stage *denoiser, error *e)
{
	const job *j = y->jobs[0];
	int branches = j->text.branches, items = y->count * branches;
	float *all = malloc(tokens_values(j, items) * sizeof *all), *to = all;
	if (!all) return fail(e, NO_MEMORY, "out of memory for an image's tokens");
	for (int i = 0; i < j->image_prompt_count; i++) {
		int images = j->image_prompts[i].image_count;
		size_t one = image_values(j, i), picture = picture_values(j, i);
		for (int k = 0; k < items * images; k++, to += one) {
			int item = k / images, blank = j->text.unconditional && item % branches == 0;
			memcpy(to, y->tokens[i] + (size_t)(item / branches) * picture + (size_t)(blank ? images : k % images) * one,
			    one * sizeof *to);
		}
	}
	bool fine = stage_write(denoiser, denoiser->in[TOKENS_INPUT], all, e);
	free(all);
	return fine;
}

/* From [levels] of an item to [level][items], from the item's place on: all items of a picture have its mask. */
static void spread_mask(const job *j, const float *mask, int items, int first, float *to)
{
	int places[IMAGE_MASKS];
	image_mask_places(unet_of(j), j->latent_height, j->latent_width, places);
	for (int level = 0; level < unet_of(j)->levels; level++) {
		size_t n = (size_t)places[level];
		for (int b = 0; b < j->text.branches; b++) memcpy(to + (size_t)(first + b) * n, mask, n * sizeof *to);
		mask += n;
		to += (size_t)items * n;
	}
}

static bool write_masks(const image_prompts *y, const stage *denoiser, error *e)
{
	const job *j = y->jobs[0];
	int items = y->count * j->text.branches, masked = masked_count(j);
	size_t n = mask_values(j);
	if (!masked) return true;
	float *all = malloc((size_t)(masked * items) * n * sizeof *all), *one = malloc(n * sizeof *one), *to = all;
	bool fine = (all && one) || fail(e, NO_MEMORY, "out of memory for an image's masks");
	for (int i = 0; i < j->image_prompt_count; i++) {
		if (!j->image_prompts[i].masked) continue;
		for (int k = 0; fine && k < y->count; k++) {
			fine = image_mask(&y->jobs[k]->image_prompts[i].mask, j->height, j->width, unet_of(j), j->latent_height,
			    j->latent_width, one, e);
			if (fine) spread_mask(j, one, items, k * j->text.branches, to);
		}
		to += (size_t)items * n;
	}
	fine = fine && stage_write(denoiser, denoiser->in[MASKS_INPUT], all, e);
	free(all);
	free(one);
	return fine;
}

bool image_prompts_write(image_prompts *y, int step, int steps, const stage *denoiser, error *e)
{
	const job *j = y->jobs[0];
	bool same = y->written == denoiser;
	int items = y->count * j->text.branches, blocks = blocks_of(j);
	if (!j->image_prompt_count) return true;
	for (int i = 0; i < j->image_prompt_count * blocks * items; i++) {
		const job_image_prompt *p = &y->jobs[i % items / j->text.branches]->image_prompts[i / items / blocks];
		const sumi_ip_adapter *o = &p->options;
		float now = (float)strength_in_step(o->strength, o->from, o->to, step, steps) * p->weights[i / items % blocks];
		same = same && now == y->strengths[i];
		y->strengths[i] = now;
	}
	if (y->written != denoiser && (!write_tokens(y, denoiser, e) || !write_masks(y, denoiser, e))) return false;
	y->written = denoiser;
	return same || stage_write(denoiser, denoiser->in[STRENGTHS_INPUT], y->strengths, e);
}

void image_prompts_end(image_prompts *y)
{
	for (int i = 0; i < MOST_IP_ADAPTERS; i++) free(y->tokens[i]);
	free(y->strengths);
	*y = (image_prompts){ 0 };
}
