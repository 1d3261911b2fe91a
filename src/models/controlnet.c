/* controlnet.c - the control network, of the U-Net's own blocks. */
#include "models/controlnet.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

controlnet_config controlnet_for(const unet_config *c, int latent_channels)
{
	controlnet_config y = { .unet = *c, .hint_channels = 3, .hint_width = { 16, 16, 32, 32, 96, 96, 256 } };
	y.unet.in_channels = latent_channels;
	y.unet.guidance = 0;
	return y;
}

double control_share(control_mode mode, int output, int outputs)
{
	if (mode == CONTROL_GUESS) return pow(10, outputs > 1 ? (double)output / (outputs - 1) - 1 : 0);
	return mode == CONTROL_BALANCED ? 1 : pow(0.825, outputs - 1 - output);
}

bool control_conditional_only(control_mode mode) { return mode == CONTROL_HINT || mode == CONTROL_GUESS; }

int controlnet_outputs(const controlnet_config *c) { return unet_skips(&c->unet) + 1; }

bool controlnet_starts_at_zero(const char *name)
{
	return !strncmp(name, "zero_convs.", 11) || !strncmp(name, "middle_block_out.", 17) ||
	       !strncmp(name, "input_hint_block.14.", 20);
}

/* Eight convolutions, of which each second halves the size from the third on: → [N,H,W,channels]. */
static tensor encode_hint(nn *n, const controlnet_config *c, tensor hint)
{
	graph *g = n->g;
	char name[8];
	tensor x = cast(g, hint, graph_compute(g));
	push(g, "input_hint_block");
	for (int i = 0; i <= HINT_LAYERS; i++) {
		int width = i < HINT_LAYERS ? c->hint_width[i] : c->unet.channels, stride = i && i % 2 == 0 ? 2 : 1;
		snprintf(name, sizeof name, "%d", 2 * i);
		x = nn_conv2d_strided(n, name, x, width, 3, stride, 1, 1, true);
		if (i < HINT_LAYERS) x = activate(g, x, SILU);
	}
	pop(g);
	return x;
}

static tensor zero_conv(nn *n, const char *name, tensor x)
{
	graph *g = n->g;
	return cast(g, nn_conv2d(n, name, cast(g, x, graph_compute(g)), dim(g, x, -1), 1), REAL);
}

bool controlnet(nn *n, const controlnet_config *c, denoiser_inputs in, tensor hint, tensor *out)
{
	unet_half h;
	char name[32];
	tensor added = encode_hint(n, c, hint);
	if (!unet_encode(n, &c->unet, in, added, &h)) return false;
	for (int i = 0; i < h.count; i++) {
		snprintf(name, sizeof name, "zero_convs.%d.0", i);
		out[i] = zero_conv(n, name, h.skips[i]);
	}
	out[h.count] = zero_conv(n, "middle_block_out.0", h.middle);
	return graph_error(n->g)->status == OK;
}

bool controlnet_build_dry(nn *n, const controlnet_config *c)
{
	graph *g = n->g;
	int side = 1 << (c->unet.levels > 0 ? c->unet.levels - 1 : 0);
	tensor out[UNET_SKIPS + 1];
	denoiser_inputs in = { .x = input(g, "x", REAL, shape4(1, side, side, c->unet.in_channels)),
		.t = input(g, "t", REAL, shape1(1)) };
	if (c->unet.context) in.context = input(g, "context", REAL, shape3(1, 1, c->unet.context));
	if (c->unet.vector) in.vector = input(g, "vector", REAL, shape2(1, c->unet.vector));
	int size = side * HINT_FACTOR;
	return controlnet(n, c, in, input(g, "hint", REAL, shape4(1, size, size, c->hint_channels)), out);
}
