/* adversary.c - discriminator, hinge loss and adaptive weight. */
#include "train/objective/adversary.h"
#include <string.h>

/* ── weights ── */
typedef struct adding {
	learner *m;
	tensor_lookup *lookup;
	void *context;
	uint64_t seed;
	error *e;
} adding;

static void add_weight(void *context, const char *name, shape s, initial start)
{
	adding *a = context;
	if (failed(a->e) || learner_find(a->m, name) || !learner_add(a->m, name, s, 0, a->e)) return;
	learner_weight *w = learner_find(a->m, name);
	w->group = 1;
	dtype d;
	shape found;
	const void *data;
	if (a->lookup && a->lookup(a->context, name, &d, &found, &data) && shape_same(found, s) && dtype_is_float(d)) {
		convert(w->value, F32, data, d, shape_count(s));
		return;
	}
	bool bias = strlen(name) > 5 && !strcmp(name + strlen(name) - 5, ".bias");
	parameter p = { .name = name, .shape = s, .dtype = F32, .start = { NORMAL_START, 0.02f } };
	if (bias) p.start = start; /* PyTorch's own */
	parameter_fill(&p, a->seed, false, w->value);
	for (size_t i = 0; s.n == 1 && !bias && i < shape_count(s); i++) w->value[i] += 1; /* a norm's factors */
}

bool adversary_open(adversary *a, learner *m, tensor_lookup *lookup, void *context, uint64_t seed, error *e)
{
	error own = { 0 };
	adding into = { m, lookup, context, seed, &own };
	graph *g = graph_new(REAL);
	if (!g) return fail(e, NO_MEMORY, "no memory for the discriminator");
	nn n = { .g = g, .parameter = add_weight, .context = &into };
	int side = discriminator_least_side(&a->config);
	push(g, "%s", a->scope);
	discriminator(&n, &a->config, input(g, "picture", REAL, shape4(1, side, side, m->family.autoencoder.out_channels)));
	pop(g);
	if (!failed(&own) && failed(graph_error(g))) own = *graph_error(g);
	graph_free(g);
	return !failed(&own) || fail(e, own.status, "%s", own.text);
}

/* ── losses ── */
static tensor inner_product(graph *g, tensor a, tensor b)
{
	return affine(g, mean_all(g, mul(g, a, b)), (float)shape_count(shape_of(g, a)), 0);
}

/* Length of the gradient that the last layer's weight gets where the decoded pictures get `of_picture`. */
static tensor last_layer_norm(graph *g, tensor picture, tensor of_picture, tensor last, float factor)
{
	tensor d;
	if (!gradients(g, inner_product(g, picture, detach(g, of_picture)), &last, 1, &d)) return 0;
	return affine(g, activate(g, inner_product(g, d, d), SQRT), factor, 0);
}

/* min(a / (b + 1e-4), 1e4), as 1 / max((b + 1e-4) / a, 1e-4): so that no digit is lost where it is small. */
static tensor limited_ratio(graph *g, tensor a, tensor b)
{
	tensor inverse = mul(g, affine(g, b, 1, 1e-4f), activate(g, a, RECIPROCAL));
	tensor limited = affine(g, activate(g, affine(g, inverse, 1, -1e-4f), RELU), 1, 1e-4f);
	return activate(g, limited, RECIPROCAL);
}

static tensor hinge(graph *g, tensor logits, float sign)
{
	return affine(g, mean_all(g, activate(g, affine(g, logits, sign, 1), RELU)), 0.5f, 0);
}

contest adversary_build(const adversary *a, nn *n, tensor image, tensor picture, tensor fake, tensor nll, tensor last)
{
	graph *g = n->g;
	contest c = { 0 };
	push(g, "%s", a->scope);
	tensor real_logits = discriminator(n, &a->config, image), fake_logits = discriminator(n, &a->config, fake);
	pop(g);
	c.hinge = add(g, hinge(g, real_logits, -1), hinge(g, fake_logits, 1));
	c.generator = affine(g, mean_all(g, fake_logits), -1, 0);
	tensor of_nll, of_generator;
	if (!gradients(g, nll, &fake, 1, &of_nll) || !gradients(g, c.generator, &fake, 1, &of_generator)) return c;
	shape s = shape_of(g, picture);
	float values = (float)(s.d[1] * s.d[2] * s.d[3]); /* nll is a mean over them, the original's a sum */
	tensor nll_norm = last_layer_norm(g, picture, of_nll, last, values);
	tensor generator_norm = last_layer_norm(g, picture, of_generator, last, 1);
	c.weight = detach(g, affine(g, limited_ratio(g, nll_norm, generator_norm), (float)a->weight, 0));
	tensor weighted = affine(g, mul(g, of_generator, c.weight), 1 / values, 0);
	c.pull = inner_product(g, picture, detach(g, add(g, of_nll, weighted)));
	return c;
}
