/* terminal.h - draws a picture in the terminal: by the graphics protocol that it has (kitty's, iTerm2's, sixel), else
 * with half blocks in 24-bit colour. Everything goes to stderr, where the progress is; a picture that is drawn again
 * lies where it lay. */
#ifndef SUMI_CLI_TERMINAL_H
#define SUMI_CLI_TERMINAL_H
#include <stdbool.h>
#include <sumi.h>

typedef enum terminal_graphics {
	NO_GRAPHICS,
	KITTY_GRAPHICS,
	ITERM_GRAPHICS,
	SIXEL_GRAPHICS,
	BLOCK_GRAPHICS
} terminal_graphics;

typedef struct terminal {
	terminal_graphics graphics;
	int columns, rows;           /* of the place that the picture takes; 0: it has none yet */
	int cell_width, cell_height; /* pixels */
} terminal;

/* name: "auto" (NULL), "kitty", "iterm2", "sixel", "blocks". With auto, nothing is drawn where stderr is no terminal;
 * what the terminal can do is found in its environment, and sixel by asking it (DA1). False: an unknown name. */
bool terminal_begin(terminal *t, const char *name);
/* Draws the picture, enlarged or made smaller to at most 64 columns; the first time it makes room, later it is drawn
 * over.
 */
void terminal_draw(terminal *t, const sumi_image *picture);
/* The cursor below the picture; the next one gets a place of its own. */
void terminal_leave(terminal *t);

#endif
