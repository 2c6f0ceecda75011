// SPDX-License-Identifier: Apache-2.0
// The terminal that standard output is, if it is one: colours, size, and the screen that comes and goes with a program.
#ifndef TENURE_SCREEN_H
#define TENURE_SCREEN_H

#include <termios.h>

#include "ctl.h"

struct screen {
	struct termios before;
	bool has_keys; // standard input is the terminal's keyboard
	bool is_entered;
	size_t width, height;
};

// Whether output may move the cursor: a terminal that is not a dumb one.
bool screen_is_there(void);
// Whether to print in colour.
bool screen_has_colors(enum ctl_color color);
// The terminal's width; 0: standard output is none.
size_t screen_width(void);

// Once, before the others.
void screen_init(struct screen *screen);
// To the terminal's other screen, with keys that come without Enter; entering again repairs what others changed.
void screen_enter(struct screen *screen);
// The terminal is as it was.
void screen_leave(struct screen *screen);
// Takes in its size.
void screen_measure(struct screen *screen);
// Shows `text` and nothing else; lines that do not fit are left out. Nothing where the screen was left. 0 or -errno.
int screen_show(const struct screen *screen, const char *text) MUST_CHECK;

#endif
