/* memory_plan.c - a plan's sum, its text, and what there is for it. */
#include "train/run/memory_plan.h"
#include "base/resources.h"
#include <stdio.h>

size_t memory_plan_total(const memory_plan *p) { return p->weights + p->optimizer + p->frozen + p->values + p->others; }

void memory_plan_text(const memory_plan *p, char text[200])
{
	double unit = 1 << 20;
	int n = snprintf(text, 200,
	    "%.0f of trained weights, %.0f of the optimizer, %.0f of frozen weights, %.0f of values and gradients",
	    (double)p->weights / unit, (double)p->optimizer / unit, (double)p->frozen / unit, (double)p->values / unit);
	if (p->others && n < 200) snprintf(text + n, 200 - (size_t)n, ", %.0f of text encoders", (double)p->others / unit);
}

bool memory_plan_fits(const memory_plan *p, const device *d, bool more, int count, int height, int width, error *e)
{
	double unit = 1 << 20;
	uint64_t needed = memory_plan_total(p), available = device_available(d), free_here = memory_available();
	char text[200];
	memory_plan_text(p, text);
	if (d && p->weights > free_here)
		return fail(e, NO_MEMORY, "%.0f MiB of trained weights lie in the system's memory too, which has %.0f MiB",
		    (double)p->weights / unit, (double)free_here / unit);
	return needed <= available ||
	       fail(e, NO_MEMORY,
	           "%.0f MiB %sare needed for batches of %d of %dx%d (%s), %s has %.0f MiB: smaller batches, "
	           "--gradient_checkpointing, --optimizer adamw8bit or --mixed_precision bf16 need less",
	           (double)needed / unit, more ? "more " : "", count, width, height, text, device_owner(d),
	           (double)available / unit);
}
