/* ip_adapters.h - --ip-adapter and the options that go with it as the library takes them. */
#ifndef SUMI_CLI_IP_ADAPTERS_H
#define SUMI_CLI_IP_ADAPTERS_H
#include "cli/options.h"
#include <sumi.h>

enum { MOST_IP_FILES = 4, MOST_IP_PICTURES = 16 };

/* What was said: one for each adapter, or one for all; masks and blocks may be left out. */
typedef struct ip_adapter_texts {
	text_list files, images, towers, masks, blocks;
} ip_adapter_texts;

typedef struct ip_adapter_options {
	const sumi_ip_adapter *list[MOST_IP_FILES];
	sumi_ip_adapter each[MOST_IP_FILES];
	char *paths[MOST_IP_FILES];                          /* owned */
	sumi_image *images[MOST_IP_FILES][MOST_IP_PICTURES]; /* owned */
	sumi_image *masks[MOST_IP_FILES];                    /* owned */
	int count;
} ip_adapter_options;

/* Reads the pictures. An item of `images` is a file, or several with commas between; of one adapter all items are. An
 * empty mask is none. Returns an exit code, after a message; 0: fine, or e says what failed. Free it in any case. */
int ip_adapters_read(ip_adapter_options *o, const ip_adapter_texts *texts, sumi_error *e);
void ip_adapters_free(ip_adapter_options *o);

#endif
