/* threads.c - the pool. A loop is a record on its caller's stack. The caller hands it to idle helpers, works itself,
 * takes it back from those that have not begun, and waits for the others. One lock guards the list of the idle and
 * every sleep; parts are claimed without it. */
#include "base/threads.h"
#include "base/resources.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { MOST_THREADS = 256 }; /* of a loop */

typedef struct loop {
	part_fn *part;
	const void *context;
	size_t count, grain;
	atomic_size_t next; /* the first unclaimed task */
	atomic_bool failed;
	int taken;       /* by helpers: settled when the caller has taken it back from the others */
	atomic_int left; /* helpers that are done with it */
	bool asleep;     /* the caller; guarded by the lock */
	pthread_cond_t done;
} loop;

typedef struct helper {
	_Atomic(loop *) loop; /* handed to it and not taken yet */
	int worker;           /* its number in that loop */
	bool asleep;          /* guarded by the lock */
	pthread_cond_t work;
	struct helper *next; /* of the idle */
} helper;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static helper *idle; /* the last that finished is the first to be taken: it may be still awake */
static int helpers, cpus;

/* ── waiting ──
 * A kernel follows another within microseconds, sooner than a sleeping thread wakes: so threads spin before they sleep.
 * Where a spinning thread finds that it lost its CPU for a while, other processes need the CPUs, and for some time no
 * thread spins.
 */

enum { SPIN = 50000, LOST = 500000, RESTRAINT = 20000000 }; /* nanoseconds */

static _Atomic int64_t no_spin_before;

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_shortly(void)
{
	for (int i = 0; i < 16; i++)
#if defined __x86_64__
		__builtin_ia32_pause();
#else
		atomic_signal_fence(memory_order_seq_cst);
#endif
}

typedef bool condition(const void *of);

static bool has_work(const void *of)
{
	const helper *h = of;
	return atomic_load_explicit(&h->loop, memory_order_acquire);
}

static bool is_done(const void *of)
{
	const loop *l = of;
	return atomic_load_explicit(&l->left, memory_order_acquire) == l->taken;
}

/* Whether it came true while spinning. */
static bool spin_for(condition *true_now, const void *of)
{
	if (true_now(of)) return true;
	int64_t start = now(), last = start;
	if (start < atomic_load_explicit(&no_spin_before, memory_order_relaxed)) return false;
	while (last - start < SPIN) {
		pause_shortly();
		if (true_now(of)) return true;
		int64_t t = now();
		if (t - last > LOST) {
			atomic_store_explicit(&no_spin_before, t + RESTRAINT, memory_order_relaxed);
			return false;
		}
		last = t;
	}
	return false;
}

/* ── helpers ── */

static void work_on(loop *l, int worker)
{
	while (!atomic_load_explicit(&l->failed, memory_order_relaxed)) {
		size_t first = atomic_fetch_add_explicit(&l->next, l->grain, memory_order_relaxed);
		if (first >= l->count) return;
		size_t end = l->count - first < l->grain ? l->count : first + l->grain;
		if (!l->part(l->context, first, end, worker)) atomic_store(&l->failed, true);
	}
}

static void put_back(helper *h)
{
	h->next = idle;
	idle = h;
}

static void *help(void *argument)
{
	helper *h = argument;
	for (;;) {
		if (!spin_for(has_work, h)) {
			pthread_mutex_lock(&lock);
			h->asleep = true;
			while (!has_work(h)) pthread_cond_wait(&h->work, &lock);
			h->asleep = false;
			pthread_mutex_unlock(&lock);
		}
		loop *l = atomic_exchange(&h->loop, NULL);
		if (!l) continue; /* taken back */
		work_on(l, h->worker);
		pthread_mutex_lock(&lock);
		put_back(h);
		bool wake = l->asleep;
		atomic_fetch_add_explicit(&l->left, 1, memory_order_release); /* a caller that is awake may leave at once */
		if (wake) pthread_cond_signal(&l->done);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

/* One helper more, idle. Signals are for the threads of the program. */
static bool add_helper(void)
{
	enum { STACK = 2 << 20 };
	helper *h = calloc(1, sizeof *h);
	if (!h) return false;
	pthread_attr_t how;
	pthread_t thread;
	sigset_t all, before;
	if (pthread_attr_init(&how)) {
		free(h);
		return false;
	}
	pthread_cond_init(&h->work, NULL);
	pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&how, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	bool fine = !pthread_create(&thread, &how, help, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&how);
	if (!fine) {
		pthread_cond_destroy(&h->work);
		free(h);
		return false;
	}
	put_back(h);
	helpers++;
	return true;
}

/* ── callers ── */

/* Hands the loop to idle helpers, at most `wanted`; how many it were. */
static int hand_out(loop *l, int wanted, helper **to)
{
	int n = 0;
	pthread_mutex_lock(&lock);
	if (!cpus) cpus = usable_cpus();
	int most = wanted > cpus - 1 ? wanted : cpus - 1;
	for (; n < wanted; n++) {
		if (!idle && (helpers >= most || !add_helper())) break;
		helper *h = to[n] = idle;
		idle = h->next;
		h->worker = n + 1;
		atomic_store_explicit(&h->loop, l, memory_order_release);
		if (h->asleep) pthread_cond_signal(&h->work);
	}
	pthread_mutex_unlock(&lock);
	return n;
}

/* Takes the loop back from those that have not begun it, and waits for the others. */
static void finish(loop *l, helper **to, int n)
{
	l->taken = n;
	for (int i = 0; i < n; i++) {
		loop *handed = l;
		if (!atomic_compare_exchange_strong(&to[i]->loop, &handed, NULL)) continue;
		l->taken--;
		pthread_mutex_lock(&lock);
		put_back(to[i]);
		pthread_mutex_unlock(&lock);
	}
	if (spin_for(is_done, l)) return;
	pthread_cond_init(&l->done, NULL);
	pthread_mutex_lock(&lock);
	l->asleep = true;
	while (!is_done(l)) pthread_cond_wait(&l->done, &lock);
	pthread_mutex_unlock(&lock);
	pthread_cond_destroy(&l->done);
}

bool parallel_for(int threads, size_t count, size_t grain, part_fn *part, const void *context)
{
	loop l = { .part = part, .context = context, .count = count, .grain = grain };
	size_t parts = count / grain + (count % grain != 0);
	if (threads > MOST_THREADS) threads = MOST_THREADS;
	int wanted = parts < (size_t)threads ? (int)parts - 1 : threads - 1, n = 0;
	helper *to[MOST_THREADS];
	if (wanted > 0) n = hand_out(&l, wanted, to);
	work_on(&l, 0);
	if (n) finish(&l, to, n);
	return !atomic_load_explicit(&l.failed, memory_order_relaxed);
}

size_t grain_for(size_t each, size_t part) { return part > each && each ? part / each : 1; }
