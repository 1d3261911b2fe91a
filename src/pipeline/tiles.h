/* tiles.h - a network that sees but a neighbourhood of each place, run over a large picture in tiles that overlap:
 * its memory is a tile's. Seams are avoided in two ways.
 *
 * Group norms take the statistics of the whole picture. Each round begins with a sample, one tile of small pieces from
 * all of the picture, whose statistics, corrected by what the whole differed from them in the last round, are used for
 * every tile; what all tiles measure together corrects the next. Three or four rounds agree to 1/500 of a standard
 * deviation, and the last one's results are taken.
 *
 * Each tile is computed with a margin as wide as the network's reach, so that the zeros which convolutions find outside
 * it change no place that is taken from it, and fades into its neighbour.
 *
 * Lengths are in units: the places of the smaller of input and output. */
#ifndef SUMI_PIPELINE_TILES_H
#define SUMI_PIPELINE_TILES_H
#include "pipeline/stage.h"

typedef struct tiles { /* of one axis */
	int length, tile, count;
} tiles;

/* Tiles of at most this length, or of the least, as small as so many of them can be. reach: how many units from a unit
 * lies the farthest of what its result depends on, statistics left out. */
tiles tiles_of(int length, int most, int reach);
int least_tile(int reach); /* shorter ones would be little but margins */

/* A network for a tile: in[0] is the tile, in[1] and in[2] are norms.own and norms.relative; what nn_group_norm()
 * enters is in norms. */
typedef struct tiled_network {
	stage *stage;
	tiles rows, columns;
	int in, out;                   /* places along a side for one unit: of the input, and of the output */
	int in_channels, out_channels; /* values at a place */
} tiled_network;

/* The inputs of such a network: for its build function, before the network itself. */
void tile_inputs(nn *n, stage *s, int rows, int columns);

/* from [rows·in][columns·in][in_channels] → to [rows·out][columns·out][out_channels]. Progress is a step for each tile
 * of a round. */
bool run_tiles(const tiled_network *t, const float *from, float *to, const char *name, const watcher *w, error *e);

#endif
