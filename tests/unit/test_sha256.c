/* test_sha256.c - the known answers of FIPS 180-4, at every length around a block, and in pieces. */
#include "scratch.h"
#include "base/sha256.h"

static void known_answers(void **state)
{
	(void)state;
	char hex[65];
	sha256_of("", 0, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_of("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
	assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	static char million[1000000];
	memset(million, 'a', sizeof million);
	sha256_of(million, sizeof million, hex);
	assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void pieces_make_the_whole(void **state)
{
	(void)state;
	uint8_t data[300], digest[32];
	for (int i = 0; i < 300; i++) data[i] = (uint8_t)(i * 37);
	for (size_t n = 0; n <= 300; n++) {
		char whole[65], parts[65];
		sha256_of(data, n, whole);
		sha256 h;
		sha256_begin(&h);
		for (size_t at = 0, part = 1; at < n; at += part, part = part % 70 + 1) {
			if (part > n - at) part = n - at;
			sha256_add(&h, data + at, part);
		}
		sha256_end(&h, digest);
		sha256_hex(digest, parts);
		assert_string_equal(whole, parts);
	}
}

static void of_a_file(void **state)
{
	(void)state;
	char hex[65];
	error e = { 0 };
	assert_true(sha256_of_file(scratch_write("abc", "abc", 3), hex, &e));
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_false(sha256_of_file(scratch_path("absent"), hex, &e));
	assert_says(e, "no such file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(pieces_make_the_whole),
		cmocka_unit_test_setup_teardown(of_a_file, scratch_make, scratch_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
