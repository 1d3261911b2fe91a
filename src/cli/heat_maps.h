/* heat_maps.h - the maps of --attention, as pictures in files. */
#ifndef SUMI_CLI_HEAT_MAPS_H
#define SUMI_CLI_HEAT_MAPS_H
#include "cli/options.h"
#include "sumi.h"

/* Writes a map for each word next to the picture's own file, "fox.png": "fox.red.png", and prints their paths. */
void write_heat_maps(const sumi_image *picture, const char *path, const text_list *words, sumi_error *e);

#endif
