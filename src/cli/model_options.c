/* model_options.c - see model_options.h. */
#include "cli/model_options.h"

sumi_model_options model_options(const model_settings *model, const machine_settings *machine, const sumi_listener *l)
{
	sumi_model_options o = sumi_model_defaults();
	o.type = machine->type;
	o.device = machine->device;
	o.threads = (int)machine->threads;
	o.max_memory = (uint64_t)machine->max_memory;
	o.vae = model->vae;
	o.taesd = model->taesd;
	o.clip_l = model->clip_l;
	o.clip_g = model->clip_g;
	o.t5xxl = model->t5xxl;
	o.prediction = model->prediction;
	o.lora_folder = model->lora_folder;
	o.embedding_folder = model->embedding_folder;
	o.loras = model->loras.item;
	o.lora_count = model->loras.count;
	o.listener = l;
	return o;
}
