/* device.c - memory of a device, or of the host where there is none. */
#include "base/memory.h"
#include "base/resources.h"
#include "graph/graph.h"
#include <stdlib.h>
#include <string.h>

void *device_alloc(const device *d, size_t bytes) { return d ? d->alloc(d->context, bytes) : memory_new(bytes); }

void device_free(const device *d, void *p)
{
	if (d)
		d->free(d->context, p);
	else
		free(p);
}

uint64_t device_available(const device *d) { return d ? d->available(d->context) : memory_available(); }
const char *device_owner(const device *d) { return d ? d->name : "the system"; }

bool device_write(const device *d, void *to, const void *from, size_t bytes, error *e)
{
	if (d) return d->upload(d->context, to, from, bytes, e);
	memcpy(to, from, bytes);
	return true;
}

bool device_read(const device *d, void *to, const void *from, size_t bytes, error *e)
{
	if (d) return d->download(d->context, to, from, bytes, e);
	memcpy(to, from, bytes);
	return true;
}
