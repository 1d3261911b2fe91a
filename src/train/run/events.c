/* events.c - protocol buffers by hand: every message here is a few fields of a few types. */
#include "train/run/events.h"
#include "base/buffer.h"
#include "io/picture.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct events {
	FILE *file;
	char *path;
};

/* ── messages: buffers in the encoding of protocol buffers ── */
static void put_varint(buffer *m, uint64_t x)
{
	uint8_t bytes[10];
	size_t n = 0;
	do {
		bytes[n++] = (uint8_t)((x & 0x7f) | (x > 0x7f ? 0x80 : 0));
		x >>= 7;
	} while (x);
	buffer_add(m, bytes, n);
}

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
static void put_key(buffer *m, int field, int kind) { put_varint(m, (uint64_t)(field << 3 | kind)); }

static void put_whole(buffer *m, int field, int64_t x)
{
	put_key(m, field, VARINT);
	put_varint(m, (uint64_t)x);
}

static void put_double(buffer *m, int field, double x)
{
	put_key(m, field, FIXED64);
	buffer_add(m, &x, sizeof x);
}

static void put_float(buffer *m, int field, float x)
{
	put_key(m, field, FIXED32);
	buffer_add(m, &x, sizeof x);
}

static void put_bytes(buffer *m, int field, const void *bytes, size_t n)
{
	put_key(m, field, BYTES);
	put_varint(m, n);
	buffer_add(m, bytes, n);
}

/* Puts a message within a message, and frees it. */
static void put_message(buffer *m, int field, buffer *inner)
{
	put_bytes(m, field, inner->data, inner->size);
	m->failed |= inner->failed;
	free(inner->data);
}

/* ── records ── */
uint32_t crc32c(const void *bytes, size_t n)
{
	const uint8_t *at = bytes;
	uint32_t c = ~0u;
	while (n--) {
		c ^= *at++;
		for (int k = 0; k < 8; k++) c = c >> 1 ^ (0x82f63b78u & -(c & 1));
	}
	return ~c;
}

static uint32_t masked_crc(const void *bytes, size_t n)
{
	uint32_t c = crc32c(bytes, n);
	return (c >> 15 | c << 17) + 0xa282ead8u;
}

/* Writes an Event that holds `inner` in the field; frees inner. */
static bool write_event(events *v, int64_t step, int field, buffer *inner, error *e)
{
	buffer event = { 0 };
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	put_double(&event, 1, (double)t.tv_sec + 1e-9 * (double)t.tv_nsec);
	if (step) put_whole(&event, 2, step);
	put_message(&event, field, inner);
	uint64_t length = event.size;
	uint32_t head = masked_crc(&length, sizeof length), sum = masked_crc(event.data, event.size);
	bool fine = !event.failed && fwrite(&length, sizeof length, 1, v->file) == 1 &&
	            fwrite(&head, sizeof head, 1, v->file) == 1 &&
	            fwrite(event.data, 1, event.size, v->file) == event.size && fwrite(&sum, sizeof sum, 1, v->file) == 1 &&
	            !fflush(v->file);
	bool memory = !event.failed;
	free(event.data);
	if (!memory) return fail(e, NO_MEMORY, "%s: no memory for an event", v->path);
	return fine || fail(e, errno_status(), "%s: %s", v->path, strerror(errno));
}

events *events_open(const char *folder, int64_t step, error *e)
{
	enum { VERSION = 3, SESSION = 7, STATUS = 1, START = 1 }; /* of Event and of SessionLog */
	static const char version[] = "brain.Event:2";
	char host[128] = "localhost";
	events *v = calloc(1, sizeof *v);
	gethostname(host, sizeof host - 1);
	if (v && asprintf(&v->path, "%s/events.out.tfevents.%010lld.%s.%d", folder, (long long)time(NULL), host,
	             (int)getpid()) < 0)
		v->path = NULL;
	if (!v || !v->path) {
		events_close(v);
		return fail(e, NO_MEMORY, "no memory for the events"), NULL;
	}
	v->file = fopen(v->path, "ab");
	if (!v->file) {
		fail(e, errno_status(), "%s: %s", v->path, strerror(errno));
		events_close(v);
		return NULL;
	}
	buffer name = { 0 }, session = { 0 };
	buffer_add(&name, version, sizeof version - 1);
	put_whole(&session, STATUS, START);
	bool named = write_event(v, 0, VERSION, &name, e), begun = write_event(v, step, SESSION, &session, e);
	if (named && begun) return v;
	events_close(v);
	return NULL;
}

void events_close(events *v)
{
	if (!v) return;
	if (v->file) fclose(v->file);
	free(v->path);
	free(v);
}

enum { SUMMARY = 5, VALUE = 1, TAG = 1, SIMPLE_VALUE = 2, IMAGE = 4 };

bool events_numbers(events *v, int64_t step, int count, const char *const *names, const double *values, error *e)
{
	buffer summary = { 0 };
	for (int i = 0; i < count; i++) {
		buffer value = { 0 };
		put_bytes(&value, TAG, names[i], strlen(names[i]));
		put_float(&value, SIMPLE_VALUE, (float)values[i]);
		put_message(&summary, VALUE, &value);
	}
	return write_event(v, step, SUMMARY, &summary, e);
}

bool events_picture(events *v, int64_t step, const char *name, const void *png, size_t bytes, error *e)
{
	enum { HEIGHT = 1, WIDTH = 2, COLORSPACE = 3, ENCODED = 4, RGB = 3 };
	int width, height;
	if (!picture_size_of(png, bytes, &width, &height)) return fail(e, BAD_FILE, "%s: is no picture", name);
	buffer image = { 0 }, value = { 0 }, summary = { 0 };
	put_whole(&image, HEIGHT, height);
	put_whole(&image, WIDTH, width);
	put_whole(&image, COLORSPACE, RGB);
	put_bytes(&image, ENCODED, png, bytes);
	put_bytes(&value, TAG, name, strlen(name));
	put_message(&value, IMAGE, &image);
	put_message(&summary, VALUE, &value);
	return write_event(v, step, SUMMARY, &summary, e);
}
