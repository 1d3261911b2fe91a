/* image_prompts.c - runs vision towers and hands their tokens to the denoiser. */
#include "pipeline/image_prompts.h"
#include "pipeline/control.h"
#include "pipeline/picture.h"
#include <stdlib.h>
#include <string.h>

enum { TOKENS_INPUT = 10, STRENGTHS_INPUT = 11 }; /* of the denoiser's stage */

/* ── checking ── */

static bool prepare_one(job_image_prompt *p, session *s, error *e)
{
	const sumi_ip_adapter *o = &p->options;
	if (!o->path) return fail(e, BAD_USAGE, "an IP-Adapter has no path of its file");
	if (!o->vision) return fail(e, BAD_USAGE, "%s: has no path of its CLIP vision tower", o->path);
	if (!(o->strength >= 0 && o->strength <= 10))
		return fail(e, BAD_USAGE, "IP-Adapter strength %g: between 0 and 10", o->strength);
	if (!(o->from >= 0 && o->from <= o->to && o->to <= 1))
		return fail(e, BAD_USAGE, "IP-Adapter from %g to %g of the steps: 0 to 1, the smaller first", o->from, o->to);
	return (p->file = session_ip_adapter(s, o->path, o->vision, e)) != NULL;
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
		if (!adopt(&p->options, sizeof p->options, o->ip_adapters[i], "sumi_ip_adapter", e) ||
		    !adopt_image(&p->image, p->options.image, "the IP-Adapter's picture", e) || !prepare_one(p, s, e))
			return false;
		j->image_prompt_count++;
	}
	return true;
}

bool image_prompts_alike(const job *a, const job *b)
{
	bool same = a->image_prompt_count == b->image_prompt_count;
	for (int i = 0; same && i < a->image_prompt_count; i++) same = a->image_prompts[i].file == b->image_prompts[i].file;
	return same;
}

/* ── the denoiser's inputs ── */

static shape tokens_shape(const job *j, int which, int items)
{
	const ip_adapter_file *a = j->image_prompts[which].file;
	return shape3(items, ip_adapter_token_count(a), ip_adapter_config_of(a)->context);
}

static size_t tokens_values(const job *j, int items)
{
	size_t n = 0;
	for (int i = 0; i < j->image_prompt_count; i++) n += shape_count(tokens_shape(j, i, items));
	return n;
}

void image_prompts_inputs(nn *n, const job *j, int items, stage *s, image_prompt *out)
{
	graph *g = n->g;
	size_t first = 0;
	if (!j->image_prompt_count) return;
	tensor tokens = input(g, "image_tokens", REAL, shape1((int)tokens_values(j, items)));
	tensor strengths = input(g, "image_strengths", REAL, shape1(j->image_prompt_count * items));
	for (int i = 0; i < j->image_prompt_count; i++) {
		shape t = tokens_shape(j, i, items);
		out[i].tokens = cast(g, view(g, tokens, first, t), graph_compute(g));
		out[i].strength = view(g, strengths, (size_t)(i * items), shape3(items, 1, 1));
		first += shape_count(t);
	}
	s->in[TOKENS_INPUT] = tokens;
	s->in[STRENGTHS_INPUT] = strengths;
	n->images = out;
	n->image_count = j->image_prompt_count;
}

void image_prompts_key(const job *j, network_key *key)
{
	for (int i = 0; i < j->image_prompt_count; i++) key->ip_adapters[i] = j->image_prompts[i].file;
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
	return sizeof(float) * (uint64_t)tokens_values(j, pictures * (2 + j->text.branches));
}

/* ── running ── */

static bool same_image(const sumi_image *a, const sumi_image *b)
{
	return a->width == b->width && a->height == b->height &&
	       !memcmp(a->pixels, b->pixels, (size_t)a->width * (size_t)a->height * 3);
}

/* The tokens of one picture; as the one before has them, where its image is the same. */
static bool run_one(const image_prompts *y, int which, int picture, const shapes *of, const stage *network, error *e)
{
	const sumi_image *image = &y->jobs[picture]->image_prompts[which].image;
	size_t one = stage_count(network, network->out);
	float *to = y->tokens[which] + (size_t)picture * one;
	int side = clip_vision_side(ip_adapter_vision(of->file));
	if (picture && same_image(image, &y->jobs[picture - 1]->image_prompts[which].image))
		return memcpy(to, to - one, one * sizeof *to), true;
	float *pixels = calloc(2 * 3 * (size_t)side * (size_t)side, sizeof *pixels); /* the blank one stays zero */
	bool fine = pixels || fail(e, NO_MEMORY, "out of memory for a picture of %d×%d", side, side);
	fine = fine && clip_picture(image, side, pixels, e) && stage_write(network, network->in[0], pixels, e) &&
	       stage_run((stage *)(uintptr_t)network, e) && stage_read(network, to, e);
	free(pixels);
	return fine;
}

static bool run_all(image_prompts *y, session *s, int which, const watcher *w, error *e)
{
	shapes of = shapes_of(y->jobs[0], which);
	network_key key = key_of(&of);
	stage *network = session_ready(s, &key, build, &of, 0, w, e);
	if (!network) return false;
	y->tokens[which] = malloc((size_t)y->count * stage_count(network, network->out) * sizeof(float));
	bool fine = y->tokens[which] || fail(e, NO_MEMORY, "out of memory for an image's tokens");
	for (int k = 0; fine && k < y->count; k++) fine = run_one(y, which, k, &of, network, e);
	session_done(s, network);
	return fine;
}

bool image_prompts_begin(image_prompts *y, session *s, job *const *jobs, int count, const watcher *w, error *e)
{
	const job *j = jobs[0];
	bool fine = true;
	*y = (image_prompts){ .jobs = jobs, .count = count };
	if (!j->image_prompt_count) return true;
	y->strengths = malloc((size_t)(j->image_prompt_count * count * j->text.branches) * sizeof(float));
	if (!y->strengths) return fail(e, NO_MEMORY, "out of memory for an image's tokens");
	for (int i = 0; fine && i < j->image_prompt_count; i++) fine = run_all(y, s, i, w, e);
	return fine;
}

/* The unconditional branch, which is the first, has the blank image, which is the last. */
static bool write_tokens(const image_prompts *y, const stage *denoiser, error *e)
{
	const job *j = y->jobs[0];
	int branches = j->text.branches, items = y->count * branches, blank = j->text.unconditional;
	float *all = malloc(tokens_values(j, items) * sizeof *all), *to = all;
	if (!all) return fail(e, NO_MEMORY, "out of memory for an image's tokens");
	for (int i = 0; i < j->image_prompt_count; i++) {
		size_t one = shape_count(tokens_shape(j, i, 1));
		for (int item = 0; item < items; item++, to += one) {
			int picture = item / branches, which = blank && item % branches == 0;
			memcpy(to, y->tokens[i] + (size_t)(picture * (1 + blank) + which) * one, one * sizeof *to);
		}
	}
	bool fine = stage_write(denoiser, denoiser->in[TOKENS_INPUT], all, e);
	free(all);
	return fine;
}

bool image_prompts_write(image_prompts *y, int step, int steps, const stage *denoiser, error *e)
{
	const job *j = y->jobs[0];
	bool same = y->written == denoiser;
	int branches = j->text.branches, items = y->count * branches;
	if (!j->image_prompt_count) return true;
	for (int i = 0; i < j->image_prompt_count * items; i++) {
		const sumi_ip_adapter *o = &y->jobs[i % items / branches]->image_prompts[i / items].options;
		float now = (float)strength_in_step(o->strength, o->from, o->to, step, steps);
		same = same && now == y->strengths[i];
		y->strengths[i] = now;
	}
	if (y->written != denoiser && !write_tokens(y, denoiser, e)) return false;
	y->written = denoiser;
	return same || stage_write(denoiser, denoiser->in[STRENGTHS_INPUT], y->strengths, e);
}

void image_prompts_end(image_prompts *y)
{
	for (int i = 0; i < MOST_IP_ADAPTERS; i++) free(y->tokens[i]);
	free(y->strengths);
	*y = (image_prompts){ 0 };
}
