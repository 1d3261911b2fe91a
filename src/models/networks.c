/* networks.c - a family's networks under their prefixes, and the dry build that lists their parameters. */
#include "models/families.h"
#include "base/resources.h"
#include "base/threads.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

text_states family_encode_text(nn *n, const family *f, int encoder, tensor ids, tensor ends, int skip)
{
	push(n->g, "%s", f->prefix[TEXT_ENCODER + encoder]);
	text_states y = text_encode(n, &f->text[encoder], ids, ends, skip);
	pop(n->g);
	return y;
}

tensor family_denoise(nn *n, const family *f, denoiser_inputs in)
{
	push(n->g, "%s", f->prefix[DENOISER]);
	tensor out = denoiser_build(n, &f->denoiser, in);
	pop(n->g);
	return out;
}

typedef tensor part_of_vae(nn *n, const vae_config *c, tensor x);

static tensor autoencoder_part(nn *n, const family *f, part_of_vae *part, tensor x)
{
	push(n->g, "%s", f->prefix[AUTOENCODER]);
	x = part(n, &f->autoencoder, x);
	pop(n->g);
	return x;
}

tensor family_encode_image(nn *n, const family *f, tensor x) { return autoencoder_part(n, f, vae_encode, x); }
tensor family_decode_latent(nn *n, const family *f, tensor x) { return autoencoder_part(n, f, vae_decode, x); }
tensor family_encode_shallow(nn *n, const family *f, tensor x) { return autoencoder_part(n, f, vae_encode_shallow, x); }
tensor family_encode_deep(nn *n, const family *f, tensor x) { return autoencoder_part(n, f, vae_encode_deep, x); }
tensor family_decode_deep(nn *n, const family *f, tensor x) { return autoencoder_part(n, f, vae_decode_deep, x); }
tensor family_decode_shallow(nn *n, const family *f, tensor x) { return autoencoder_part(n, f, vae_decode_shallow, x); }

/* ── the dry builds: one of all that a file holds, and one of what pictures need ── */
typedef struct listing {
	const family *f;
	role role;
	parameter_fn *visit;
	void *context;
	graph *whole, *needed;
} listing;

static void tell_parameter(void *context, const char *name, shape s, initial start)
{
	listing *l = context;
	if (find(l->whole, name)) return; /* listed already */
	parameter p = { .name = name, .shape = s, .dtype = F32, .start = start };
	p.zero = l->role == DENOISER && denoiser_starts_at_zero(&l->f->denoiser, family_name_within(l->f, l->role, name));
	p.optional = l->needed && !find(l->needed, name);
	l->visit(l->context, &p);
}

static void visit_buffers(const listing *l)
{
	if (l->role < TEXT_ENCODER) return;
	const text_config *t = &l->f->text[l->role - TEXT_ENCODER];
	char name[256];
	const char *prefix = l->f->prefix[l->role], *dot = *prefix ? "." : "";
	parameter p = { .name = name, .buffer = true, .optional = true };
	if (t->kind != CLIP_TEXT) return;
	if (t->clip.fused) {
		snprintf(name, sizeof name, "%s%slogit_scale", prefix, dot);
		p.dtype = F32;
		p.start = (initial){ CONSTANT_START, 4.6052f }; /* ln 100, where CLIP's training clamps it */
	} else {
		snprintf(name, sizeof name, "%s%stext_model.embeddings.position_ids", prefix, dot);
		p.shape = shape2(1, t->clip.positions);
		p.dtype = I64;
		p.start = (initial){ COUNTING_START, 0 };
	}
	l->visit(l->context, &p);
}

static void build_autoencoder(nn *n, const vae_config *c)
{
	graph *g = n->g;
	int side = vae_factor(c);
	vae_encode(n, c, input(g, "image", REAL, shape4(1, side, side, c->in_channels)));
	vae_decode(n, c, input(g, "latent", REAL, shape4(1, 1, 1, c->latent_channels)));
}

static void build_whole(nn *n, const family *f, role r)
{
	push(n->g, "%s", f->prefix[r]);
	if (r == DENOISER) denoiser_build_dry(n, &f->denoiser);
	if (r == AUTOENCODER) build_autoencoder(n, &f->autoencoder);
	if (r >= TEXT_ENCODER) text_build_dry(n, &f->text[r - TEXT_ENCODER]);
	pop(n->g);
}

/* Only of a text encoder do files hold more than is read. */
static graph *build_needed(const family *f, role r)
{
	graph *g = graph_new(REAL);
	nn n = { .g = g };
	if (!g) return NULL;
	tensor ids = input(g, "ids", I32, shape2(1, 1)), ends = input(g, "ends", I32, shape1(1));
	family_encode_text(&n, f, r - TEXT_ENCODER, ids, ends, -1);
	return g;
}

bool family_parameters(const family *f, role r, parameter_fn *visit, void *context, error *e)
{
	if (!family_has(f, r)) return true;
	listing l = { f, r, visit, context, graph_new(REAL), r < TEXT_ENCODER ? NULL : build_needed(f, r) };
	nn n = { .g = l.whole, .parameter = tell_parameter, .context = &l };
	bool fine = (l.whole && (l.needed || r < TEXT_ENCODER)) || fail(e, NO_MEMORY, "out of memory for a graph");
	if (fine) build_whole(&n, f, r);
	for (int i = 0; fine && i < 2; i++) {
		const graph *g = i ? l.needed : l.whole;
		if (g && failed(graph_error(g))) fine = fail(e, graph_error(g)->status, "%s", graph_error(g)->text);
	}
	if (fine) visit_buffers(&l);
	graph_free(l.whole);
	graph_free(l.needed);
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

/* T5's copy of its table of tokens has the table's values. */
static uint64_t stream_of(uint64_t seed, const char *name)
{
	static const char copy[] = "encoder.embed_tokens.weight";
	size_t n = strlen(name), m = sizeof copy - 1;
	uint64_t h = mix(seed);
	if (n >= m && !strcmp(name + n - m, copy)) {
		for (size_t i = 0; i < n - m; i++) h = mix(h ^ (unsigned char)name[i]);
		name = "shared.weight";
	}
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

/* A square table of positions [1,side²,width]: sines and cosines of the column, then of the row, `spacing` apart.
 * Source: diffusers' get_2d_sincos_pos_embed. */
static void fill_sinusoids(shape s, double spacing, float *out)
{
	int width = s.d[2], quarter = width / 4, side = (int)lround(sqrt((double)s.d[1]));
	for (int place = 0; place < s.d[1]; place++)
		for (int k = 0; k < width; k++) {
			int at = k < width / 2 ? place % side : place / side, i = k % (width / 2);
			double angle = at * spacing * pow(10000, -(double)(i % quarter) / quarter);
			*out++ = (float)(i < quarter ? sin(angle) : cos(angle));
		}
}

typedef struct filling {
	initial start;
	uint64_t stream;
	float *values;
} filling;

static bool fill_part(const void *context, size_t first, size_t end, int worker)
{
	const filling *f = context;
	(void)worker;
	for (size_t i = first; i < end; i++) {
		double x = 1;
		if (f->start.kind == UNIFORM_START) x = 2 * unit(f->stream, i) - 1;
		if (f->start.kind == NORMAL_START) x = normal(f->stream, i);
		f->values[i] = (float)(x * (double)f->start.value);
	}
	return true;
}

void parameter_fill(const parameter *p, uint64_t seed, bool zero, void *out)
{
	size_t count = shape_count(p->shape);
	if (p->dtype == I64) {
		for (size_t i = 0; i < count; i++) ((int64_t *)out)[i] = (int64_t)i;
		return;
	}
	initial start = zero && p->zero ? (initial){ CONSTANT_START, 0 } : p->start;
	if (start.kind == SINUSOID_START) {
		fill_sinusoids(p->shape, (double)start.value, out);
		return;
	}
	filling f = { start, stream_of(seed, p->name), out };
	parallel_for(usable_cpus(), count, 1 << 14, fill_part, &f);
}
