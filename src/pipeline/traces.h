/* traces.h - what adapters and learned words leave in a picture's parameters, as A1111 writes it: the tags that ask for
 * LoRA files, and the hashes by which readers find the same files again. */
#ifndef SUMI_PIPELINE_TRACES_H
#define SUMI_PIPELINE_TRACES_H
#include "checkpoint/model.h"
#include "pipeline/parameters.h"

/* The file that <lora:NAME> means: NAME with one of the endings, or a folder, in the model's folder of LoRAs. A prompt
 * may come from anywhere, so a name is no path. False with the reason. */
bool lora_path(const model *m, const char *name, char *path, size_t size, error *e);

/* parameters_begin() with a tag at the prompt's end for each LoRA that was given with the model and not in the prompt.
 */
void trace_prompts(parameters *p, const model *m, const sumi_options *o);
/* "Lora hashes" and "TI hashes" of what was used: twelve digits of a LoRA's data and of a word's file. Reads the files
 * that were not hashed before. */
void trace_hashes(parameters *p, const model *m, const sumi_options *o);

#endif
