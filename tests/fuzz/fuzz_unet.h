/* fuzz_unet.h - for targets that build a denoiser: a U-Net that is as small as one can be. */
#ifndef SUMI_TESTS_FUZZ_UNET_H
#define SUMI_TESTS_FUZZ_UNET_H
#include "models/unet.h"

static const unet_config smallest_unet = { .in_channels = 4,
	.out_channels = 4,
	.channels = 2,
	.levels = 1,
	.multiplier = { 1 },
	.blocks = { 1 },
	.attends = { true },
	.depth = { 1 },
	.middle_depth = 1,
	.heads = 1,
	.context = 2,
	.spatial_transformer = true,
	.groups = 1 };

#endif
