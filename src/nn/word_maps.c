/* word_maps.c - a word's share of attention by attention itself: softmax(q·kᵀ)·values, where the values of a token are
 * 1 for the words that it belongs to. So the fused kernels do it, and no matrix of queries × keys is made. */
#include "nn/word_maps.h"

/* marks [N,T,n ≤ d] → values for every head, [N,keys,heads·d] */
static tensor values_of(graph *g, tensor marks, tensor k, int heads)
{
	int batch = dim(g, k, 0), keys = dim(g, k, 1), d = dim(g, k, 2) / heads;
	tensor v = cast(g, pad(g, pad(g, marks, 2, 0, d), 1, 0, keys), dtype_of(g, k));
	v = spread(g, reshape(g, v, shape4(batch, keys, 1, d)), shape4(batch, keys, heads, d));
	return reshape(g, v, shape3(batch, keys, heads * d));
}

/* → [N,places,n], the mean over heads */
static tensor shares(graph *g, tensor marks, tensor q, tensor k, int heads, float scale)
{
	int batch = dim(g, q, 0), places = dim(g, q, 1), d = dim(g, q, 2) / heads, n = dim(g, marks, 2);
	tensor y = attention(g, q, k, values_of(g, marks, k, heads), heads, scale, false);
	y = slice(g, reshape(g, y, shape4(batch, places, heads, d)), 3, 0, n);
	y = sum_to(g, cast(g, y, REAL), shape4(batch, places, 1, n));
	return affine(g, reshape(g, y, shape3(batch, places, n)), 1 / (float)heads, 0);
}

static word_map *map_of(graph *g, word_maps *y)
{
	for (int i = 0; i < y->count; i++)
		if (y->of[i].rows == y->rows && y->of[i].columns == y->columns) return &y->of[i];
	if (y->count == WORD_MAP_SIZES) return graph_fail(g, "attention on more than %d sizes", WORD_MAP_SIZES), NULL;
	y->of[y->count] = (word_map){ y->rows, y->columns, 0 };
	return &y->of[y->count++];
}

void word_maps_add(graph *g, word_maps *y, tensor q, tensor k, int heads, float scale)
{
	word_map *map = y && q && k ? map_of(g, y) : NULL;
	if (!map) return;
	int d = dim(g, q, 2) / heads, words = dim(g, y->marks, 2);
	tensor all = 0;
	for (int first = 0; first < words; first += d) {
		int n = words - first < d ? words - first : d;
		tensor some = shares(g, slice(g, y->marks, 2, first, n), q, k, heads, scale);
		all = all ? concat(g, all, some, 2) : some;
	}
	map->sum = map->sum ? add(g, map->sum, all) : all;
	y->layers++;
}

void word_maps_join(graph *g, word_maps *y)
{
	for (int i = 0; i < y->count; i++) {
		tensor flat = reshape(g, y->of[i].sum, shape1(-1));
		y->all = y->all ? concat(g, y->all, flat, 0) : flat;
	}
}
