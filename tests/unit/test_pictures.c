/* test_pictures.c - reading, writing, refusing and resizing pictures. tests/unit/pictures holds files of other
 * programs. */
#include "scratch.h"
#include "base/file.h"
#include "io/picture.h"

#define PICTURES SOURCE_DIR "/tests/unit/pictures/"

static picture gradient(int width, int height)
{
	picture p;
	error e = { 0 };
	assert_true(picture_new(&p, width, height, &e));
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++) {
			uint8_t *rgb = p.rgb + 3 * (y * width + x);
			rgb[0] = (uint8_t)(x * 255 / (width > 1 ? width - 1 : 1));
			rgb[1] = (uint8_t)(y * 255 / (height > 1 ? height - 1 : 1));
			rgb[2] = (uint8_t)((x + y) * 3);
		}
	return p;
}

static int worst(const picture *a, const picture *b)
{
	int d = 0;
	assert_int_equal(a->width, b->width);
	assert_int_equal(a->height, b->height);
	for (int i = 0; i < a->width * a->height * 3; i++) {
		int one = abs(a->rgb[i] - b->rgb[i]);
		d = one > d ? one : d;
	}
	return d;
}

static void round_trip(const char *name, int quality, const char *text, int tolerance)
{
	error e = { 0 };
	picture p = gradient(37, 21), back;
	const char *path = scratch_path(name);
	assert_true(picture_write(&p, path, text, quality, &e));
	assert_true(picture_read(&back, path, 37 * 21, &e));
	assert_in_range(worst(&p, &back), 0, tolerance);
	char *found = picture_text(path, &e);
	if (text)
		assert_string_equal(found, text);
	else
		assert_null(found);
	free(found);
	picture_free(&p);
	picture_free(&back);
	assert_int_equal(scratch_count(), 1);
	unlink(path);
}

static void writes_what_it_reads(void **state)
{
	(void)state;
	static const char *const texts[] = { NULL, "a cat\nNegative prompt: dog\nSteps: 20, Seed: 42", "caf\u00e9 \u00fc",
		"\u58a8 \u65e5\u672c \U0001f408", "" };
	for (size_t i = 0; i < 5; i++) {
		round_trip("x.png", 0, texts[i], 0);
		if (texts[i] && !*texts[i]) continue; /* an empty comment is none in EXIF */
		round_trip("x.jpg", 95, texts[i], 24);
		round_trip("x.JPEG", 0, texts[i], 40);
		round_trip("x.webp", 100, texts[i], 0);
		round_trip("x.webp", 90, texts[i], 48);
	}
}

static void cuts_only_what_exif_cannot_hold(void **state)
{
	(void)state;
	char *text = calloc(40001, 1);
	memset(text, 'a', 40000);
	error e = { 0 };
	picture p = gradient(8, 8);
	assert_true(picture_write(&p, scratch_path("x.jpg"), text, 0, &e));
	char *found = picture_text(scratch_path("x.jpg"), &e);
	assert_int_equal(strlen(found), 31999);
	free(found);
	assert_true(picture_write(&p, scratch_path("x.png"), text, 0, &e));
	found = picture_text(scratch_path("x.png"), &e);
	assert_int_equal(strlen(found), 40000);
	free(found);
	free(text);
	picture_free(&p);
}

/* What Pillow made of a picture of 16 × 9 pixels, and the pixels that it reads back, as 16 × 9 PNG without alpha. */
static void reads_files_of_others(void **state)
{
	(void)state;
	static const struct {
		const char *name, *same_as;
		int tolerance;
	} cases[] = {
		{ "plain.bmp", "plain.reference.png", 0 }, { "palette.bmp", "palette.reference.png", 0 },
		{ "mono.bmp", "gray1.reference.png", 0 }, { "gray.png", "gray.reference.png", 0 },
		{ "gray1.png", "gray1.reference.png", 0 }, { "palette.png", "palette.reference.png", 0 },
		{ "palette-alpha.png", "palette-alpha.reference.png", 1 }, { "alpha.png", "alpha.reference.png", 1 },
		{ "gray-alpha.png", "gray-alpha.reference.png", 1 }, { "gray16.png", "gray.reference.png", 0 },
		{ "interlaced.png", "plain.reference.png", 0 }, { "plain.jpg", "plain-jpg.reference.png", 3 },
		{ "gray.jpg", "gray-jpg.reference.png", 1 }, { "cmyk.jpg", "cmyk-jpg.reference.png", 3 },
		{ "progressive.jpg", "plain-jpg.reference.png", 3 }, { "lossless.webp", "plain.reference.png", 0 },
		{ "alpha.webp", "alpha.reference.png", 1 }, { "turned.jpg", "turned.reference.png", 3 },
		{ "turned.png", "plain.reference.png", 0 },
		{ "turned-raw.png", "plain.reference.png", 0 }, /* in a text, as ImageMagick wrote it */
		{ "turned.webp", "plain.reference.png", 0 },
		{ "turned-alpha.png", "alpha.reference.png", 1 }, /* eXIf behind the pixels */
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		error e = { 0 };
		char path[512], reference[512];
		snprintf(path, sizeof path, PICTURES "%s", cases[i].name);
		snprintf(reference, sizeof reference, PICTURES "%s", cases[i].same_as);
		picture p, r;
		size_t size;
		if (!picture_read(&p, path, 1000, &e) || !picture_read(&r, reference, 1000, &e)) fail_saying("%s\n", e.text);
		if (worst(&p, &r) > cases[i].tolerance) fail_saying("%s differs by %d\n", cases[i].name, worst(&p, &r));
		bool alpha = strstr(cases[i].name, "alpha") != NULL;
		if (alpha != (p.alpha != NULL)) fail_saying("%s has %s alpha\n", cases[i].name, p.alpha ? "an" : "no");
		int width = 0, height = 0;
		char *bytes = whole_file(path, 1 << 20, &size, &e);
		assert_true(picture_size_of(bytes, size, &width, &height));
		assert_true(width == p.width && height == p.height);
		free(bytes);
		picture_free(&p);
		picture_free(&r);
	}
}

/* Alpha is turned and mirrored with the pixels. */
static void alpha_goes_with_the_pixels(void **state)
{
	(void)state;
	error e = { 0 };
	picture straight, turned;
	assert_true(picture_read(&straight, PICTURES "alpha.png", 1000, &e));
	assert_true(picture_read(&turned, PICTURES "turned-alpha.png", 1000, &e));
	size_t n = (size_t)straight.width * (size_t)straight.height;
	assert_memory_equal(straight.alpha, turned.alpha, n);
	picture_mirror(&turned);
	for (int x = 0; x < straight.width; x++) assert_int_equal(straight.alpha[x], turned.alpha[straight.width - 1 - x]);
	picture_free(&straight);
	picture_free(&turned);
}

static void reads_texts_of_others(void **state)
{
	(void)state;
	error e = { 0 };
	static const char *const names[] = { "text.jpg", "text.webp", "text.png", "itxt.png" };
	for (size_t i = 0; i < 4; i++) {
		char path[512];
		snprintf(path, sizeof path, PICTURES "%s", names[i]);
		char *text = picture_text(path, &e);
		assert_string_equal(text, i == 2 ? "caf\u00e9\nSteps: 1" : "caf\u00e9 \u58a8\nSteps: 1");
		free(text);
	}
}

static void refused(const void *data, size_t bytes, int64_t limit, const char *words)
{
	picture p;
	error e = { 0 };
	if (picture_decode(&p, data, bytes, "it", limit, &e)) fail_saying("read, expected: %s\n", words);
	assert_null(p.rgb);
	assert_says(e, "it: ");
	assert_says(e, words);
}

static void refuses_too_many_pixels(void **state)
{
	(void)state;
	picture p = gradient(40, 30);
	for (picture_format f = PNG; f <= WEBP; f++) {
		error e = { 0 };
		uint8_t *data;
		size_t bytes;
		assert_true(picture_encode(&p, f, NULL, 0, &data, &bytes, &e));
		refused(data, bytes, 1199, "40 \u00d7 30 pixels, more than the limit of 1199");
		free(data);
	}
	picture_free(&p);
	/* a PNG of a hundred bytes that claims four thousand million pixels */
	static const uint8_t huge[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\2\0\0\0";
	refused(huge, sizeof huge - 1, PICTURE_MAX_PIXELS, "damaged");
}

/* Whatever the length, a beginning of a picture is refused, but for a last byte or two that nothing depends on. */
static void refuses_cut_pictures(void **state)
{
	(void)state;
	picture p = gradient(40, 30);
	for (picture_format f = PNG; f <= WEBP; f++) {
		error e = { 0 };
		uint8_t *data;
		size_t bytes;
		assert_true(picture_encode(&p, f, "text", 0, &data, &bytes, &e));
		for (size_t n = 0; n < bytes - (f == WEBP ? 60 : 2); n += f == PNG ? 41 : 7) {
			uint8_t *cut = malloc(n ? n : 1); /* exactly so long, for the sanitizer */
			memcpy(cut, data, n);
			refused(cut, n, 10000, "");
			free(picture_text_of(cut, n));
			free(cut);
		}
		free(data);
	}
	picture_free(&p);
	refused("hello", 5, 1000, "is no PNG, JPEG, WebP or BMP picture");
	refused("", 0, 1000, "is no PNG");
	refused("GIF89a......", 12, 1000, "but a GIF");
	refused("....ftypheic....", 16, 1000, "but a HEIF picture");
}

/* ── bitmaps ── */

enum { BMP_WIDTH = 37, BMP_HEIGHT = 21 };

static void put32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++) at[i] = (uint8_t)(v >> 8 * i);
}

/* Where a colour of eight bits goes under a mask. */
static uint32_t under(uint32_t mask, uint8_t value)
{
	uint32_t most = mask ? mask >> __builtin_ctz(mask) : 0;
	return mask ? (value * most + 127) / 255 << __builtin_ctz(mask) : 0;
}

/* The gradient as a bitmap, with alpha growing from left to right where there is a mask for it. Returns the bytes. */
static size_t bitmap_of(uint8_t *to, const picture *p, uint32_t header, int bits, uint32_t compression,
    const uint32_t masks[4], bool top_down)
{
	uint32_t behind = header < 52 && compression == 3 ? 12 : 0, first = 14 + header + behind;
	size_t stride = ((size_t)BMP_WIDTH * (size_t)bits + 31) / 32 * 4, bytes = first + stride * BMP_HEIGHT;
	memset(to, 0, bytes);
	memcpy(to, "BM", 2);
	put32(to + 2, (uint32_t)bytes);
	put32(to + 10, first);
	put32(to + 14, header);
	if (header == 12) {
		put32(to + 18, BMP_WIDTH | BMP_HEIGHT << 16);
		put32(to + 22, 1u | (uint32_t)bits << 16);
	} else {
		put32(to + 18, BMP_WIDTH);
		put32(to + 22, top_down ? -(uint32_t)BMP_HEIGHT : BMP_HEIGHT);
		put32(to + 26, 1u | (uint32_t)bits << 16);
		put32(to + 30, compression);
	}
	for (int i = 0; compression == 3 && i < (header >= 56 ? 4 : 3); i++) put32(to + 54 + 4 * i, masks[i]);
	for (int y = 0; y < BMP_HEIGHT; y++)
		for (int x = 0; x < BMP_WIDTH; x++) {
			const uint8_t *rgb = p->rgb + 3 * (y * BMP_WIDTH + x);
			uint32_t v = under(masks[3], (uint8_t)(x * 7));
			for (int c = 0; c < 3; c++) v |= under(masks[c], rgb[c]);
			uint8_t *at = to + first + (size_t)(top_down ? y : BMP_HEIGHT - 1 - y) * stride + (size_t)(x * bits / 8);
			for (int i = 0; i < bits / 8; i++) at[i] = (uint8_t)(v >> 8 * i);
		}
	return bytes;
}

static void reads_bitmaps(void **state)
{
	(void)state;
	static const struct {
		uint32_t header;
		int bits;
		uint32_t compression, masks[4];
		bool top_down;
		int tolerance;
	} kinds[] = {
		{ 12, 24, 0, { 0xff0000, 0xff00, 0xff }, false, 0 },
		{ 40, 24, 0, { 0xff0000, 0xff00, 0xff }, true, 0 },
		{ 40, 32, 0, { 0xff0000, 0xff00, 0xff }, false, 0 },
		{ 40, 32, 3, { 0xff, 0xff00, 0xff0000 }, false, 0 },
		{ 40, 16, 0, { 0x7c00, 0x3e0, 0x1f }, false, 5 },
		{ 40, 16, 3, { 0xf800, 0x7e0, 0x1f }, true, 5 },
		{ 108, 32, 3, { 0xff0000, 0xff00, 0xff, 0xff000000 }, false, 0 },
		{ 124, 32, 3, { 0x3ff00000, 0xffc00, 0x3ff, 0 }, true, 0 },
	};
	picture p = gradient(BMP_WIDTH, BMP_HEIGHT);
	uint8_t bytes[8192];
	for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
		error e = { 0 };
		picture back;
		size_t n = bitmap_of(
		    bytes, &p, kinds[k].header, kinds[k].bits, kinds[k].compression, kinds[k].masks, kinds[k].top_down);
		if (!picture_decode(&back, bytes, n, "b", 10000, &e)) fail_saying("%s\n", e.text);
		assert_true((back.alpha != NULL) == (kinds[k].masks[3] != 0));
		for (int i = 0; back.alpha && i < BMP_WIDTH * BMP_HEIGHT; i++) {
			assert_int_equal(back.alpha[i], (uint8_t)(i % BMP_WIDTH * 7));
			for (int c = 0; c < 3; c++) {
				int a = back.alpha[i], white = (p.rgb[3 * i + c] * a + 255 * (255 - a) + 127) / 255;
				assert_int_equal(back.rgb[3 * i + c], white);
			}
		}
		if (!back.alpha) assert_in_range(worst(&p, &back), 0, kinds[k].tolerance);
		picture_free(&back);
		for (size_t cut = 0; cut < n; cut += cut < 200 ? 1 : 97) {
			uint8_t *some = malloc(cut ? cut : 1);
			memcpy(some, bytes, cut);
			refused(some, cut, 10000, "");
			free(some);
		}
		uint32_t random = 1;
		for (int i = 0; i < 2000; i++) { /* nothing of it may crash */
			uint8_t *broken = malloc(n);
			memcpy(broken, bytes, n);
			for (int flips = 0; flips < 3; flips++) {
				random = random * 1664525 + 1013904223;
				broken[(random >> 8) % (i % 2 ? 130 : n)] = (uint8_t)(random >> 24);
			}
			e = (error){ 0 };
			if (picture_decode(&back, broken, n, "b", 10000, &e)) picture_free(&back);
			free(broken);
		}
	}
	static const uint32_t none[4];
	size_t n = bitmap_of(bytes, &p, 40, 24, 1, none, false);
	refused(bytes, n, 10000, "run-length encoded");
	n = bitmap_of(bytes, &p, 40, 24, 4, none, false);
	refused(bytes, n, 10000, "compressed in an unknown way");
	n = bitmap_of(bytes, &p, 40, 24, 0, none, false);
	refused(bytes, n, 100, "more than the limit of 100");
	picture_free(&p);
}

static void refuses_bad_names_and_sizes(void **state)
{
	(void)state;
	error name = { 0 }, folder = { 0 }, quality = { 0 }, size = { 0 }, crop = { 0 };
	picture p = gradient(4, 4), out;
	assert_false(picture_write(&p, scratch_path("x.gif"), NULL, 0, &name));
	assert_says(name, "ends in .png, .jpg, .jpeg or .webp");
	assert_int_equal(name.status, BAD_USAGE);
	assert_true(picture_write(&p, scratch_path("new/x.png"), NULL, 0, &folder)); /* its folder is made */
	assert_false(picture_write(&p, scratch_path("x.jpg"), NULL, 101, &quality));
	assert_false(picture_new(&out, 0, 5, &size));
	assert_false(picture_crop(&out, &p, 2, 0, 3, 1, &crop));
	assert_says(crop, "do not lie in a picture of 4 \u00d7 4");
	picture_free(&p);
}

static void crops_and_mirrors(void **state)
{
	(void)state;
	error e = { 0 };
	picture p = gradient(10, 8), out;
	assert_true(picture_crop(&out, &p, 3, 2, 7, 6, &e));
	assert_memory_equal(out.rgb, p.rgb + 3 * (2 * 10 + 3), 21);
	assert_memory_equal(out.rgb + 5 * 21, p.rgb + 3 * (7 * 10 + 3), 21);
	picture_mirror(&out);
	assert_memory_equal(out.rgb, p.rgb + 3 * (2 * 10 + 9), 3);
	assert_memory_equal(out.rgb + 3 * 6, p.rgb + 3 * (2 * 10 + 3), 3);
	picture_free(&out);
	picture_free(&p);
}

/* resize.<filter>.<width>x<height>.png are Pillow's results on noise.png */
static void resizes_as_pillow(void **state)
{
	(void)state;
	static const char *const names[] = { "box", "bilinear", "bicubic", "lanczos" };
	static const int sizes[][2] = { { 11, 7 }, { 40, 50 }, { 23, 5 }, { 1, 1 } };
	error e = { 0 };
	picture p, out, r;
	assert_true(picture_read(&p, PICTURES "noise.png", 10000, &e));
	for (filter f = BOX; f <= LANCZOS; f++) {
		for (size_t i = 0; i < 4; i++) {
			char path[512];
			snprintf(path, sizeof path, PICTURES "resize.%s.%dx%d.png", names[f], sizes[i][0], sizes[i][1]);
			assert_true(picture_resize(&out, &p, sizes[i][0], sizes[i][1], f, &e));
			if (!picture_read(&r, path, 10000, &e)) fail_saying("%s\n", e.text);
			if (worst(&out, &r)) fail_saying("%s differs by %d\n", path, worst(&out, &r));
			picture_free(&out);
			picture_free(&r);
		}
	}
	picture_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(writes_what_it_reads),
		IN_SCRATCH(cuts_only_what_exif_cannot_hold),
		cmocka_unit_test(reads_files_of_others),
		cmocka_unit_test(alpha_goes_with_the_pixels),
		cmocka_unit_test(reads_texts_of_others),
		cmocka_unit_test(refuses_too_many_pixels),
		cmocka_unit_test(refuses_cut_pictures),
		cmocka_unit_test(reads_bitmaps),
		IN_SCRATCH(refuses_bad_names_and_sizes),
		cmocka_unit_test(crops_and_mirrors),
		cmocka_unit_test(resizes_as_pillow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
