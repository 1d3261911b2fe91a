/* adapter_config.h - what a LoRA file's alphas are where no tensor says it: PEFT writes them into adapter_config.json
 * in the folder of its weights, diffusers into the file's metadata. */
#ifndef SUMI_CHECKPOINT_ADAPTER_CONFIG_H
#define SUMI_CHECKPOINT_ADAPTER_CONFIG_H
#include "io/weights.h"
#include "nn/lora.h"

/* Sets the alphas of the modules that have none. Read are, the first that is there,
 *   adapter_config.json of `folder` (NULL: none),
 *   the metadata "lora_adapter_metadata": JSON whose keys begin with the network's name, "unet.lora_alpha",
 *   the metadata "lora_alpha", with "alpha_pattern" and "use_rslora".
 * `doubt` gets a warning if a setting cannot be used, else "". False: adapter_config.json is no JSON, or
 * memory is out. */
bool adapter_config_apply(lora *set, const weights *file, const char *folder, char *doubt, size_t size, error *e);

#endif
