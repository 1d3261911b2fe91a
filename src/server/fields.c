/* fields.c - typed reading of JSON. Numbers may be written as 7 or 7.0, as clients of every language do. */
#include "server/fields.h"
#include "base/base64.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_GIVEN_PIXELS = 1 << 26 }; /* of a picture in a request: 8192 x 8192 */

void problem_set(problem *p, int status, const char *field, const char *format, ...)
{
	va_list list;
	if (p->status) return;
	p->status = status;
	snprintf(p->field, sizeof p->field, "%s", field);
	va_start(list, format);
	vsnprintf(p->text, sizeof p->text, format, list);
	va_end(list);
	json_t *text = json_string(p->text);
	for (char *at = p->text; !text && *at; at++) /* not UTF-8, as where it was cut: there is no JSON of it */
		if ((unsigned char)*at > 126) *at = '?';
	json_decref(text);
}

static const json_t *field_of(const json_t *o, const char *name, const problem *p)
{
	const json_t *v = p->status ? NULL : json_object_get(o, name);
	return json_is_null(v) ? NULL : v;
}

void field_text(const json_t *o, const char *name, const char **value, problem *p)
{
	const json_t *v = field_of(o, name, p);
	if (!v) return;
	const char *text = json_string_value(v);
	if (!text)
		problem_set(p, 422, name, "%s is not a text", name);
	else if (strlen(text) != json_string_length(v))
		problem_set(p, 422, name, "%s holds a zero byte", name);
	else
		*value = text;
}

void field_number(const json_t *o, const char *name, double low, double high, double *value, problem *p)
{
	const json_t *v = field_of(o, name, p);
	if (!v) return;
	double x = json_number_value(v);
	if (!json_is_number(v))
		problem_set(p, 422, name, "%s is not a number", name);
	else if (!(x >= low && x <= high))
		problem_set(p, 422, name, "%s is %g, expected %g to %g", name, x, low, high);
	else
		*value = x;
}

void field_integer(const json_t *o, const char *name, int64_t low, int64_t high, int64_t *value, problem *p)
{
	const json_t *v = field_of(o, name, p);
	if (!v) return;
	double x = json_number_value(v);
	if (!json_is_number(v) || (json_is_real(v) && x != trunc(x)))
		problem_set(p, 422, name, "%s is not a whole number", name);
	else if (json_is_integer(v) ? json_integer_value(v) < low || json_integer_value(v) > high
	                            : !(x >= (double)low && x < (double)high + 1))
		problem_set(p, 422, name, "%s is %.19g, expected %lld to %lld", name, x, (long long)low, (long long)high);
	else
		*value = json_is_integer(v) ? json_integer_value(v) : (int64_t)x;
}

void field_flag(const json_t *o, const char *name, bool *value, problem *p)
{
	const json_t *v = field_of(o, name, p);
	if (!v) return;
	if (!json_is_boolean(v))
		problem_set(p, 422, name, "%s is neither true nor false", name);
	else
		*value = json_is_true(v);
}

void picture_from(const char *name, const void *bytes, size_t count, sumi_image **value, problem *p)
{
	sumi_error e = { 0 };
	int width = 0, height = 0;
	if (p->status) return;
	if (sumi_image_size_of(bytes, count, &width, &height) && (int64_t)width * height > MOST_GIVEN_PIXELS) {
		problem_set(p, 422, name, "%s has %d x %d pixels, %d are read at most", name, width, height, MOST_GIVEN_PIXELS);
		return;
	}
	sumi_image *picture = sumi_image_decode(bytes, count, &e);
	if (!picture) {
		problem_set(p, e.status == SUMI_NO_MEMORY ? 507 : 400, name, "%s: %.400s", name, e.text);
		return;
	}
	sumi_image_free(*value);
	*value = picture;
}

void field_picture(const json_t *o, const char *name, sumi_image **value, problem *p)
{
	const char *text = NULL;
	size_t count = 0;
	field_text(o, name, &text, p);
	if (!text) return;
	if (!strncasecmp(text, "http://", 7) || !strncasecmp(text, "https://", 8)) {
		problem_set(
		    p, 422, name, "%s is an address, which this server does not fetch; expected a picture in base64", name);
		return;
	}
	unsigned char *bytes = base64_decode(text, &count);
	if (!bytes)
		problem_set(p, 422, name, "%s is not base64", name);
	else
		picture_from(name, bytes, count, value, p);
	free(bytes);
}

json_t *bytes_json(const void *bytes, size_t count)
{
	char *text = base64_encode(bytes, count);
	json_t *value = text ? json_string(text) : NULL;
	free(text);
	return value;
}

json_t *picture_json(const sumi_image *picture, const char *format, int quality)
{
	unsigned char *bytes = NULL;
	size_t count = 0;
	json_t *value = sumi_image_encode(picture, format, quality, &bytes, &count, NULL) ? bytes_json(bytes, count) : NULL;
	sumi_free(bytes);
	return value;
}
