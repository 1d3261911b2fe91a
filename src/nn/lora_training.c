/* lora_training.c - the paths that a LoRA training adds in parallel to the chosen layers. */
#include "nn/lora.h"
#include <stdio.h>

static bool wanted(graph *g, const lora_training *t, const char *name, shape s)
{
	if (!t) return false;
	char whole[1024];
	snprintf(whole, sizeof whole, "%s%s", scope_of(g), name);
	return !t->chosen || t->chosen(t->context, whole, s);
}

static tensor factor(graph *g, const char *name, const char *part, shape s)
{
	char whole[256];
	snprintf(whole, sizeof whole, "%s.%s", name, part);
	tensor p = param(g, whole, s);
	set_trainable(g, p, true);
	return cast(g, p, graph_compute(g));
}

static tensor drop(graph *g, const lora_training *t, const char *name, tensor h)
{
	if (!h || !(t->dropout > 0)) return h;
	char whole[256];
	snprintf(whole, sizeof whole, "%s.lora_dropout", name);
	return mul(g, h, cast(g, input(g, whole, REAL, shape_of(g, h)), dtype_of(g, h)));
}

static tensor raise(graph *g, const lora_training *t, const char *name, tensor h, shape up, tensor y)
{
	h = linear(g, drop(g, t, name, h), factor(g, name, "lora_up", up), 0);
	return add(g, y, affine(g, h, t->alpha / (float)t->rank, 0));
}

tensor lora_linear(graph *g, const lora_training *t, const char *name, tensor x, tensor y)
{
	int in = dim(g, x, -1), out = dim(g, y, -1);
	if (!wanted(g, t, name, shape2(out, in))) return y;
	tensor h = linear(g, x, factor(g, name, "lora_down", shape2(t->rank, in)), 0);
	return raise(g, t, name, h, shape2(out, t->rank), y);
}

tensor lora_conv2d(
    graph *g, const lora_training *t, const char *name, tensor x, tensor y, int size, int stride, int before, int after)
{
	int in = dim(g, x, -1), out = dim(g, y, -1);
	if (!wanted(g, t, name, shape4(out, in, size, size))) return y;
	tensor down = factor(g, name, "lora_down", shape4(t->rank, in, size, size));
	tensor h = conv2d(g, x, down, 0, stride, before, before, after, after);
	return raise(g, t, name, h, shape2(out, t->rank), y);
}
