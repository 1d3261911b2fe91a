/* ip_adapters.h - --ip-adapter, --ip-image and --clip-vision as the library takes them. */
#ifndef SUMI_CLI_IP_ADAPTERS_H
#define SUMI_CLI_IP_ADAPTERS_H
#include "cli/options.h"
#include <sumi.h>

enum { MOST_IP_FILES = 4 };

typedef struct ip_adapter_options {
	const sumi_ip_adapter *list[MOST_IP_FILES];
	sumi_ip_adapter each[MOST_IP_FILES];
	char *paths[MOST_IP_FILES];        /* owned */
	sumi_image *images[MOST_IP_FILES]; /* owned */
	int count;
} ip_adapter_options;

/* Reads the pictures: one for each adapter, or one for all; so with the vision towers. Returns an exit code, after a
 * message; 0: fine, or e says what failed. Free it in any case. */
int ip_adapters_read(
    ip_adapter_options *o, const text_list *files, const text_list *images, const text_list *towers, sumi_error *e);
void ip_adapters_free(ip_adapter_options *o);

#endif
