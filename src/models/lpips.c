/* lpips.c - the perceptual distance. */
#include "models/lpips.h"
#include <stdio.h>

lpips_layer lpips_layer_at(int i)
{
	static const lpips_layer layers[LPIPS_CONVOLUTIONS] = { { 0, 0 }, { 0, 2 }, { 1, 5 }, { 1, 7 }, { 2, 10 },
		{ 2, 12 }, { 2, 14 }, { 3, 17 }, { 3, 19 }, { 3, 21 }, { 4, 24 }, { 4, 26 }, { 4, 28 } };
	return layers[i];
}

static const initial given = { CONSTANT_START, 0 }; /* the weights always come from a file */

/* Divides each place's channels by their length. The small number under the root keeps the gradient finite where all
 * channels are 0; the other is the original's. */
static tensor normalized(graph *g, tensor x)
{
	x = cast(g, x, REAL);
	shape s = shape_of(g, x);
	tensor squares = sum_to(g, activate(g, x, SQUARE), shape4(s.d[0], s.d[1], s.d[2], 1));
	tensor length = activate(g, affine(g, squares, 1, 1e-20f), SQRT);
	return mul(g, x, activate(g, affine(g, length, 1, 1e-10f), RECIPROCAL));
}

/* The normalized features of the five stages. */
static void features(nn *n, const lpips_config *c, tensor x, tensor *out)
{
	graph *g = n->g;
	tensor shift = nn_vector(n, "scaling_layer.shift", 3, given), scale = nn_vector(n, "scaling_layer.scale", 3, given);
	x = mul(g, add(g, x, affine(g, shift, -1, 0)), activate(g, scale, RECIPROCAL));
	x = cast(g, x, graph_compute(g));
	for (int i = 0; i < LPIPS_CONVOLUTIONS; i++) {
		lpips_layer l = lpips_layer_at(i);
		bool first = i > 0 && l.stage != lpips_layer_at(i - 1).stage;
		bool last = i + 1 == LPIPS_CONVOLUTIONS || l.stage != lpips_layer_at(i + 1).stage;
		if (first) x = pool(g, x, true, 2);
		push(g, "net.slice%d", l.stage + 1);
		char name[16];
		snprintf(name, sizeof name, "%d", l.feature);
		x = activate(g, nn_conv2d(n, name, x, c->width[l.stage], 3), RELU);
		pop(g);
		if (last) out[l.stage] = normalized(g, x);
	}
}

tensor lpips(nn *n, const lpips_config *c, tensor a, tensor b)
{
	graph *g = n->g;
	tensor of_a[LPIPS_STAGES], of_b[LPIPS_STAGES], sum = 0;
	features(n, c, a, of_a);
	features(n, c, b, of_b);
	for (int i = 0; i < LPIPS_STAGES; i++) {
		int width = c->width[i];
		push(g, "lin%d.model.1", i);
		tensor w = reshape(g, nn_parameter(n, "weight", shape4(1, width, 1, 1), given), shape1(width));
		pop(g);
		tensor distance = mul(g, activate(g, sub(g, of_a[i], of_b[i]), SQUARE), cast(g, w, REAL));
		distance = affine(g, mean_all(g, distance), (float)width, 0); /* a sum over the channels, a mean of the rest */
		sum = sum ? add(g, sum, distance) : distance;
	}
	return sum;
}
