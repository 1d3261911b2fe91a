/* mmdit_names.h - Stable Diffusion 3's denoiser in diffusers' names. */
#ifndef SUMI_MODELS_MMDIT_NAMES_H
#define SUMI_MODELS_MMDIT_NAMES_H
#include "models/diffusers.h"

/* The pieces of a weight of this name (without the denoiser's prefix) and shape; 0: diffusers has no such weight. */
int mmdit_pieces(const mmdit_config *c, const char *name, shape s, key_piece pieces[MAX_PIECES]);

#endif
