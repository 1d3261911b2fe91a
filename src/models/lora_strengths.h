/* lora_strengths.h - how strongly a LoRA is applied, as people write it behind the file's name: one number, one for the
 * text encoders and one for the denoiser, one for each block of a U-Net.
 *
 *     0.8                      everywhere
 *     0.5:0.7                  text encoders : denoiser
 *     te=0.5  unet=0.7         the same by name; what is not said is as A1111 has it: the denoiser's is the text
 *                              encoders', and theirs the first number or 1
 *     lbw=1,0,0,1,…            times these: BASE (text encoders), then the U-Net's blocks in order, IN…, M, OUT…: those
 *                              with attention, and the rest get 0 (SD 1 and 2: 17 weights, SDXL: 12), or all of them
 *                              (26, 20). A list in place of a number means the same.
 *
 * Sources: A1111's webui, extensions-builtin/Lora/extra_networks_lora.py; hako-mikan/sd-webui-lora-block-weight. */
#ifndef SUMI_MODELS_LORA_STRENGTHS_H
#define SUMI_MODELS_LORA_STRENGTHS_H
#include "models/families.h"

enum { LORA_BLOCKS = 2 * UNET_SKIPS + 1 }; /* input blocks, the middle block, output blocks */

typedef struct lora_strengths {
	float text, denoiser;
	float base, block[LORA_BLOCKS]; /* factors of these */
	const family *f;
} lora_strengths;

/* Reads what stands between the colons; "" and NULL: 1. BAD_USAGE: it cannot be read, or has not as many weights as the
 * family's U-Net has blocks. */
bool lora_strengths_read(const char *text, const family *f, lora_strengths *w, error *e);
/* A lora_weigh_fn; context is the lora_strengths. */
float lora_strengths_of(void *strengths, const char *weight);

#endif
