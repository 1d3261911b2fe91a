/* lora_names.h - which weight a LoRA module's name means, for every spelling in use, and the name to save one under. */
#ifndef SUMI_MODELS_LORA_NAMES_H
#define SUMI_MODELS_LORA_NAMES_H
#include "models/diffusers.h"

typedef struct lora_names lora_names;

/* All modules of the family's U-Net and text encoder. NULL: failed. */
lora_names *lora_names_new(const family *f, error *e);
void lora_names_free(lora_names *names);
/* A lora_resolve_fn; context is the lora_names. The spellings:
 *   kohya        lora_unet_down_blocks_0_attentions_0_proj_in, lora_te_text_model_encoder_layers_0_mlp_fc1,
 *                and with the original's names: lora_unet_input_blocks_1_1_proj_in
 *   PEFT         unet.down_blocks.0.attentions.0.proj_in, text_encoder.text_model.…; "base_model.model." before it,
 *                and of one network alone: base_model.model.down_blocks.0.…
 *   diffusers    ….attn1.processor.to_q, with and without "unet."
 *   ComfyUI      diffusion_model.input_blocks.1.1.proj_in, text_encoders.clip_l.transformer.text_model.…
 *   LyCORIS      lycoris_down_blocks_0_attentions_0_proj_in
 *   the weight's own name, as in a checkpoint
 *   cloneofsimo  unet:12, text_encoder:3: the linear layers of the attention (and GEGLU) classes, counted */
lora_target lora_names_find(void *names, const char *module);
/* How the modules of a file are spelled. */
typedef enum lora_spelling {
	KOHYA_NAMES, /* lora_unet_…, lora_te_… (lora_te1_…, lora_te2_… of families with several encoders), underscores: of a
	              * U-Net diffusers' names, but the original's of SDXL, as kohya's scripts have it; of SD 3 the
	              * original's */
	PEFT_NAMES, /* unet.…, transformer.…, text_encoder.…, text_encoder_2.…: diffusers' names with dots */
} lora_spelling;
/* The modules of a weight of the single-file layout: how many, 0 where there are none, as of blocks that nothing reads.
 * A fused weight (OpenCLIP's in_proj; of SD 3 in diffusers' names qkv) is several, each some of its rows. */
int lora_modules_of(
    const family *f, const char *weight, shape s, lora_spelling spelling, key_piece modules[MAX_PIECES]);

/* Where a weight lies, for the choice of what a file holds: kohya's scripts take the first three (of T5 if asked), and
 * residual blocks where convolutions are wanted. */
typedef enum lora_layer {
	NO_LORA_LAYER,          /* no linear layer, no convolution of two axes, or a table, or read by nothing */
	LORA_OF_CLIP,           /* attention and MLP of a text encoder */
	LORA_OF_T5,             /* the same */
	LORA_OF_TRANSFORMER,    /* the denoiser's attention and feed-forward layers, and what leads in and out */
	LORA_OF_RESIDUAL_BLOCK, /* of a U-Net: residual blocks, and what halves and doubles maps */
	LORA_OF_OTHER,          /* embeddings of time and labels, first and last layers */
} lora_layer;
lora_layer lora_layer_of(const family *f, const char *weight, shape s);

#endif
