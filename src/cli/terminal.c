/* terminal.c - see terminal.h. Protocols: kitty's (sw.kovidgoyal.net/kitty/graphics-protocol), iTerm2's inline images,
 * DEC sixels with a cube of 6×6×6 colours. */
#include "cli/terminal.h"
#include "base/base64.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* ── what it can do ── */

/* Asks for the device's attributes: "\033[?62;4;…c" has a 4 where sixels are understood. A terminal that says nothing
 * within 200 ms does not. */
static bool answers_sixel(void)
{
	struct termios before, raw;
	char answer[128] = "";
	size_t n = 0;
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before)) return false;
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	if (write(STDERR_FILENO, "\033[c", 3) == 3) {
		struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
		while (n < sizeof answer - 1 && !strchr(answer, 'c') && poll(&p, 1, 200) > 0) {
			ssize_t got = read(STDIN_FILENO, answer + n, 1);
			if (got <= 0) break;
			n += (size_t)got;
			answer[n] = 0;
		}
	}
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return strstr(answer, ";4;") || strstr(answer, ";4c");
}

static bool is_set(const char *name, const char *value)
{
	const char *found = getenv(name);
	return found && (value ? strstr(found, value) != NULL : *found != 0);
}

static terminal_graphics find_graphics(void)
{
	if (!isatty(STDERR_FILENO) || is_set("TERM", "dumb")) return NO_GRAPHICS;
	bool nested = is_set("TMUX", NULL) || is_set("TERM", "screen"); /* which pass no pictures on */
	if (!nested && (is_set("KITTY_WINDOW_ID", NULL) || is_set("TERM", "kitty") || is_set("TERM", "ghostty") ||
	                   is_set("TERM_PROGRAM", "ghostty")))
		return KITTY_GRAPHICS;
	if (!nested &&
	    (is_set("TERM_PROGRAM", "iTerm") || is_set("TERM_PROGRAM", "WezTerm") || is_set("LC_TERMINAL", "iTerm2")))
		return ITERM_GRAPHICS;
	return answers_sixel() ? SIXEL_GRAPHICS : BLOCK_GRAPHICS;
}

bool terminal_begin(terminal *t, const char *name)
{
	static const char *const names[] = { "auto", "kitty", "iterm2", "sixel", "blocks" };
	struct winsize w;
	*t = (terminal){ .cell_width = 10, .cell_height = 20 };
	if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col && w.ws_row && w.ws_xpixel && w.ws_ypixel) {
		t->cell_width = w.ws_xpixel / w.ws_col;
		t->cell_height = w.ws_ypixel / w.ws_row;
	}
	for (int i = 0; i < 5; i++)
		if (!strcasecmp(name ? name : "auto", names[i])) {
			t->graphics = i ? (terminal_graphics)i : find_graphics();
			return true;
		}
	return false;
}

/* ── drawing ── */

static void draw_kitty(const terminal *t, const char *text)
{
	enum { CHUNK = 4096 };
	fprintf(stderr, "\033_Ga=d,d=I,i=7,q=2\033\\");
	for (size_t i = 0, n = strlen(text); i < n; i += CHUNK) {
		int more = n - i > CHUNK;
		if (!i) fprintf(stderr, "\033_Ga=T,f=100,i=7,C=1,q=2,c=%d,r=%d,m=%d;", t->columns, t->rows, more);
		if (i) fprintf(stderr, "\033_Gm=%d;", more);
		fprintf(stderr, "%.*s\033\\", CHUNK, text + i);
	}
}

static void draw_iterm(const terminal *t, const char *text, size_t bytes)
{
	fprintf(stderr, "\033]1337;File=inline=1;size=%zu;width=%d;height=%d;preserveAspectRatio=0:%s\a", bytes, t->columns,
	    t->rows, text);
}

/* The pixel of a picture that is scaled to width × height; the mean of what it covers. */
static void pixel_of(const sumi_image *p, int x, int y, int width, int height, int colour[3])
{
	int left = (int)((long long)x * p->width / width), right = (int)((long long)(x + 1) * p->width / width);
	int top = (int)((long long)y * p->height / height), bottom = (int)((long long)(y + 1) * p->height / height);
	long long sum[3] = { 0 }, n = 0;
	if (right <= left) right = left + 1;
	if (bottom <= top) bottom = top + 1;
	for (int j = top; j < bottom; j++)
		for (int i = left; i < right; i++, n++)
			for (int c = 0; c < 3; c++) sum[c] += p->pixels[3 * ((size_t)j * (size_t)p->width + (size_t)i) + (size_t)c];
	for (int c = 0; c < 3; c++) colour[c] = (int)((sum[c] + n / 2) / n);
}

static void draw_blocks(const terminal *t, const sumi_image *p)
{
	for (int row = 0; row < t->rows; row++) {
		for (int x = 0; x < t->columns; x++) {
			int a[3], b[3];
			pixel_of(p, x, 2 * row, t->columns, 2 * t->rows, a);
			pixel_of(p, x, 2 * row + 1, t->columns, 2 * t->rows, b);
			fprintf(stderr, "\033[38;2;%d;%d;%d;48;2;%d;%d;%dm▀", a[0], a[1], a[2], b[0], b[1], b[2]);
		}
		fputs("\033[0m\n", stderr);
	}
}

/* Which of the six pixels of column x have this colour. */
static int sixel_at(const unsigned char *codes, int width, int code, int x)
{
	int bits = 0;
	for (int y = 0; y < 6; y++) bits |= (codes[y * width + x] == code) << y;
	return bits;
}

/* One colour of six rows; columns that repeat are counted. */
static void put_sixels(const unsigned char *codes, int width, int code)
{
	fprintf(stderr, "#%d", code);
	for (int x = 0, run; x < width; x += run) {
		int bits = sixel_at(codes, width, code, x);
		for (run = 1; x + run < width && sixel_at(codes, width, code, x + run) == bits;) run++;
		if (run > 3)
			fprintf(stderr, "!%d%c", run, 63 + bits);
		else
			for (int i = 0; i < run; i++) putc(63 + bits, stderr);
	}
	putc('$', stderr);
}

/* Six rows at a time; for each colour that occurs in them, a line of columns. */
static void draw_sixel(const terminal *t, const sumi_image *p)
{
	int width = t->columns * t->cell_width, height = t->rows * t->cell_height / 6 * 6;
	unsigned char *codes = malloc((size_t)width * 6);
	if (!codes) return;
	fprintf(stderr, "\033P0;1;0q\"1;1;%d;%d", width, height);
	for (int i = 0; i < 216; i++) fprintf(stderr, "#%d;2;%d;%d;%d", i, i / 36 * 20, i / 6 % 6 * 20, i % 6 * 20);
	for (int top = 0; top < height; top += 6) {
		bool used[216] = { false };
		for (int y = 0; y < 6; y++)
			for (int x = 0; x < width; x++) {
				int c[3];
				pixel_of(p, x, top + y, width, height, c);
				int code = (c[0] + 25) / 51 * 36 + (c[1] + 25) / 51 * 6 + (c[2] + 25) / 51;
				codes[y * width + x] = (unsigned char)code;
				used[code] = true;
			}
		for (int code = 0; code < 216; code++)
			if (used[code]) put_sixels(codes, width, code);
		putc('-', stderr);
	}
	fputs("\033\\", stderr);
	free(codes);
}

/* As wide as the terminal, 64 columns at most, and no higher than its window. */
static void take_place(terminal *t, const sumi_image *p)
{
	struct winsize w;
	int most = 64, high = 40;
	if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col && w.ws_row) {
		if (w.ws_col - 1 < most) most = w.ws_col > 2 ? w.ws_col - 1 : 1;
		high = w.ws_row > 4 ? w.ws_row - 3 : 1;
	}
	t->columns = most;
	t->rows = (int)((double)most * p->height / p->width * t->cell_width / t->cell_height + 0.5);
	if (t->rows > high) {
		t->rows = high;
		t->columns = (int)((double)high * p->width / p->height * t->cell_height / t->cell_width + 0.5);
	}
	if (t->rows < 1) t->rows = 1;
	if (t->columns < 1) t->columns = 1;
	for (int i = 0; i < t->rows; i++) putc('\n', stderr);
}

/* The picture as a PNG file in base64, its parameters left out; *bytes: of the file. NULL: no memory. */
static char *png_text(const sumi_image *p, size_t *bytes)
{
	unsigned char *png = NULL;
	sumi_image plain = {
		.size = sizeof plain, .width = p->width, .height = p->height, .pixels = p->pixels, .seed = -1
	};
	char *text = sumi_image_encode(&plain, "png", 0, &png, bytes, NULL) ? base64_encode(png, *bytes) : NULL;
	sumi_free(png);
	return text;
}

void terminal_draw(terminal *t, const sumi_image *p)
{
	char *text = NULL;
	size_t bytes = 0;
	if (t->graphics == NO_GRAPHICS) return;
	if (t->graphics == KITTY_GRAPHICS || t->graphics == ITERM_GRAPHICS)
		if (!(text = png_text(p, &bytes))) return;
	if (!t->rows) take_place(t, p);
	fprintf(stderr, "\r\033[%dA\0337", t->rows);
	switch (t->graphics) {
	case KITTY_GRAPHICS: draw_kitty(t, text); break;
	case ITERM_GRAPHICS: draw_iterm(t, text, bytes); break;
	case SIXEL_GRAPHICS: draw_sixel(t, p); break;
	default: draw_blocks(t, p);
	}
	fprintf(stderr, "\0338\033[%dB\r", t->rows);
	fflush(stderr);
	free(text);
}

void terminal_leave(terminal *t) { t->columns = t->rows = 0; }
