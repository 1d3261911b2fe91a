/* fields.h - what a request says, checked: each reader leaves the value alone where the field is absent or null, and
 * does nothing once there is a problem. */
#ifndef SUMI_SERVER_FIELDS_H
#define SUMI_SERVER_FIELDS_H
#include <jansson.h>
#include <stdint.h>
#include <sumi.h>

typedef struct problem { /* zeros: none */
	int status;          /* HTTP's */
	char field[64], text[512];
} problem;

void problem_set(problem *p, int status, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void field_text(const json_t *o, const char *name, const char **value, problem *p);
void field_integer(const json_t *o, const char *name, int64_t low, int64_t high, int64_t *value, problem *p);
void field_number(const json_t *o, const char *name, double low, double high, double *value, problem *p);
void field_flag(const json_t *o, const char *name, bool *value, problem *p);
/* A picture in base64, with or without "data:image/png;base64," before it. *value is replaced; free it. */
void field_picture(const json_t *o, const char *name, sumi_image **value, problem *p);
void picture_from(const char *name, const void *bytes, size_t count, sumi_image **value, problem *p);

json_t *bytes_json(const void *bytes, size_t count); /* as base64. NULL: no memory */
/* A picture as base64 of a file of this format. NULL: no memory. */
json_t *picture_json(const sumi_image *picture, const char *format, int quality);

#endif
