/* judge.c - nearest neighbours, by comparing with all. */
#include "eval/judge.h"
#include <string.h>

static double squared_distance(const float *a, const float *b, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i += 64) { /* floats in short sums, which vectorise; doubles over them */
		float part = 0;
		for (size_t k = i; k < n && k < i + 64; k++) part += (a[k] - b[k]) * (a[k] - b[k]);
		sum += (double)part;
	}
	return sum;
}

static int nearer_than(const double *distances, int count, double limit)
{
	int n = 0;
	for (int i = 0; i < count; i++) n += distances[i] < limit;
	return n;
}

verdict judge(const references *r, const float *features, int wanted, double *distances)
{
	const example *all = r->set->at, *want = &all[wanted];
	int count = r->set->count, nearest = 0, of_group = wanted;
	for (int i = 0; i < count; i++) {
		distances[i] = squared_distance(features, r->features + (size_t)i * r->width, r->width);
		if (distances[i] < distances[nearest]) nearest = i;
	}
	verdict v = { .nearest = nearest, .rank = nearer_than(distances, count, distances[wanted]) };
	v.group_judged = *want->group && *want->variant;
	if (!v.group_judged) return v;
	for (int i = 0; i < count; i++)
		if (!strcmp(all[i].group, want->group) && distances[i] < distances[of_group]) of_group = i;
	v.group_rank = nearer_than(distances, count, distances[of_group]);
	v.variant = !strcmp(all[of_group].variant, want->variant);
	return v;
}
