/* trial.h - a network built on golden weights, run on golden inputs and compared with golden outputs and gradients.
 * Goldens are [N,C,H,W] where ours are [N,H,W,C]: every golden tensor of four axes that is not a weight is converted.
 */
#ifndef SUMI_TESTS_TRIAL_H
#define SUMI_TESTS_TRIAL_H
#include "arrays.h"
#include "goldens.h"
#include "nn/nn.h"

typedef struct trial trial;

/* Weights are bound by their names in `weights`, which must outlive the trial. */
trial *trial_new(const char *name, dtype compute, const arrays *weights, const adapted *adapters, int adapter_count);
/* Weights come from this function instead of `weights`, which may be NULL then. */
void trial_bind(trial *t, bind_fn *bind, void *context);
nn *trial_nn(trial *t);
/* An input with the value of a golden tensor: ids as I32, all else in full precision. */
tensor trial_input(trial *t, const arrays *from, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* An input with a value of the test's own, which must outlive the trial. */
tensor trial_value(trial *t, const char *name, dtype d, shape s, const void *data);
/* The result is to be compared with a golden tensor; nothing happens where there is no such tensor. */
void trial_expect(trial *t, tensor result, const arrays *golden, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Block results from nn.block are compared too, by the scope's name behind the prefix: "input_blocks.3" with
 * "a.block.input.3". `rename` writes the golden's name, or "" for none. */
void trial_expect_blocks(trial *t, const arrays *golden, void (*rename)(const char *scope, char *name, size_t size));
/* The gradients of the loss, compared with "grad.<name>" of `full` (of weights and of the inputs made from a tensor
 * "x" or "a.x") and with the l2, the absmax and the first4 of every parameter in `summary`. */
void trial_expect_gradients(trial *t, tensor loss, const arrays *full, const json_t *summary);
/* Runs and reports, a line for each output and one for all gradients in full and one for all summaries; then frees. */
void trial_end(trial *t, report *r, double tolerance);

#endif
