/* converting.h - for tests that convert models, and look for the reason where it fails. */
#ifndef SUMI_TESTS_CONVERTING_H
#define SUMI_TESTS_CONVERTING_H
#include "checkpoint/files.h"

/* As sumi_merge(). */
__attribute__((unused)) static bool convert_with(const char *from, const char *to, const char *const *loras, int count,
    const char *type, const char *layout, bool clamp, error *e)
{
	sumi_convert_options o = sumi_convert_defaults();
	o.loras = loras;
	o.lora_count = count;
	o.type = type;
	o.layout = layout;
	o.clamp = clamp;
	return file_convert(from, to, &o, e);
}

#endif
