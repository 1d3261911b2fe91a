/* denoise.c - batches the pictures' branches, runs the network and guides each picture. */
#include "pipeline/denoise.h"
#include "pipeline/encode.h"
#include "pipeline/finite.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ── the network ── */

typedef struct shapes {
	const job *one;
	int items, lanes;   /* of a lane; how many of these are computed side by side */
	const stage *whole; /* of a shallow network: that which keeps what it reads; NULL: this is the whole one */
} shapes;

static void build(nn *n, const model *m, stage *s, const void *context)
{
	const shapes *y = context;
	const job *j = y->one;
	const conditioning *c = &j->text;
	graph_lanes(n->g, y->lanes);
	s->in[0] = input(n->g, "x", REAL, shape4(y->items, j->latent_height, j->latent_width, j->channels + j->extra));
	s->in[1] = input(n->g, "t", REAL, shape1(y->items));
	s->in[2] = c->tokens ? input(n->g, "context", REAL, shape3(y->items, c->tokens, c->width)) : 0;
	s->in[3] = j->embedded ? input(n->g, "guidance", REAL, shape2(y->items, j->embedded)) : 0;
	s->in[4] = c->vector ? input(n->g, "vector", REAL, shape2(y->items, c->vector)) : 0;
	s->in[6] = j->skip_layers.layers ? input(n->g, "keep", REAL, shape3(1, 1, 1)) : 0;
	bool words = c->words && !y->whole;
	s->in[7] = words ? input(n->g, "marks", REAL, shape3(y->items, c->tokens, c->words)) : 0;
	unet_changes changes = j->changes;
	if (y->whole) {
		shape cached = shape_of(y->whole->g, y->whole->feature);
		s->in[9] = changes.cached = input(n->g, "cached", dtype_of(y->whole->g, y->whole->feature), cached);
		changes.shallow = true;
	} else if (j->deep_cache)
		changes.feature = &s->feature;
	image_prompt images[MOST_IP_ADAPTERS];
	tensor residuals[UNET_SKIPS + 1], maps[UNET_SKIPS + 1] = { 0 };
	denoiser_inputs in = { .x = s->in[0],
		.t = s->in[1],
		.context = s->in[2],
		.guidance = s->in[3],
		.vector = s->in[4],
		.keep = s->in[6],
		.changes = m->family.denoiser.kind == UNET ? &changes : NULL,
		.controls = residuals,
		.features = maps };
	s->in[5] = control_input(n->g, j, y->items, residuals, &in.control_count);
	s->in[8] = feature_maps_input(n->g, j, y->items, maps);
	image_prompts_inputs(n, j, y->items, s, images);
	family f = m->family;
	for (int i = 0; f.denoiser.kind == MMDIT && i < f.denoiser.mmdit.depth; i++)
		f.denoiser.mmdit.left_out[i] |= j->skip_layers.layers >> i & 1;
	s->maps.marks = s->in[7];
	n->maps = words ? &s->maps : NULL;
	s->out = family_denoise(n, &f, in);
	word_maps_join(n->g, &s->maps);
}

static int bits_of(float x)
{
	int bits;
	memcpy(&bits, &x, sizeof bits);
	return bits;
}

static network_key key_of(const shapes *y)
{
	const job *j = y->one;
	uint64_t skips = j->skip_layers.layers;
	network_key key = { .kind = DENOISER_NETWORK,
		.size = { y->items, y->lanes, j->latent_height, j->latent_width, j->text.tokens, (int)(skips >> 32),
		    (int)(skips & UINT32_MAX), (control_values(j, 1) > 0) + 2 * feature_maps_outputs(j), (int)j->changes.free_u,
		    bits_of(j->changes.b[0]), bits_of(j->changes.b[1]), bits_of(j->changes.s[0]), bits_of(j->changes.s[1]),
		    y->whole ? 0 : j->text.words, y->whole ? 2 : j->deep_cache > 0, j->deep_cache ? j->changes.branch : -1 },
		.adapters = j->adapters };
	image_prompts_key(j, &key);
	return key;
}

/* A lane for each thread where pictures are small and as many for each: the steps of such a network are short, and
 * threads would wait for each other longer than they work. Not where something but an item's own goes in or out. */
static int lanes_for(const job *j, int count)
{
	enum { SMALL = 1024 }; /* positions */
	int threads = j->m->threads;
	bool apart = !j->skip_layers.layers && !j->control_count && !j->image_prompt_count && !j->text.words &&
	             !j->deep_cache && !j->m->backend->device;
	return apart && j->positions <= SMALL && count % threads == 0 ? threads : 1;
}

static shapes shapes_of(job *const *jobs, int count)
{
	int lanes = lanes_for(jobs[0], count);
	return (shapes){ jobs[0], count / lanes * jobs[0]->text.branches, lanes, NULL };
}

stage *denoiser_network(session *s, job *const *jobs, int count, error *e)
{
	shapes y = shapes_of(jobs, count);
	network_key key = key_of(&y);
	return session_network(s, &key, build, &y, e);
}

stage *shallow_network(session *s, job *const *jobs, int count, error *e)
{
	shapes y = shapes_of(jobs, count);
	if (!jobs[0]->deep_cache || !(y.whole = denoiser_network(s, jobs, count, e))) return NULL;
	network_key key = key_of(&y);
	return session_network(s, &key, build, &y, e);
}

/* An input that both networks have. */
static bool write_both(const denoiser *d, int which, const float *values, error *e)
{
	return stage_write(d->whole, d->whole->in[which], values, e) &&
	       (!d->shallow || stage_write(d->shallow, d->shallow->in[which], values, e));
}

/* ── what stays the same in all steps ── */

/* The scale less 1, in waves like a timestep (Luo et al. 2023; diffusers' get_guidance_scale_embedding): sines first.
 */
static bool write_guidance(const denoiser *d, error *e)
{
	int width = d->jobs[0]->embedded, half = width / 2, branches = d->jobs[0]->text.branches,
	    items = d->count * branches;
	float *values = calloc((size_t)items * (size_t)width, sizeof *values);
	if (!values) return fail(e, NO_MEMORY, "out of memory for the guidance");
	for (int b = 0; b < items; b++)
		for (int i = 0; i < half; i++) {
			double scale = d->jobs[b / branches]->guidance.scale;
			double x = (scale - 1) * 1000 * exp(-log(10000) * i / (half > 1 ? half - 1 : 1));
			values[b * width + i] = (float)sin(x);
			values[b * width + half + i] = (float)cos(x);
		}
	bool fine = write_both(d, 3, values, e);
	free(values);
	return fine;
}

static bool begin_shallow(denoiser *d, error *e)
{
	shapes y = shapes_of(d->jobs, d->count);
	y.whole = d->whole;
	network_key key = key_of(&y);
	d->shallow = session_ready(d->session, &key, build, &y, 0, d->w, e);
	return d->shallow != NULL;
}

static bool begin(denoiser *d, error *e)
{
	const job *j = d->jobs[0];
	shapes y = shapes_of(d->jobs, d->count);
	network_key key = key_of(&y);
	size_t items = (size_t)y.items * (size_t)y.lanes, positions = j->positions,
	       context = (size_t)j->text.tokens * (size_t)j->text.width;
	d->inputs = malloc(items * positions * (size_t)(j->channels + j->extra) * sizeof(float));
	d->times = malloc(items * sizeof(float));
	d->contexts = malloc((items * context + 1) * sizeof(float));
	d->vectors = malloc((items * (size_t)j->text.vector + 1) * sizeof(float));
	d->outputs = malloc(items * positions * (size_t)j->channels * sizeof(float));
	d->skipped = j->skip_layers.layers ? malloc(items * positions * (size_t)j->channels * sizeof(float)) : NULL;
	d->scratch = malloc(2 * positions * (size_t)j->channels * sizeof(float));
	/* kept when a refiner takes over */
	if (!d->averages) d->averages = calloc((size_t)d->count * positions * (size_t)j->channels, sizeof(float));
	d->context_step = -1;
	if (!d->inputs || !d->times || !d->contexts || !d->vectors || !d->outputs || !d->scratch || !d->averages ||
	    (j->skip_layers.layers && !d->skipped))
		return fail(e, NO_MEMORY, "out of memory for latents of %d×%d", j->latent_width, j->latent_height);
	if (!image_prompts_begin(&d->images, d->session, d->jobs, d->count, d->w, e) ||
	    !controls_begin(&d->control, d->session, d->jobs, d->count, d->w, e))
		return false;
	d->calls = 0;
	d->network = d->whole = session_ready(d->session, &key, build, &y, 0, d->w, e);
	return d->whole && (!j->deep_cache || begin_shallow(d, e)) && (!j->embedded || write_guidance(d, e)) &&
	       heard_begin(&d->heard, d->whole, d->jobs, d->count, e);
}

static void leave_network(denoiser *d)
{
	controls_end(&d->control);
	image_prompts_end(&d->images);
	heard_drop(&d->heard);
	if (d->shallow) session_done(d->session, d->shallow);
	if (d->whole) session_done(d->session, d->whole);
	free(d->inputs);
	free(d->times);
	free(d->contexts);
	free(d->vectors);
	free(d->outputs);
	free(d->scratch);
	free(d->skipped);
	d->network = d->whole = d->shallow = NULL;
	d->inputs = d->times = d->contexts = d->vectors = d->outputs = d->scratch = d->skipped = NULL;
}

/* The model's network is freed, if the session does not keep it, before the refiner reads the prompts. */
static bool hand_over(denoiser *d, error *e)
{
	if (d->whole && !heard_leave(&d->heard, d->whole, d->jobs, e)) return false;
	leave_network(d);
	d->jobs = d->refiners;
	d->refiners = NULL;
	return encode_prompts(d->session, d->jobs, d->count, d->w, e) && begin(d, e);
}

static bool is_refined(const denoiser *d, int step) { return d->refiners && step >= d->jobs[0]->refined_from; }

bool denoiser_begin(denoiser *d, const watcher *w, error *e)
{
	d->w = w;
	return is_refined(d, d->first_step) ? hand_over(d, e) : begin(d, e);
}

bool denoiser_maps(denoiser *d, job *const *jobs, error *e)
{
	return heard_leave(&d->heard, d->whole, d->jobs, e) && heard_finish(&d->heard, jobs, e);
}

void denoiser_end(denoiser *d)
{
	leave_network(d);
	free(d->averages);
	d->averages = NULL;
	heard_free(&d->heard);
}

/* ── a call ── */

/* Mixed where there is a second prompt. */
static void mix(const job *j, const float *to, float *out, size_t n)
{
	double blend = j->o->blend;
	for (size_t i = 0; i < n; i++) out[i] = (float)((1 - blend) * (double)out[i] + blend * (double)to[i]);
}

static void write_context(const job *j, int step, int branch, float *out)
{
	size_t n = (size_t)j->text.tokens * (size_t)j->text.width;
	memcpy(out, conditioning_context(&j->text, step, branch), n * sizeof *out);
	if (j->text_to.branches) mix(j, conditioning_context(&j->text_to, step, branch), out, n);
}

static bool write_vector(const job *j, int step, int branch, float *out, error *e)
{
	size_t n = (size_t)j->text.vector;
	conditioning_vector(&j->text, step, branch, out);
	if (!j->text_to.branches) return true;
	float *to = malloc(n * sizeof *to);
	if (!to) return fail(e, NO_MEMORY, "out of memory for a vector of %zu", n);
	conditioning_vector(&j->text_to, step, branch, to);
	mix(j, to, out, n);
	free(to);
	return true;
}

static bool write_conditioning(denoiser *d, int step, error *e)
{
	const conditioning *c = &d->jobs[0]->text;
	size_t n = (size_t)c->tokens * (size_t)c->width, vector = (size_t)c->vector;
	if (!n || d->context_step == step) return true;
	for (int k = 0; k < d->count; k++)
		for (int b = 0; b < c->branches; b++) {
			size_t item = (size_t)(k * c->branches + b);
			write_context(d->jobs[k], step, b, d->contexts + item * n);
			if (vector && !write_vector(d->jobs[k], step, b, d->vectors + item * vector, e)) return false;
		}
	d->context_step = step;
	return controls_write_conditioning(&d->control, d->contexts, d->vectors, e) &&
	       heard_write(&d->heard, d->whole, d->whole->in[7], d->jobs, step, e) && write_both(d, 2, d->contexts, e) &&
	       (!vector || write_both(d, 4, d->vectors, e));
}

/* [positions][C] of the latent, and behind each the [extra] of an inpainting model. */
static void lay_out(const job *j, const float *x, float *out)
{
	size_t c = (size_t)j->channels, extra = (size_t)j->extra;
	for (size_t i = 0; i < j->positions; i++, out += c + extra) {
		memcpy(out, x + i * c, c * sizeof *out);
		if (extra) memcpy(out + c, j->inpainting_input + i * extra, extra * sizeof *out);
	}
}

static bool write_latents(denoiser *d, double t, const float *x, error *e)
{
	int branches = d->jobs[0]->text.branches;
	for (int k = 0; k < d->count; k++) {
		const job *j = d->jobs[k];
		size_t n = j->positions * (size_t)(j->channels + j->extra);
		float *first = d->inputs + (size_t)(k * branches) * n;
		lay_out(j, x + (size_t)k * j->positions * (size_t)j->channels, first);
		for (int b = 1; b < branches; b++) memcpy(first + (size_t)b * n, first, n * sizeof *first);
	}
	for (int i = 0; i < d->count * branches; i++) d->times[i] = (float)t;
	return stage_write(d->network, d->network->in[0], d->inputs, e) &&
	       stage_write(d->network, d->network->in[1], d->times, e);
}

/* The conditional branches as one: unconditional + Σ weight·(conditional − unconditional), into the first of them. */
static void compose(const conditioning *c, float *branch, size_t n)
{
	int first = c->unconditional ? 1 : 0;
	if (c->branches - first == 1 && c->weights[first] == 1) return;
	float *sum = branch + (size_t)first * n;
	for (size_t i = 0; i < n; i++) {
		double base = c->unconditional ? branch[i] : 0, all = base;
		for (int b = first; b < c->branches; b++) all += c->weights[b] * (branch[(size_t)b * n + i] - base);
		sum[i] = (float)all;
	}
}

/* Picture k's branches to its guided output, and to the unconditional one where that is wanted. x is the latent as the
 * network reads it. */
static void finish(const denoiser *d, int k, int step, path_point at, const float *x, float *branches, float *out,
    float *unconditional)
{
	const job *j = d->jobs[k];
	const conditioning *c = &j->text;
	size_t n = j->positions * (size_t)j->channels;
	compose(c, branches, n);
	float *conditional = c->unconditional ? branches + n : branches;
	if (unconditional) memcpy(unconditional, branches, n * sizeof *out);
	guided_outputs p = { .unconditional = branches,
		.conditional = conditional,
		.n = n,
		.channels = (size_t)j->channels,
		.x = x,
		.at = at,
		.prediction = j->prediction,
		.average = guidance_has_memory(&j->guidance) ? d->averages + (size_t)k * n : NULL,
		.scratch = d->scratch };
	if (c->unconditional && guidance_is_on(&j->guidance, step, d->steps))
		guide(&j->guidance, &p, out);
	else
		memcpy(out, conditional, n * sizeof *out);
}

/* ── skip-layer guidance ── */

static bool write_keep(const denoiser *d, float keep, error *e)
{
	return !d->skipped || stage_write(d->network, d->network->in[6], &keep, e);
}

static bool skips_layers(const denoiser *d, int step)
{
	const skip_layer_guidance *g = &d->jobs[0]->skip_layers;
	return g->layers && step > g->from * d->steps && step < g->to * d->steps;
}

/* All branches run once more without the blocks: what is there is a network for so many. d->outputs holds each
 * picture's composed conditional output. */
static bool guide_by_skipping(denoiser *d, const char *what, float *out, error *e)
{
	const job *j = d->jobs[0];
	const conditioning *c = &j->text;
	size_t n = j->positions * (size_t)j->channels, all = n * (size_t)c->branches, first = c->unconditional ? n : 0;
	if (!write_keep(d, 0, e) || !stage_run(d->network, e) || !stage_read(d->network, d->skipped, e) ||
	    !all_finite(d->skipped, (size_t)d->count * all, what, e))
		return false;
	for (int k = 0; k < d->count; k++, out += n) {
		float *skipped = d->skipped + (size_t)k * all;
		const float *conditional = d->outputs + (size_t)k * all + first;
		double scale = d->jobs[k]->skip_layers.scale;
		compose(&d->jobs[k]->text, skipped, n);
		for (size_t i = 0; i < n; i++)
			out[i] = (float)((double)out[i] + scale * ((double)conditional[i] - (double)skipped[first + i]));
	}
	return true;
}

/* ── DeepCache ── */

/* Which network this call is for. */
static void choose_network(denoiser *d)
{
	int every = d->jobs[0]->deep_cache;
	d->network = every && d->calls % every ? d->shallow : d->whole;
	d->calls++;
}

/* What is read off the whole network after it has run: for the shallow one, and of the words. */
static bool after_whole(denoiser *d, error *e)
{
	return d->network != d->whole ||
	       (heard_read(&d->heard, d->whole, e) &&
	           (!d->shallow || graph_pass(d->whole->g, d->whole->feature, d->shallow->g, d->shallow->in[9], e)));
}

bool denoiser_call(void *context, int step, path_point at, const float *x, float *out, float *unconditional, error *e)
{
	denoiser *d = context;
	char what[96];
	int of_all = step + d->first_step;
	if (is_refined(d, of_all) && !hand_over(d, e)) return false;
	const job *j = d->jobs[0];
	size_t n = j->positions * (size_t)j->channels, branches = (size_t)j->text.branches;
	choose_network(d);
	if (!write_conditioning(d, of_all, e) || !write_latents(d, at.t, x, e) || !write_keep(d, 1, e) ||
	    !controls_run(&d->control, step, d->steps - d->first_step, at.t, x, d->network, d->network->in[5],
	        d->network->in[8], e) ||
	    !image_prompts_write(&d->images, step, d->steps - d->first_step, d->network, e) || !stage_run(d->network, e) ||
	    !stage_read(d->network, d->outputs, e) || !after_whole(d, e))
		return false;
	snprintf(
	    what, sizeof what, "denoising step %d of %d (time %g): what the denoiser gives", of_all + 1, d->steps, at.t);
	if (!all_finite(d->outputs, (size_t)d->count * branches * n, what, e)) return false;
	for (size_t k = 0; k < (size_t)d->count; k++)
		finish(d, (int)k, of_all, at, x + k * n, d->outputs + k * branches * n, out + k * n,
		    unconditional ? unconditional + k * n : NULL);
	return !skips_layers(d, of_all) || guide_by_skipping(d, what, out, e);
}
