/* test_threads.c - the pool: every task is done once, whatever becomes of the threads. */
#include "base/threads.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { TASKS = 10007, THREADS = 8 };

/* Linked with --wrap=pthread_create. */
int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x);
static bool no_threads;
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x)
{
	return no_threads ? 11 : __real_pthread_create(t, a, f, x);
}

typedef struct tally {
	size_t grain, count;
	_Atomic unsigned char *times;  /* of each task */
	atomic_int in_worker[THREADS]; /* parts that run with this number now */
	atomic_int mistakes;
	size_t bad; /* the task that fails */
} tally;

static bool tick(const void *context, size_t first, size_t end, int worker)
{
	tally *t = (tally *)(uintptr_t)context;
	if (worker < 0 || worker >= THREADS || atomic_fetch_add(&t->in_worker[worker], 1))
		atomic_fetch_add(&t->mistakes, 1);
	if (first % t->grain || (end - first != t->grain && end != t->count)) atomic_fetch_add(&t->mistakes, 1);
	for (size_t i = first; i < end; i++) atomic_fetch_add(&t->times[i], 1);
	atomic_fetch_sub(&t->in_worker[worker], 1);
	return t->bad < first || t->bad >= end;
}

static bool run(int threads, size_t count, size_t grain)
{
	tally t = { .grain = grain, .count = count, .bad = SIZE_MAX };
	t.times = calloc(count + 1, 1);
	bool fine = parallel_for(threads, count, grain, tick, &t) && !t.mistakes;
	for (size_t i = 0; i < count; i++) fine &= t.times[i] == 1;
	free((void *)t.times);
	return fine;
}

static void test_without_threads(void **state)
{
	(void)state;
	no_threads = true;
	assert_true(run(THREADS, TASKS, 10));
	no_threads = false;
}

static void test_every_task_once(void **state)
{
	(void)state;
	static const size_t counts[] = { 0, 1, 2, 3, 7, 64, TASKS }, grains[] = { 1, 2, 3, 100, 2 * TASKS };
	for (int threads = 1; threads <= THREADS; threads++)
		for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
			for (size_t g = 0; g < sizeof grains / sizeof *grains; g++)
				for (int again = 0; again < 20; again++) assert_true(run(threads, counts[c], grains[g]));
	assert_true(run(1, 5, SIZE_MAX / 2));
}

static void test_failure(void **state)
{
	(void)state;
	for (int threads = 1; threads <= THREADS; threads++) {
		tally t = { .grain = 1, .count = TASKS, .bad = TASKS / 2 };
		t.times = calloc(TASKS, 1);
		assert_false(parallel_for(threads, TASKS, 1, tick, &t));
		assert_int_equal(t.mistakes, 0);
		for (size_t i = 0; i <= t.bad; i++) assert_int_equal(t.times[i], 1);
		if (threads == 1) assert_int_equal(t.times[t.bad + 1], 0);
		free((void *)t.times);
	}
}

static bool nest(const void *context, size_t first, size_t end, int worker)
{
	(void)context, (void)worker;
	for (size_t i = first; i < end; i++)
		if (!run(THREADS, 100 + i, 3)) return false;
	return true;
}

static void test_nested(void **state)
{
	(void)state;
	assert_true(parallel_for(THREADS, 200, 1, nest, NULL));
}

static void *call_often(void *fine)
{
	*(bool *)fine = true;
	for (int i = 0; i < 500; i++) *(bool *)fine &= run(4, 100 + (size_t)i, 7);
	return NULL;
}

static void test_many_callers(void **state)
{
	(void)state;
	enum { CALLERS = 6 };
	pthread_t callers[CALLERS];
	bool fine[CALLERS];
	for (int i = 0; i < CALLERS; i++) assert_int_equal(pthread_create(&callers[i], NULL, call_often, &fine[i]), 0);
	for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
	for (int i = 0; i < CALLERS; i++) assert_true(fine[i]);
}

/* A child has none of the threads. */
static void test_fork(void **state)
{
	(void)state;
	assert_true(run(THREADS, TASKS, 10));
	pid_t child = fork();
	if (!child) _exit(run(THREADS, TASKS, 10) && run(THREADS, TASKS, 10) ? 0 : 1);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
}

static void test_grain(void **state)
{
	(void)state;
	assert_int_equal(grain_for(10, 100), 10);
	assert_int_equal(grain_for(1000, 100), 1);
	assert_int_equal(grain_for(0, 100), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_without_threads), /* first: none has been made */
		cmocka_unit_test(test_every_task_once), cmocka_unit_test(test_failure), cmocka_unit_test(test_nested),
		cmocka_unit_test(test_many_callers), cmocka_unit_test(test_fork), cmocka_unit_test(test_grain) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
