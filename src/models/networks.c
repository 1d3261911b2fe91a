/* networks.c - a family's networks under their prefixes, and the dry build that lists their parameters. */
#include "models/families.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

tensor family_encode_text(nn *n, const family *f, tensor ids, int skip)
{
	graph *g = n->g;
	const text_config *t = &f->text;
	tensor y = 0;
	push(g, "%s", f->text_prefix);
	if (t->kind == CLIP_TEXT)
		y = clip_final_norm(n, &t->clip, clip_encode(n, &t->clip, ids, skip < 0 ? t->skip : skip).taken);
	else if (t->kind == TRANSFORMER_TEXT)
		y = transformer_encode(n, &t->transformer, ids);
	else
		graph_fail(g, "this model has no text encoder");
	pop(g);
	return cast(g, y, REAL);
}

int family_context_width(const family *f)
{
	return f->text.kind == CLIP_TEXT ? f->text.clip.width : f->text.transformer.width;
}

tensor family_denoise(nn *n, const family *f, tensor x, tensor t, tensor context, tensor y)
{
	push(n->g, "%s", f->unet_prefix);
	tensor out = unet(n, &f->unet, x, t, context, y);
	pop(n->g);
	return out;
}

tensor family_encode_image(nn *n, const family *f, tensor image)
{
	push(n->g, "%s", f->vae_prefix);
	tensor moments = vae_encode(n, &f->vae, image);
	pop(n->g);
	return moments;
}

tensor family_decode_latent(nn *n, const family *f, tensor latent)
{
	push(n->g, "%s", f->vae_prefix);
	tensor image = vae_decode(n, &f->vae, latent);
	pop(n->g);
	return image;
}

/* ── the dry build ── */
typedef struct listing {
	const family *f;
	part part;
	parameter_fn *tell;
	void *context;
	graph *g;
} listing;

static void tell_parameter(void *context, const char *name, shape s, initial start)
{
	listing *l = context;
	if (find(l->g, name)) return; /* told already */
	size_t prefix = strlen(l->f->unet_prefix);
	bool zero = l->part == UNET_PART && unet_starts_at_zero(name + prefix + (prefix > 0));
	l->tell(l->context, &(parameter){ .name = name, .shape = s, .dtype = F32, .start = start, .zero = zero });
}

static void tell_buffers(const listing *l)
{
	const text_config *t = &l->f->text;
	char name[256];
	parameter p = { .name = name, .buffer = true };
	if (l->part != TEXT_PART || t->kind != CLIP_TEXT) return;
	if (t->clip.fused) {
		snprintf(name, sizeof name, "%s.logit_scale", l->f->text_prefix);
		p.dtype = F32;
		p.start = (initial){ CONSTANT_START, 4.6052f }; /* ln 100, where CLIP's training clamps it */
	} else {
		snprintf(name, sizeof name, "%s.text_model.embeddings.position_ids", l->f->text_prefix);
		p.shape = shape2(1, t->clip.positions);
		p.dtype = I64;
		p.start = (initial){ COUNTING_START, 0 };
	}
	l->tell(l->context, &p);
}

/* The smallest inputs that every level can halve. */
static void build(nn *n, const family *f, part p)
{
	graph *g = n->g;
	if (p == UNET_PART) {
		const unet_config *u = &f->unet;
		int side = 1 << (u->levels > 0 ? u->levels - 1 : 0);
		tensor x = input(g, "x", REAL, shape4(1, side, side, u->in_channels)), t = input(g, "t", REAL, shape1(1));
		tensor context = u->context ? input(g, "context", REAL, shape3(1, 1, u->context)) : 0;
		int y = u->vector + u->guidance; /* never both */
		family_denoise(n, f, x, t, context, y ? input(g, "y", REAL, shape2(1, y)) : 0);
	} else if (p == VAE_PART) {
		int side = vae_factor(&f->vae);
		family_encode_image(n, f, input(g, "image", REAL, shape4(1, side, side, f->vae.in_channels)));
		family_decode_latent(n, f, input(g, "latent", REAL, shape4(1, 1, 1, f->vae.latent_channels)));
	} else if (f->text.kind != NO_TEXT) {
		family_encode_text(n, f, input(g, "ids", I32, shape2(1, 1)), -1);
		const clip_config *c = &f->text.clip;
		push(g, "%s", f->text_prefix);
		if (f->text.kind == CLIP_TEXT && c->projection)
			clip_pooled(n, c, input(g, "states", REAL, shape3(1, 1, c->width)), input(g, "last", I32, shape1(1)), true);
		pop(g);
	}
}

bool family_parameters(const family *f, part p, parameter_fn *tell, void *context, error *e)
{
	graph *g = graph_new(REAL);
	if (!g) return fail(e, NO_MEMORY, "out of memory for a graph");
	listing l = { f, p, tell, context, g };
	nn n = { .g = g, .parameter = tell_parameter, .context = &l };
	build(&n, f, p);
	const error *failure = graph_error(g);
	bool fine = !failed(failure) || fail(e, failure->status, "%s", failure->text);
	if (fine) tell_buffers(&l);
	graph_free(g);
	return fine;
}

/* ── starting values ── */
static uint64_t mix(uint64_t x) /* Steele, Lea and Flood 2014: SplitMix64 */
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t stream_of(uint64_t seed, const char *name)
{
	uint64_t h = mix(seed);
	for (; *name; name++) h = mix(h ^ (unsigned char)*name);
	return h;
}

static double unit(uint64_t stream, uint64_t i) { return ((double)(mix(stream + i) >> 11) + 0.5) * 0x1p-53; }

/* Box and Muller 1958. */
static double normal(uint64_t stream, uint64_t i)
{
	const double two_pi = 6.283185307179586;
	return sqrt(-2 * log(unit(stream, 2 * i))) * cos(two_pi * unit(stream, 2 * i + 1));
}

void parameter_fill(const parameter *p, uint64_t seed, bool zero, void *out)
{
	size_t count = shape_count(p->shape);
	initial start = zero && p->zero ? (initial){ CONSTANT_START, 0 } : p->start;
	if (p->dtype == I64) {
		for (size_t i = 0; i < count; i++) ((int64_t *)out)[i] = (int64_t)i;
		return;
	}
	float *values = out;
	uint64_t stream = stream_of(seed, p->name);
#pragma omp parallel for
	for (size_t i = 0; i < count; i++) {
		double x = 1;
		if (start.kind == UNIFORM_START) x = 2 * unit(stream, i) - 1;
		if (start.kind == NORMAL_START) x = normal(stream, i);
		values[i] = (float)(x * (double)start.value);
	}
}
