/* denoiser.c - which function builds which kind of denoiser. */
#include "models/denoiser.h"

denoiser_sizes denoiser_sizes_of(const denoiser_config *c)
{
	switch (c->kind) {
	case UNET: {
		const unet_config *u = &c->unet;
		return (denoiser_sizes){ u->in_channels, u->out_channels, u->context, u->vector, u->guidance };
	}
	case MMDIT: {
		const mmdit_config *m = &c->mmdit;
		return (denoiser_sizes){ m->channels, m->channels, m->context, m->vector, 0 };
	}
	}
	return (denoiser_sizes){ 0 };
}

int denoiser_patch(const denoiser_config *c) { return c->kind == MMDIT ? c->mmdit.patch : 1; }

tensor denoiser_build(nn *n, const denoiser_config *c, denoiser_inputs in)
{
	switch (c->kind) {
	case UNET: return unet(n, &c->unet, in);
	case MMDIT: return mmdit(n, &c->mmdit, in);
	}
	return 0;
}

/* Pixels to a side of the smallest latent. */
static int smallest_side(const denoiser_config *c)
{
	switch (c->kind) {
	case UNET: return 1 << (c->unet.levels > 0 ? c->unet.levels - 1 : 0);
	case MMDIT: return c->mmdit.patch;
	}
	return 1;
}

tensor denoiser_build_dry(nn *n, const denoiser_config *c)
{
	graph *g = n->g;
	denoiser_sizes s = denoiser_sizes_of(c);
	int side = smallest_side(c);
	denoiser_inputs in = { .x = input(g, "x", REAL, shape4(1, side, side, s.in_channels)),
		.t = input(g, "t", REAL, shape1(1)) };
	if (s.context) in.context = input(g, "context", REAL, shape3(1, 1, s.context));
	if (s.vector) in.vector = input(g, "vector", REAL, shape2(1, s.vector));
	if (s.guidance) in.guidance = input(g, "guidance", REAL, shape2(1, s.guidance));
	return denoiser_build(n, c, in);
}

const char *denoiser_landmark(const denoiser_config *c, shape *s)
{
	switch (c->kind) {
	case UNET: *s = shape4(c->unet.channels, c->unet.in_channels, 3, 3); return "input_blocks.0.0.weight";
	case MMDIT:
		*s = shape4(c->mmdit.width, c->mmdit.channels, c->mmdit.patch, c->mmdit.patch);
		return "x_embedder.proj.weight";
	}
	return "";
}

bool denoiser_starts_at_zero(const denoiser_config *c, const char *name)
{
	switch (c->kind) {
	case UNET: return unet_starts_at_zero(name);
	case MMDIT: return mmdit_starts_at_zero(name);
	}
	return false;
}
