/* test_file.c - mapping and reading whole, writing and renaming, locks, and what the messages say. */
#include "scratch.h"
#include "base/file.h"
#include "base/lock.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void maps_what_is_there(void **state)
{
	(void)state;
	error e = { 0 };
	mapping m;
	assert_true(map_file(&m, scratch_write("a", "hello", 5), &e));
	assert_int_equal(m.size, 5);
	assert_memory_equal(m.data, "hello", 5);
	unmap_file(&m);
	assert_null(m.data);
	unmap_file(&m);
}

static void refuses_what_is_no_file(void **state)
{
	(void)state;
	mapping m;
	error absent = { 0 }, folder = { 0 }, empty = { 0 }, pipe = { 0 };
	assert_false(map_file(&m, scratch_path("absent"), &absent));
	assert_says(absent, "/absent: no such file");
	assert_int_equal(absent.status, BAD_FILE);
	assert_false(map_file(&m, scratch, &folder));
	assert_says(folder, "is a folder");
	assert_false(map_file(&m, scratch_write("empty", "", 0), &empty));
	assert_says(empty, "is empty");
	assert_int_equal(mkfifo(scratch_path("pipe"), 0600), 0);
	assert_false(map_file(&m, scratch_path("pipe"), &pipe));
	assert_says(pipe, "is a pipe");
}

static void reads_whole(void **state)
{
	(void)state;
	static char data[100001];
	memset(data, 'x', sizeof data);
	const char *path = scratch_write("big", data, sizeof data);
	error e = { 0 };
	size_t size = 0;
	char *text = whole_file(path, sizeof data, &size, &e);
	assert_non_null(text);
	assert_int_equal(size, sizeof data);
	assert_memory_equal(text, data, size);
	assert_int_equal(text[size], 0);
	free(text);
	assert_null(whole_file(path, sizeof data - 1, &size, &e));
	assert_says(e, "more than 100000 bytes");
	error folder = { 0 };
	assert_null(whole_file(scratch, 10, NULL, &folder));
	assert_says(folder, "is a folder");
}

static void appears_when_committed(void **state)
{
	(void)state;
	static char data[200000];
	for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7);
	error e = { 0 };
	const char *path = scratch_path("out");
	writer *w = writer_open(path, 0, &e);
	assert_non_null(w);
	for (size_t at = 0, part = 1; at < sizeof data; at += part, part = part * 3) {
		if (part > sizeof data - at) part = sizeof data - at;
		assert_true(writer_put(w, data + at, part, &e));
	}
	assert_int_equal(access(path, F_OK), -1);
	assert_true(writer_commit(w, &e));
	size_t size;
	char *text = whole_file(path, 1 << 20, &size, &e);
	assert_int_equal(size, sizeof data);
	assert_memory_equal(text, data, size);
	free(text);
	assert_int_equal(scratch_count(), 1);
}

static void abort_leaves_the_old_file(void **state)
{
	(void)state;
	error e = { 0 };
	const char *path = scratch_write("out", "old", 3);
	writer *w = writer_open(path, 1000, &e);
	assert_true(writer_put(w, "new", 3, &e));
	writer_abort(w);
	char *text = whole_file(path, 100, NULL, &e);
	assert_string_equal(text, "old");
	free(text);
	assert_int_equal(scratch_count(), 1);
	assert_true(write_file(path, "new", 3, &e));
	text = whole_file(path, 100, NULL, &e);
	assert_string_equal(text, "new");
	free(text);
}

static void expected_is_not_the_size(void **state)
{
	(void)state;
	error e = { 0 };
	writer *w = writer_open(scratch_path("out"), 100000, &e);
	assert_true(writer_put(w, "short", 5, &e));
	assert_true(writer_commit(w, &e));
	size_t size;
	free(whole_file(scratch_path("out"), 100000, &size, &e));
	assert_int_equal(size, 5);
}

static void keeps_a_link(void **state)
{
	(void)state;
	error e = { 0 };
	scratch_write("target", "old", 3);
	assert_int_equal(symlink("target", scratch_path("link")), 0);
	assert_true(write_file(scratch_path("link"), "new", 3, &e));
	char *text = whole_file(scratch_path("target"), 100, NULL, &e);
	assert_string_equal(text, "new");
	free(text);
}

static void finds_the_unwritable_early(void **state)
{
	(void)state;
	error e = { 0 };
	const char *path = scratch_write("out", "old", 3);
	assert_true(check_writable(path, &e));
	assert_true(check_writable(scratch_path("new"), &e));
	assert_int_equal(scratch_count(), 1);
	char *text = whole_file(path, 100, NULL, &e);
	assert_string_equal(text, "old");
	free(text);
	assert_false(check_writable(scratch, &e));
	assert_says(e, "is a folder");
	error folder = { 0 }, file = { 0 }, name = { 0 }, device = { 0 };
	assert_true(check_writable(scratch_path("absent/too/out"), &folder)); /* its folders would be made */
	assert_int_equal(scratch_count(), 1);
	assert_false(check_writable(scratch_path("out/x"), &file));
	assert_says(file, "Not a directory");
	assert_int_equal(scratch_count(), 1);
	assert_false(check_writable("", &name));
	assert_false(check_writable("/dev/null", &device));
	assert_says(device, "is a device");
	if (!geteuid()) return; /* the super-user may write anywhere */
	error readonly = { 0 };
	chmod(path, 0400);
	assert_false(check_writable(path, &readonly));
	assert_says(readonly, "Permission denied");
}

/* A limit on the size of files fails like a full disk does, in the middle. */
static void reports_a_full_disk(void **state)
{
	(void)state;
	struct rlimit before, limit;
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = 100000;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	static char data[300000];
	error late = { 0 }, early = { 0 };
	writer *w = writer_open(scratch_path("out"), 0, &late);
	assert_non_null(w);
	bool ok = writer_put(w, data, sizeof data, &late) && writer_commit(w, &late);
	if (!ok) writer_abort(w);
	bool reserved = write_file(scratch_path("out"), data, sizeof data, &early);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_false(ok);
	assert_says(late, "/out: the disk is full");
	assert_says(late, "wanted 300000 bytes");
	assert_false(reserved);
	assert_says(early, "wanted 300000 bytes");
	assert_int_equal(scratch_count(), 0);
}

static void removes_leftovers(void **state)
{
	(void)state;
	scratch_write("a-1.x.tmp-123", "x", 1);
	scratch_write("a-2.x.tmp-9", "x", 1);
	scratch_write("a-3.x", "x", 1);
	scratch_write("a-4.tmp-name", "x", 1);
	scratch_write("a-5.tmp-", "x", 1);
	scratch_write("b-1.x.tmp-123", "x", 1);
	remove_leftovers(scratch_path("a-"));
	assert_int_equal(scratch_count(), 4);
	assert_int_not_equal(access(scratch_path("a-1.x.tmp-123"), F_OK), 0);
	assert_int_not_equal(access(scratch_path("a-2.x.tmp-9"), F_OK), 0);
	remove_leftovers("/nowhere/at/all");
}

/* Missing folders are made, and are gone again where nothing came into them. */
static void makes_folders(void **state)
{
	(void)state;
	error e = { 0 };
	writer *w = writer_open(scratch_path("a/b/c/out"), 0, &e);
	assert_non_null(w);
	writer_abort(w);
	assert_int_equal(scratch_count(), 0);
	assert_true(write_file(scratch_path("a/b/out"), "new", 3, &e));
	w = writer_open(scratch_path("a/c/d/out"), 0, &e);
	writer_abort(w);
	assert_int_equal(access(scratch_path("a/c"), F_OK), -1);
	char *text = whole_file(scratch_path("a/b/out"), 100, NULL, &e);
	assert_string_equal(text, "new");
	free(text);
	assert_true(make_folders_of(scratch_path("x/y/z"), &e));
	assert_int_equal(access(scratch_path("x/y"), F_OK), 0);
	assert_int_equal(access(scratch_path("x/y/z"), F_OK), -1);
	assert_false(make_folders_of(scratch_path("a/b/out/d/e"), &e));
	assert_says(e, "cannot be made");
}

/* One process holds it; others get its name in the error; a lock whose holder was killed is free. */
static void locks_one_holder(void **state)
{
	(void)state;
	error e = { 0 }, held = { 0 };
	const char *path = scratch_path("lock");
	file_lock *l = lock_take(path, "the folder", &e);
	assert_non_null(l);
	assert_null(lock_take(path, "the folder", &held));
	char process[32];
	snprintf(process, sizeof process, "process %ld on ", (long)getpid());
	assert_says(held, "the folder is in use by");
	assert_says(held, process);
	lock_release(l);
	assert_int_equal(scratch_count(), 0);
	scratch_write("lock", "process 1 on elsewhere since yesterday\n", 39); /* as a kill leaves it */
	assert_non_null(l = lock_take(path, "the folder", &e));
	lock_release(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(maps_what_is_there),
		IN_SCRATCH(refuses_what_is_no_file),
		IN_SCRATCH(reads_whole),
		IN_SCRATCH(appears_when_committed),
		IN_SCRATCH(abort_leaves_the_old_file),
		IN_SCRATCH(expected_is_not_the_size),
		IN_SCRATCH(keeps_a_link),
		IN_SCRATCH(finds_the_unwritable_early),
		IN_SCRATCH(makes_folders),
		IN_SCRATCH(locks_one_holder),
		IN_SCRATCH(reports_a_full_disk),
		IN_SCRATCH(removes_leftovers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
