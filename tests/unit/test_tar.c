/* test_tar.c - tar archives of every dialect that is met, and what is wrong with them. */
#include "scratch.h"
#include "io/tar.h"
#include "tars.h"

static archive a;

static void expect(tar *t, const char *name, const char *bytes)
{
	tar_file f;
	error e = { 0 };
	assert_true(tar_next(t, &f, &e));
	assert_string_equal(f.name, name);
	assert_int_equal(f.size, strlen(bytes));
	assert_memory_equal(f.data, bytes, f.size);
	assert_ptr_equal(f.data, t->data + f.at);
}

static void expect_end(tar *t)
{
	tar_file f;
	error e = { 0 };
	for (int i = 0; i < 2; i++) assert_false(tar_next(t, &f, &e));
	assert_int_equal(e.status, OK);
}

static void expect_failure(const archive *from, int files_before, const char *words)
{
	tar t = tar_of(from->data, from->size, "x.tar");
	tar_file f;
	error e = { 0 };
	for (int i = 0; i < files_before; i++) assert_true(tar_next(&t, &f, &e));
	assert_false(tar_next(&t, &f, &e));
	assert_int_equal(e.status, BAD_FILE);
	assert_says(e, "x.tar");
	assert_says(e, words);
}

static void test_ustar(void **state)
{
	(void)state;
	a.size = 0;
	tar_put(&a, "00000.jpg", '0', "picture", 7);
	tar_put(&a, "folder/", '5', "", 0);
	size_t at = tar_put(&a, "name.txt", 0, "words", 5);
	memcpy(a.data + at + 345, "some/where", 10);
	tar_seal(&a, at);
	tar_put(&a, "link", '2', "", 0);
	tar_put(&a, "empty", '0', "", 0);
	tar_end(&a);
	tar t = tar_of(a.data, a.size, "x.tar");
	expect(&t, "00000.jpg", "picture");
	expect(&t, "some/where/name.txt", "words");
	expect(&t, "empty", "");
	expect_end(&t);
}

static void test_long_names(void **state)
{
	(void)state;
	char name[301], record[400];
	memset(name, 'n', 300);
	name[300] = 0;
	a.size = 0;
	tar_put(&a, "././@LongLink", 'L', name, 301);
	tar_put(&a, "cut short", '0', "1", 1);
	snprintf(record, sizeof record, "%d path=%s\n20 ctime=1700000000\n", 3 + 1 + 5 + 300 + 1, name);
	tar_put(&a, "PaxHeaders/x", 'x', record, strlen(record));
	tar_put(&a, "cut short", '0', "22", 2);
	tar_put(&a, "global", 'g', "12 path=abc\n", 12);
	tar_put(&a, "plain", '0', "333", 3);
	tar_end(&a);
	tar t = tar_of(a.data, a.size, "x.tar");
	expect(&t, name, "1");
	expect(&t, name, "22");
	expect(&t, "plain", "333");
	expect_end(&t);
}

static void test_sizes(void **state)
{
	(void)state;
	a.size = 0;
	size_t at = tar_put(&a, "base 256", '0', "1234", 4);
	memset(a.data + at + 124, 0, 12);
	a.data[at + 124] = 0x80, a.data[at + 135] = 4;
	tar_seal(&a, at);
	tar_put(&a, "PaxHeaders/x", 'x', "9 size=3\n", 9);
	at = tar_put(&a, "pax", '0', "123", 3);
	memcpy(a.data + at + 124, "00000000000", 12); /* the pax header knows better */
	tar_seal(&a, at);
	tar_end(&a);
	tar t = tar_of(a.data, a.size, "x.tar");
	expect(&t, "base 256", "1234");
	expect(&t, "pax", "123");
	expect_end(&t);
}

static void test_cut(void **state)
{
	(void)state;
	a.size = 0;
	tar_put(&a, "first", '0', "1", 1);
	tar_put(&a, "second", '0', "22", 2);
	archive cut = a;
	expect_failure(&cut, 2, "is cut"); /* no end mark */
	cut.size = 1024 + 512 + 1;
	expect_failure(&cut, 1, "in the middle of a file");
	cut.size = 1024 + 100;
	expect_failure(&cut, 1, "where a header should be");
	cut.size = 0;
	expect_failure(&cut, 0, "is cut");
}

static void test_hostile(void **state)
{
	(void)state;
	static const char *const sizes[] = { "77777777777", "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
		"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"12x45678901" };
	static const char *const words[] = { "is cut", "is cut", "no number", "no number", "no number" };
	for (int i = 0; i < 5; i++) {
		a.size = 0;
		size_t at = tar_put(&a, "huge", '0', "1", 1);
		memcpy(a.data + at + 124, sizes[i], 12);
		tar_seal(&a, at);
		tar_end(&a);
		expect_failure(&a, 0, words[i]);
	}
	static const char *const records[] = { "999999999999999999999 path=a\n", "5 p\n", "8 path=\n9", "x",
		"13 size=1e99\n", "0 path=a\n", "27 size=1234567890123456789\n" };
	for (int i = 0; i < 7; i++) {
		a.size = 0;
		tar_put(&a, "x", 'x', records[i], strlen(records[i]));
		tar_put(&a, "file", '0', "1", 1);
		tar_end(&a);
		expect_failure(&a, 0, "pax header");
	}
	char name[TAR_NAME + 1];
	memset(name, 'n', sizeof name);
	a.size = 0;
	tar_put(&a, "x", 'L', name, sizeof name);
	expect_failure(&a, 0, "more than");
	a.size = 0;
	tar_put(&a, "file", '0', "1", 1);
	a.data[3] ^= 1;
	expect_failure(&a, 0, "damaged");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_ustar), cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_sizes), cmocka_unit_test(test_cut), cmocka_unit_test(test_hostile) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
