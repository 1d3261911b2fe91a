/* ip_adapter_file.h - an IP-Adapter in a file of its own, with the CLIP vision tower that it reads pictures by, in
 * another: opened for the family whose denoiser it prompts, its configuration read from its tensors, and every weight
 * checked. */
#ifndef SUMI_CHECKPOINT_IP_ADAPTER_FILE_H
#define SUMI_CHECKPOINT_IP_ADAPTER_FILE_H
#include "io/weights.h"
#include "models/ip_adapter.h"

enum { MOST_IP_ADAPTERS = 4 };

typedef struct ip_adapter_file ip_adapter_file;

/* vision: a file, or a folder, which may be the "image_encoder" of one. NULL with BAD_FILE: one of the two is not what
 * it should be, or they do not go with each other or with the family. */
ip_adapter_file *ip_adapter_open(const char *path, const char *vision, const family *f, error *e);
void ip_adapter_close(ip_adapter_file *a); /* NULL is fine */

const char *ip_adapter_path(const ip_adapter_file *a);
const char *ip_adapter_vision_path(const ip_adapter_file *a);
const weights *ip_adapter_weights(const ip_adapter_file *a);
const weights *ip_adapter_vision_weights(const ip_adapter_file *a);
const ip_adapter_config *ip_adapter_config_of(const ip_adapter_file *a);
const clip_vision_config *ip_adapter_vision(const ip_adapter_file *a);
int ip_adapter_token_count(const ip_adapter_file *a);

/* Gives a parameter of ip_adapter_tokens(), or of the denoiser's attention to image prompt `which`, its memory; false
 * without a failure: it is another network's. */
bool ip_adapter_bind(
    const ip_adapter_file *a, int which, const char *name, shape s, dtype *d, const void **data, error *e);
/* What will not be read again may leave the memory. */
void ip_adapter_unused(const ip_adapter_file *a, const void *data, size_t bytes);

#endif
