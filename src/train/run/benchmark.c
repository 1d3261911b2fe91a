/* benchmark.c - the loader alone. */
#include "train/run/benchmark.h"
#include "base/clock.h"
#include <math.h>

bool benchmark_loader(const data_options *source, int64_t batches, const training_listener *l, error *e)
{
	data *d = data_open(source, e);
	data_batch b;
	bool fine = d != NULL;
	double start = seconds_now(), first = 0;
	for (int64_t i = 0; fine && i < batches; i++) {
		fine = data_next(d, &b, e);
		if (!i) first = seconds_now() - start;
	}
	if (fine) {
		data_counts c = data_counted(d);
		double seconds = fmax(1e-9, seconds_now() - start), each = c.decoding / (double)c.samples;
		training_note(l,
		    "the loader alone: %llu pictures in %.2f s, %.1f images/s by %d threads (first batch %.2f s); "
		    "%.2f ms of work a picture; %llu broken, %llu without caption",
		    (unsigned long long)c.samples, seconds, (double)c.samples / seconds, source->threads, first, 1e3 * each,
		    (unsigned long long)c.broken, (unsigned long long)c.uncaptioned);
	}
	data_close(d);
	return fine;
}
