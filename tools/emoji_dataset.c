/* emoji_dataset.c - writes Debian's emoji as a training set: a folder of 128×128 pictures on white with metadata.jsonl.
 *
 *     emoji-dataset --choose                    prints the held-out list (see models/emoji-heldout.txt)
 *     emoji-dataset LIST OUT                    writes OUT/train and OUT/heldout by that list
 *
 * Pictures come from fonts-noto-color-emoji (OFL), shaped by HarfBuzz so that joined sequences, tones and flags find
 * their glyph; names from emoji-test.txt of unicode-data; keywords from unicode-cldr-core. A line of metadata.jsonl:
 *     {"file_name": "1f600.png", "text": "grinning face", "keywords": ["face", "grin"], "base": "grinning face",
 *      "tone": "", "repeats": 3}
 * Most people and hands have six pictures, one a tone, which teach each other; what has one alone comes three times in
 * an epoch.
 */
#include <ft2build.h>
#include FT_FREETYPE_H
#include <hb-ft.h>
#include <hb.h>
#include <jansson.h>
#include <png.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SIZE = 128, MOST_POINTS = 12, MOST_EMOJI = 4096, HELD_OUT_SINGLES = 60, REPEATS_ALONE = 3 };
static const char *font_path = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf";
static const char *list_path = "/usr/share/unicode/emoji/emoji-test.txt";
static const char *keyword_paths[] = { "/usr/share/unicode/cldr/common/annotations/en.xml",
	"/usr/share/unicode/cldr/common/annotationsDerived/en.xml" };

typedef struct emoji {
	uint32_t points[MOST_POINTS];
	int count;
	char id[96];               /* hex points with dashes, as in file names */
	char name[128], base[128]; /* base: the name without its tone */
	char tone[64];             /* "light skin tone", or "" */
	int tones;                 /* distinct tones in it */
	char keywords[512];        /* separated by " | " */
	bool held_out;
} emoji;

static void die(const char *what, const char *which)
{
	fprintf(stderr, "emoji-dataset: %s %s\n", what, which);
	exit(1);
}

static uint64_t hash(const char *s)
{
	uint64_t h = 1469598103934665603u;
	for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u; /* mixed as splitmix64 does, so that neighbours part */
	return h ^ h >> 31;
}

/* "kiss: woman, man, light skin tone" → base "kiss: woman, man", tone "light skin tone" */
static void split_name(emoji *e)
{
	static const char *const names[] = { "light skin tone", "medium-light skin tone", "medium skin tone",
		"medium-dark skin tone", "dark skin tone" };
	char name[sizeof e->name], *parts[16];
	int n = 0;
	strcpy(name, e->name);
	char *colon = strstr(name, ": ");
	strcpy(e->base, e->name);
	if (!colon || !strstr(name, "skin tone")) return;
	*colon = 0;
	for (char *p = strtok(colon + 2, ","); p && n < 16; p = strtok(NULL, ",")) parts[n++] = p + strspn(p, " ");
	strcpy(e->base, name);
	const char *mark = ": ";
	for (int i = 0; i < n; i++) {
		bool is_tone = false;
		for (int k = 0; k < 5; k++) is_tone |= !strcmp(parts[i], names[k]);
		if (is_tone) {
			if (e->tones++) strcat(e->tone, ", ");
			strcat(e->tone, parts[i]);
		} else {
			strcat(strcat(e->base, mark), parts[i]);
			mark = ", ";
		}
	}
}

static int read_list(emoji *list)
{
	FILE *f = fopen(list_path, "r");
	if (!f) die("cannot read (package unicode-data)", list_path);
	char line[512];
	int n = 0;
	while (fgets(line, sizeof line, f)) {
		char *rest = strstr(line, "; fully-qualified"), *at = line;
		if (!rest || line[0] == '#' || n == MOST_EMOJI) continue;
		emoji *e = &list[n++];
		*e = (emoji){ .count = 0 };
		for (uint32_t c; (c = (uint32_t)strtoul(at, &at, 16)) && e->count < MOST_POINTS;) {
			sprintf(e->id + strlen(e->id), "%s%x", e->count ? "-" : "", c);
			e->points[e->count++] = c;
		}
		char *name = strchr(rest, 'E'); /* "# 😀 E1.0 grinning face" */
		name = name ? strchr(name, ' ') : NULL;
		if (!name) die("a line without a name in", list_path);
		snprintf(e->name, sizeof e->name, "%.*s", (int)strcspn(name + 1, "\n"), name + 1);
		split_name(e);
	}
	fclose(f);
	return n;
}

static size_t utf8(const emoji *e, char *out, bool selectors)
{
	char *p = out;
	for (int i = 0; i < e->count; i++) {
		uint32_t c = e->points[i];
		if (c == 0xfe0f && !selectors) continue;
		if (c < 0x80)
			*p++ = (char)c;
		else if (c < 0x800)
			*p++ = (char)(0xc0 | c >> 6), *p++ = (char)(0x80 | (c & 63));
		else if (c < 0x10000)
			*p++ = (char)(0xe0 | c >> 12), *p++ = (char)(0x80 | (c >> 6 & 63)), *p++ = (char)(0x80 | (c & 63));
		else
			*p++ = (char)(0xf0 | c >> 18), *p++ = (char)(0x80 | (c >> 12 & 63)), *p++ = (char)(0x80 | (c >> 6 & 63)),
			*p++ = (char)(0x80 | (c & 63));
	}
	*p = 0;
	return (size_t)(p - out);
}

/* <annotation cp="😀">face | grin | grinning face</annotation>, keyed without variation selectors */
static void read_keywords(emoji *list, int n, const char *path)
{
	FILE *f = fopen(path, "r");
	if (!f) die("cannot read (package unicode-cldr-core)", path);
	char line[2048], key[80];
	while (fgets(line, sizeof line, f)) {
		char *cp = strstr(line, "<annotation cp=\""), *end = cp ? strstr(cp, "\">") : NULL,
		     *close = end ? strstr(end, "</") : NULL;
		if (!close || memchr(cp + 16, '"', (size_t)(end - cp - 16))) continue; /* names (type="tts") are skipped */
		*end = *close = 0;
		for (int i = 0; i < n; i++) {
			utf8(&list[i], key, false);
			if (!strcmp(key, cp + 16)) snprintf(list[i].keywords, sizeof list[i].keywords, "%s", end + 2);
		}
	}
	fclose(f);
}

static int by_hash(const void *a, const void *b)
{
	uint64_t x = hash((*(emoji *const *)a)->id), y = hash((*(emoji *const *)b)->id);
	return x < y ? -1 : x > y;
}

/* 10 % of the (base, tone) pairs whose base keeps at least three other tones, and 60 emoji that have no tone at all;
 * in the order of a hash, so that the choice is anyone's to repeat. */
static void choose(emoji *list, int n)
{
	emoji **order = malloc((size_t)n * sizeof *order);
	int pairs = 0, chosen = 0, singles = 0;
	for (int i = 0; i < n; i++) order[i] = &list[i], pairs += list[i].tones == 1;
	qsort(order, (size_t)n, sizeof *order, by_hash);
	for (int i = 0; i < n; i++) {
		emoji *e = order[i];
		int others = 0, toned = 0;
		for (int k = 0; k < n; k++) {
			bool same = !strcmp(list[k].base, e->base);
			toned += same && list[k].tones > 0;
			others += same && list[k].tones == 1 && !list[k].held_out && &list[k] != e;
		}
		if (e->tones == 1 && others >= 3 && chosen * 10 < pairs)
			e->held_out = true, chosen++;
		else if (!e->tones && !toned && singles < HELD_OUT_SINGLES)
			e->held_out = true, singles++;
	}
	printf("# Emoji that training never sees, chosen by `emoji-dataset --choose` before anything was trained:\n"
	       "# %d of %d (base, tone) pairs and %d emoji without a tone. Fields: points; base; tone\n",
	    chosen, pairs, singles);
	for (int i = 0; i < n; i++)
		if (list[i].held_out) printf("%s; %s; %s\n", list[i].id, list[i].base, list[i].tone);
	free(order);
}

static void read_held_out(emoji *list, int n, const char *path)
{
	FILE *f = fopen(path, "r");
	if (!f) die("cannot read", path);
	char line[512];
	while (fgets(line, sizeof line, f)) {
		line[strcspn(line, ";\n")] = 0;
		if (line[0] == '#' || !line[0]) continue;
		int i = 0;
		while (i < n && strcmp(list[i].id, line)) i++;
		if (i == n) die("no such emoji in the list:", line);
		list[i].held_out = true;
	}
	fclose(f);
}

/* The weight of source column or row `s` in target `t` when `from` are averaged down to `to`. */
static double overlap(int t, int s, double ratio)
{
	double low = t * ratio > s ? t * ratio : s, high = (t + 1) * ratio < s + 1 ? (t + 1) * ratio : s + 1;
	return high > low ? high - low : 0;
}

/* A premultiplied BGRA bitmap, scaled to 128 columns by area, centred on white. */
static void draw(const FT_Bitmap *b, uint8_t *rgb)
{
	double ratio = (double)b->width / SIZE;
	int rows = (int)((double)b->rows / ratio + 0.5), top = (SIZE - rows) / 2;
	memset(rgb, 255, (size_t)SIZE * SIZE * 3);
	for (int y = 0; y < rows; y++)
		for (int x = 0; x < SIZE; x++) {
			double sum[4] = { 0 }, area = 0;
			for (int v = (int)(y * ratio); v < (int)b->rows && v < (y + 1) * ratio; v++)
				for (int u = (int)(x * ratio); u < (int)b->width && u < (x + 1) * ratio; u++) {
					double w = overlap(x, u, ratio) * overlap(y, v, ratio);
					const uint8_t *p = b->buffer + v * b->pitch + 4 * u;
					for (int c = 0; c < 4; c++) sum[c] += w * p[c];
					area += w;
				}
			for (int c = 0; c < 3 && area > 0 && y + top >= 0 && y + top < SIZE; c++)
				rgb[((y + top) * SIZE + x) * 3 + c] = (uint8_t)(sum[2 - c] / area + 255 - sum[3] / area + 0.5);
		}
}

static bool render(FT_Face face, hb_font_t *font, const emoji *e, uint8_t *rgb)
{
	char text[80];
	hb_buffer_t *buffer = hb_buffer_create();
	hb_buffer_add_utf8(buffer, text, (int)utf8(e, text, true), 0, -1);
	hb_buffer_guess_segment_properties(buffer);
	hb_shape(font, buffer, NULL, 0);
	unsigned n, glyph = 0, drawn = 0;
	hb_glyph_info_t *info = hb_buffer_get_glyph_infos(buffer, &n);
	hb_glyph_position_t *position = hb_buffer_get_glyph_positions(buffer, &n);
	for (unsigned i = 0; i < n; i++)
		if (position[i].x_advance) glyph = info[i].codepoint, drawn++;
	hb_buffer_destroy(buffer);
	if (drawn != 1 || !glyph || FT_Load_Glyph(face, glyph, FT_LOAD_COLOR)) return false;
	if (face->glyph->bitmap.pixel_mode != FT_PIXEL_MODE_BGRA) return false;
	draw(&face->glyph->bitmap, rgb);
	return true;
}

/* Whether no other picture for training shows the same. */
static bool is_alone(const emoji *list, int n, const emoji *e)
{
	for (int i = 0; i < n; i++)
		if (&list[i] != e && !list[i].held_out && !strcmp(list[i].base, e->base)) return false;
	return true;
}

static void describe(const emoji *e, int repeats, FILE *to)
{
	json_t *keywords = json_array();
	char list[sizeof e->keywords];
	strcpy(list, e->keywords);
	for (char *p = list; p && *p;) {
		char *end = strstr(p, " | ");
		if (end) *end = 0;
		if (strcmp(p, e->name)) json_array_append_new(keywords, json_string(p));
		p = end ? end + 3 : NULL;
	}
	char file[128];
	snprintf(file, sizeof file, "%s.png", e->id);
	json_t *line = json_pack("{s:s, s:s, s:o, s:s, s:s, s:i}", "file_name", file, "text", e->name, "keywords", keywords,
	    "base", e->base, "tone", e->tone, "repeats", repeats);
	json_dumpf(line, to, JSON_COMPACT);
	fputc('\n', to);
	json_decref(line);
}

static void write_set(emoji *list, int n, const char *out)
{
	FT_Library library;
	FT_Face face;
	if (FT_Init_FreeType(&library) || FT_New_Face(library, font_path, 0, &face) || FT_Select_Size(face, 0))
		die("cannot open (package fonts-noto-color-emoji)", font_path);
	hb_font_t *font = hb_ft_font_create(face, NULL);
	FILE *metadata[2];
	int written[2] = { 0, 0 }, missing = 0;
	char path[4096];
	mkdir(out, 0777);
	for (int h = 0; h < 2; h++) {
		snprintf(path, sizeof path, "%s/%s", out, h ? "heldout" : "train");
		mkdir(path, 0777);
		strcat(path, "/metadata.jsonl");
		if (!(metadata[h] = fopen(path, "w"))) die("cannot write", path);
	}
	for (int i = 0; i < n; i++) {
		uint8_t rgb[SIZE * SIZE * 3];
		if (!render(face, font, &list[i], rgb)) {
			missing++;
			continue;
		}
		png_image png = { .version = PNG_IMAGE_VERSION, .width = SIZE, .height = SIZE, .format = PNG_FORMAT_RGB };
		snprintf(path, sizeof path, "%s/%s/%s.png", out, list[i].held_out ? "heldout" : "train", list[i].id);
		if (!png_image_write_to_file(&png, path, 0, rgb, 0, NULL)) die("cannot write", path);
		describe(&list[i], is_alone(list, n, &list[i]) ? REPEATS_ALONE : 1, metadata[list[i].held_out]);
		written[list[i].held_out]++;
	}
	if (fclose(metadata[0]) | fclose(metadata[1])) die("cannot write metadata in", out);
	hb_font_destroy(font);
	FT_Done_Face(face);
	FT_Done_FreeType(library);
	printf("%d emoji for training, %d held out, %d without one glyph in the font\n", written[0], written[1], missing);
}

int main(int argc, char **argv)
{
	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: emoji-dataset --choose | emoji-dataset LIST OUT\n");
		return 2;
	}
	emoji *list = calloc(MOST_EMOJI, sizeof *list);
	if (!list) return 1;
	int n = read_list(list);
	if (argc == 2) {
		choose(list, n);
	} else {
		for (int i = 0; i < 2; i++) read_keywords(list, n, keyword_paths[i]);
		read_held_out(list, n, argv[1]);
		write_set(list, n, argv[2]);
	}
	free(list);
	return 0;
}
