/* adafactor.c - Adafactor without a first moment and with an outside learning rate. A tensor of two axes or more is
 * read as a matrix [first axis, all others] (a convolution's weight as a linear layer on its patches), and of its
 * second moment only the means of rows and columns are kept. */
#include "train/optimize/optimizer_rules.h"
#include <math.h>

#define TINY 1e-30 /* added to squared gradients; the paper's epsilon1 */

static void matrix_of(shape s, size_t *rows, size_t *columns)
{
	*rows = (size_t)s.d[0];
	*columns = shape_count(s) / (*rows ? *rows : 1);
}

static bool factored(shape s)
{
	size_t rows, columns;
	matrix_of(s, &rows, &columns);
	return s.n >= 2 && rows > 1 && columns > 1;
}

int adafactor_pieces(const optimizer_options *o, shape s, optimizer_piece *pieces)
{
	(void)o;
	if (!factored(s)) {
		pieces[0] = (optimizer_piece){ .name = "exp_avg_sq", .dtype = F32, .shape = s };
		return 1;
	}
	size_t rows, columns;
	matrix_of(s, &rows, &columns);
	pieces[0] = (optimizer_piece){ .name = "exp_avg_sq_row", .dtype = F32, .shape = shape1((int)rows) };
	pieces[1] = (optimizer_piece){ .name = "exp_avg_sq_col", .dtype = F32, .shape = shape1((int)columns) };
	return 2;
}

static void update_means(const update *u, size_t rows, size_t columns, double decay, float *row, float *column)
{
	double scale = (double)u->scale;
#pragma omp parallel num_threads(u->options->threads)
	{
#pragma omp for schedule(static)
		for (size_t r = 0; r < rows; r++) {
			double sum = 0;
			for (size_t c = 0; c < columns; c++) {
				double g = (double)u->gradient[r * columns + c] * scale;
				sum += g * g + TINY;
			}
			row[r] = (float)(decay * (double)row[r] + (1 - decay) * sum / (double)columns);
		}
#pragma omp for schedule(static)
		for (size_t c = 0; c < columns; c++) {
			double sum = 0;
			for (size_t r = 0; r < rows; r++) {
				double g = (double)u->gradient[r * columns + c] * scale;
				sum += g * g + TINY;
			}
			column[c] = (float)(decay * (double)column[c] + (1 - decay) * sum / (double)rows);
		}
	}
}

void adafactor_update(const update *u)
{
	/* Beta2 grows with the steps; the update is divided by its root mean square where that is over 1 (threshold d). */
	double decay = 1 - pow(u->step, -0.8);
	size_t rows, columns;
	matrix_of(u->shape, &rows, &columns);
	bool is_factored = factored(u->shape);
	float *row = u->state[0], *column = is_factored ? u->state[1] : NULL;
	double mean_row = 0;
	if (is_factored) {
		update_means(u, rows, columns, decay, row, column);
		for (size_t r = 0; r < rows; r++) mean_row += (double)row[r];
		mean_row /= (double)rows;
	} else {
		for (size_t i = 0; i < u->count; i++) {
			double g = (double)u->gradient[i] * (double)u->scale;
			row[i] = (float)(decay * (double)row[i] + (1 - decay) * (g * g + TINY));
		}
	}
	/* The direction is computed twice rather than stored: once for its size, once to step. */
	double sum = 0, stride = 0;
	float shrink = (float)(1 - (double)u->rate * (double)u->options->weight_decay);
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < u->count; i++) {
			double g = (double)u->gradient[i] * (double)u->scale;
			double v = is_factored ? (double)row[i / columns] * (double)column[i % columns] / mean_row : (double)row[i];
			double direction = g / sqrt(v);
			if (pass == 0)
				sum += direction * direction;
			else
				u->weights[i] = (float)((double)(u->weights[i] * shrink) - stride * direction);
		}
		stride = (double)u->rate / fmax(1, sqrt(sum / (double)u->count));
	}
}
