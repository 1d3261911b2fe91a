/* word_maps.h - where words are heard: how much each place of a picture attends to the tokens of a word, read off the
 * attention layers while the network runs (DAAM: Tang et al. 2022, arXiv 2210.04885). */
#ifndef SUMI_NN_WORD_MAPS_H
#define SUMI_NN_WORD_MAPS_H
#include "graph/graph.h"

enum { WORD_MAP_SIZES = 16 };

/* The maps of one size, [N,rows·columns,words] in full precision: the sum over layers of the mean over heads of the
 * tokens' probabilities, so at most `layers`. */
typedef struct word_map {
	int rows, columns;
	tensor sum;
} word_map;

typedef struct word_maps {
	tensor marks;      /* the caller's: [N,tokens,words] in full precision, 1 where a token is one of a word, else 0 */
	int rows, columns; /* the network's: the grid on which the places of the next attention lie */
	word_map of[WORD_MAP_SIZES];
	int count, layers;
	tensor all; /* the maps one after the other, flat; 0: none yet, or the caller has none made */
} word_maps;

/* Adds an attention layer. q [N,rows·columns,heads·d], k [N,keys,heads·d]: its first keys are the tokens; to others
 * nothing is marked. y may be NULL: then nothing is done. */
void word_maps_add(graph *g, word_maps *y, tensor q, tensor k, int heads, float scale);
/* After the last: makes `all`. */
void word_maps_join(graph *g, word_maps *y);

#endif
