/* unet_changes.h - what is changed in a U-Net while it draws, without other weights: PAG, FreeU and DeepCache. They are
 * part of its one definition (unet.c), built in where they are asked for. */
#ifndef SUMI_MODELS_UNET_CHANGES_H
#define SUMI_MODELS_UNET_CHANGES_H
#include <stdint.h>
#include "base/error.h"
#include "graph/graph.h"

typedef enum free_u { NO_FREE_U, FREE_U, FREE_U_BY_BLOCK, FREE_U_2 } free_u;

typedef struct unet_changes {
	/* PAG (Ahn et al. 2024): where inputs.keep is 0, self-attention in these places gives its values as they are. Bits:
	 * level i on the way down, 8 + level on the way up, 16 the middle block. */
	uint32_t perturbed;
	/* FreeU (Si et al. 2023): on the way up half of the channels of what comes from below are multiplied by b, and the
	 * four lowest frequencies of the skip by s. The first pair is for maps of 4·channels, the second for 2·channels; by
	 * block (diffusers): for the two lowest levels. Version 2 multiplies by 1 … b, as large as the channels' mean is.
	 */
	free_u free_u;
	float b[2], s[2];
	/* DeepCache (Ma et al. 2023): `shallow` runs the input blocks 0 … branch alone, and the output blocks that read
	 * their skips, from `cached` on: what that output block had read when all ran. Where all run, *feature becomes that
	 * tensor. */
	bool shallow;
	int branch;
	tensor cached;
	tensor *feature; /* may be NULL */
} unet_changes;

enum { PERTURBED_UP = 8, PERTURBED_MIDDLE = 16 };

/* "mid,up_1,down_2", as diffusers numbers its blocks, of a U-Net with so many levels. BAD_USAGE, with the names that
 * there are. */
bool perturbed_from_text(const char *text, int levels, uint32_t *bits, error *e);
/* "1.2,1.4,0.9,0.2": b1, b2, s1, s2; with "v2:" or "blocks:" in front the other kinds. */
bool free_u_from_text(const char *text, unet_changes *c, error *e);

/* "3" or "3:1": how many calls of the network one whole one is followed by, itself counted, 2 … 1000, and the branch, 0
 * … skips − 1 and 0 by default. */
bool deep_cache_from_text(const char *text, int skips, int *interval, int *branch, error *e);

/* FreeU on what comes from below and on the skip, of maps whose skips have so many channels in all. */
void free_u_apply(graph *g, const unet_changes *c, int which, tensor *x, tensor *skip);

#endif
