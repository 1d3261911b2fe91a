/* info.c - sumi_info: what a file is, in lines. */
#include "base/buffer.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/files.h"
#include "checkpoint/hash.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void line(buffer *l, const char *format, ...)
{
	char one[1200];
	va_list list;
	va_start(list, format);
	vsnprintf(one, sizeof one - 1, format, list);
	va_end(list);
	strcat(one, "\n");
	buffer_add_text(l, one);
}

typedef struct tally {
	buffer wrong;
	int counts[FLAWS];
	char first[256];
} tally;

static void add_flaw(void *context, flaw f, const char *text)
{
	tally *t = context;
	if (f != UNEXPECTED && !t->first[0]) snprintf(t->first, sizeof t->first, "%s", text);
	t->counts[f]++;
	line(&t->wrong, "  %s", text);
}

static void count_parameter(void *context, const parameter *p)
{
	if (!p->buffer) *(uint64_t *)context += shape_count(p->shape);
}

static void describe(buffer *l, const checkpoint *c, const char *path, error *e)
{
	const family *f = checkpoint_family(c);
	uint64_t counts[FAMILY_ROLES] = { 0 }, bytes = 0;
	size_t types[DTYPES] = { 0 };
	char text[256] = "", hash[65];
	char absent[160] = "";
	for (role r = 0; r < FAMILY_ROLES; r++) {
		if (checkpoint_component(c, r)->from)
			family_parameters(f, r, count_parameter, &counts[r], e);
		else if (family_has(f, r))
			snprintf(
			    absent + strlen(absent), sizeof absent - strlen(absent), "%s%s", *absent ? ", " : "", role_name(r));
	}
	for (size_t i = 0; i < checkpoint_count(c); i++) {
		const weight *w = checkpoint_at(c, i, NULL);
		types[w->dtype]++;
		bytes += w->bytes;
	}
	for (int d = 0; d < DTYPES; d++)
		if (types[d])
			snprintf(text + strlen(text), sizeof text - strlen(text), "%s%zu %s", *text ? ", " : "", types[d],
			    d == NO_DTYPE ? "of a type that is not computed with" : dtype_name((dtype)d));
	line(l, "file        %s", path);
	line(l, "family      %s, known by %s", f->name, checkpoint_evidence(c));
	uint64_t text_counts = 0;
	for (int i = 0; i < TEXT_ENCODERS; i++) text_counts += counts[TEXT_ENCODER + i];
	line(l, "parameters  %.2f million: %.2f denoiser, %.2f autoencoder, %.2f text encoder",
	    (double)(counts[DENOISER] + counts[AUTOENCODER] + text_counts) / 1e6, (double)counts[DENOISER] / 1e6,
	    (double)counts[AUTOENCODER] / 1e6, (double)text_counts / 1e6);
	if (*absent) line(l, "not in it   %s", absent);
	line(l, "tensors     %zu, %.1f MB: %s", checkpoint_count(c), (double)bytes / 1e6, text);
	line(l, "made for    %d×%d pixels; predicts %s; %s betas %g … %g in %d steps", f->size, f->size,
	    prediction_name(f->prediction), beta_curve_name(f->betas.curve), f->betas.start, f->betas.end, f->betas.count);
	if (file_hash(path, hash)) line(l, "SHA-256     %s", hash);
}

bool file_info(const char *path, char **report, error *e)
{
	buffer l = { 0 };
	tally t = { 0 };
	uint64_t parameters;
	checkpoint *c = checkpoint_open(path, e);
	if (!c) return false;
	describe(&l, c, path, e);
	if (checkpoint_check(c, add_flaw, &t, &parameters, e)) {
		line(&l, "missing     %d", t.counts[MISSING]);
		line(&l, "misshaped   %d", t.counts[MISSHAPED] + t.counts[MISTYPED]);
		line(&l, "unexpected  %d", t.counts[UNEXPECTED]);
		buffer_add(&l, t.wrong.data, t.wrong.size);
	}
	checkpoint_close(c);
	free(t.wrong.data);
	*report = l.data;
	if (l.failed || t.wrong.failed) return fail(e, NO_MEMORY, "out of memory for the report");
	int bad = t.counts[MISSING] + t.counts[MISSHAPED] + t.counts[MISTYPED];
	return bad ? fail(
	                 e, BAD_FILE, "%s: %d tensors are missing or wrong: %s%s", path, bad, t.first, bad > 1 ? "; …" : "")
	           : !failed(e);
}
