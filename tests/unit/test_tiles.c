/* test_tiles.c - the autoencoder in tiles gives the picture that it gives in one piece, in less memory; it is taken
 * where the memory asks for it, and said. */
#include "tiny.h"
#include "base/resources.h"

/* The share of pixels of which a channel is off by 2 of 255 or more. */
static double share_off(const sumi_image *a, const sumi_image *b)
{
	size_t n = (size_t)a->width * (size_t)a->height, off = 0;
	assert_int_equal(a->width, b->width);
	assert_int_equal(a->height, b->height);
	for (size_t i = 0; i < n; i++) {
		bool far = false;
		for (size_t c = 0; c < 3; c++) far |= abs(a->pixels[3 * i + c] - b->pixels[3 * i + c]) >= 2;
		off += far;
	}
	return (double)off / (double)n;
}

static sumi_model *open_with(const char *taesd, uint64_t max_memory)
{
	sumi_error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.type = "f32";
	how.taesd = taesd;
	how.max_memory = max_memory;
	sumi_model *m = sumi_open(TINY_SD1, &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	return m;
}

static sumi_options one_step(int width, int height)
{
	sumi_options o = sumi_defaults();
	o.prompt = "a cat";
	o.steps = 1;
	o.guidance = 1;
	o.width = width;
	o.height = height;
	return o;
}

/* As pictures are: something everywhere, and not the same in all parts. */
static sumi_image *scene(int width, int height)
{
	sumi_error e = { 0 };
	sumi_image *p = sumi_image_new(width, height, NULL, &e);
	assert_non_null(p);
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++) {
			unsigned char *to = p->pixels + 3 * (y * width + x);
			bool ring = (x - width / 3) * (x - width / 3) + (y - height / 2) * (y - height / 2) < height * height / 9;
			to[0] = (unsigned char)(255 * x / width);
			to[1] = ring ? 220 : (unsigned char)(255 * y / height);
			to[2] = x * 2 > width ? (unsigned char)(x * y / 7 % 256) : 40;
		}
	return p;
}

/* Draws in one piece and in tiles: at most this share of the pixels is off by 2 of 255 or more, and the parameters say
 * which was which. The largest difference of all. */
static int tiles_are_alike(sumi_model *m, sumi_options *o, int tile, const char *how, double most)
{
	char said[40];
	snprintf(said, sizeof said, "VAE tile size: %d", tile);
	sumi_image *whole = tiny_picture(m, o);
	o->tile_size = tile;
	sumi_image *tiled = tiny_picture(m, o);
	double off = share_off(whole, tiled);
	int farthest = tiny_farthest(whole, tiled);
	print_message("%d×%d %s in tiles of %d: %g of the pixels are off by 2 or more\n", whole->width, whole->height, how,
	    tile, off);
	assert_true(off <= most);
	assert_non_null(strstr(tiled->parameters, said));
	assert_null(strstr(whole->parameters, "VAE tile size"));
	sumi_image_free(whole);
	sumi_image_free(tiled);
	return farthest;
}

static const double few = 1e-3;

static void tiles_decode_alike(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_options o = one_step(448, 384);
	tiles_are_alike(m, &o, 256, "decoded", few);
	sumi_close(m);
}

/* There and back, of the model that ships: its norms are far more sensitive than those of random weights. */
static void tiles_encode_alike(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(SOURCE_DIR "/models/emoji.safetensors");
	sumi_options o = one_step(0, 0);
	sumi_image *from = scene(448, 256);
	o.init = from;
	o.strength = 0;
	tiles_are_alike(m, &o, 256, "there and back", few);
	sumi_image_free(from);
	sumi_close(m);
}

/* In bf16 one bit that differs in the statistics leads to roundings of their own some layers on, but these are small
 * where the decoder was trained and the latent is one that it knows. */
static void tiles_decode_alike_in_bf16(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.type = "bf16";
	sumi_model *m = sumi_open(SOURCE_DIR "/models/emoji.safetensors", &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	sumi_options o = one_step(512, 384);
	o.prompt = "smiling cat";
	o.steps = 2;
	assert_true(tiles_are_alike(m, &o, 256, "decoded in bf16", few) > 0); /* tiles were taken */
	sumi_close(m);
}

/* A tiny autoencoder's blocks see far more of the latent than the shallow levels of the model's own do. */
static void tiles_decode_alike_by_taesd(void **state)
{
	(void)state;
	sumi_model *m = open_with(GOLDEN_DIR "/taesd/weights/random4_decoder.safetensors", 0);
	sumi_options o = one_step(704, 192);
	tiles_are_alike(m, &o, 448, "decoded by TAESD", 0);
	sumi_error e = { 0 };
	o.tile_size = 440; /* little but margins */
	assert_null(sumi_generate(m, &o, &e));
	assert_int_equal(e.status, SUMI_BAD_USAGE);
	sumi_close(m);
}

static int warnings;
static char last_warning[300];

static void note(void *context, sumi_level level, const char *line)
{
	(void)context;
	if (level != SUMI_WARNING) return;
	warnings++;
	snprintf(last_warning, sizeof last_warning, "%s", line);
}

/* What would not fit in one piece is drawn in tiles, and said; what does not fit in tiles either is refused. */
static void little_memory_means_tiles(void **state)
{
	(void)state;
	sumi_listener l = sumi_listener_defaults();
	l.note = note;
	sumi_options o = one_step(640, 640);
	o.listener = &l;
	sumi_model *m = open_with(NULL, memory_resident() + ((uint64_t)180 << 20));
	sumi_image *p = tiny_picture(m, &o);
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(last_warning, "tiles of "));
	assert_non_null(strstr(p->parameters, "VAE tile size: "));
	sumi_image_free(p);
	sumi_close(m);
	m = open_with(NULL, memory_resident() + ((uint64_t)20 << 20));
	tiny_refused(m, &o, SUMI_NO_MEMORY, "are needed for 640×640");
	sumi_close(m);
}

static void count_denoisers(void *context, sumi_level level, const char *line)
{
	(void)level;
	*(int *)context += !strncmp(line, "memory: denoise ", 16);
}

/* A picture that is only encoded and decoded needs no memory for a denoiser. */
static void without_steps_no_denoiser_is_planned(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	int planned = 0;
	sumi_listener l = sumi_listener_defaults();
	l.context = &planned;
	l.note = count_denoisers;
	sumi_image *from = scene(64, 64);
	sumi_options o = one_step(0, 0);
	o.init = from;
	o.listener = &l;
	for (int i = 0; i < 2; i++) {
		o.strength = i;
		sumi_image_free(tiny_picture(m, &o));
		assert_int_equal(planned, i);
	}
	sumi_image_free(from);
	sumi_close(m);
}

static void odd_tiles_are_refused(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_options o = one_step(64, 64);
	static const int sizes[] = { 1, -1, 255, 65537 };
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		o.tile_size = sizes[i];
		tiny_refused(m, &o, SUMI_BAD_USAGE, "tile");
	}
	sumi_close(m);
}

int main(void)
{
	/* first what measures the process, before others leave it memory to reuse */
	const struct CMUnitTest tests[] = { cmocka_unit_test(little_memory_means_tiles),
		cmocka_unit_test(tiles_decode_alike), cmocka_unit_test(tiles_decode_alike_in_bf16),
		cmocka_unit_test(tiles_encode_alike), cmocka_unit_test(tiles_decode_alike_by_taesd),
		cmocka_unit_test(without_steps_no_denoiser_is_planned), cmocka_unit_test(odd_tiles_are_refused) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
