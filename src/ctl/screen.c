// SPDX-License-Identifier: Apache-2.0
#include "screen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

// The other screen, without a cursor and without lines that go on in the next one; and back.
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"

#define BUFFER_SIZE 65536

// What a terminal that does not know its size is taken for.
#define WIDTH 80
#define HEIGHT 24

bool screen_is_there(void)
{
	const char *term = getenv("TERM");
	return isatty(STDOUT_FILENO) && term && *term != '\0' && strcmp(term, "dumb") != 0;
}

bool screen_has_colors(enum ctl_color color)
{
	const char *no_color = getenv("NO_COLOR");
	if (color != CTL_COLOR_AUTO)
		return color == CTL_COLOR_ALWAYS;
	return screen_is_there() && !(no_color && *no_color != '\0');
}

static struct winsize measure(void)
{
	struct winsize size = {.ws_col = 0};
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
		return (struct winsize){.ws_col = WIDTH, .ws_row = HEIGHT};
	return size;
}

size_t screen_width(void)
{
	return isatty(STDOUT_FILENO) ? measure().ws_col : 0;
}

void screen_init(struct screen *screen)
{
	// All of a screen at once, or it would flicker.
	static char buffer[BUFFER_SIZE];
	setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
	*screen = (struct screen){.is_entered = false};
	screen->has_keys = tcgetattr(STDIN_FILENO, &screen->before) == 0;
	screen_measure(screen);
}

static void put(const char *sequence)
{
	fputs(sequence, stdout);
	fflush(stdout);
}

void screen_enter(struct screen *screen)
{
	struct termios raw = screen->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	if (screen->has_keys)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	if (!screen->is_entered)
		put(ENTER);
	screen->is_entered = true;
}

void screen_leave(struct screen *screen)
{
	if (screen->is_entered)
		put(LEAVE);
	screen->is_entered = false;
	// What was typed meanwhile was not meant for the shell.
	if (screen->has_keys)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &screen->before);
}

void screen_measure(struct screen *screen)
{
	struct winsize size = measure();
	screen->width = size.ws_col;
	screen->height = size.ws_row;
}

// Cleared first, for at the margin the cursor stands on what was written last.
int screen_show(const struct screen *screen, const char *text)
{
	size_t row = 0;
	if (!screen->is_entered)
		return 0;
	fputs(HOME, stdout);
	for (; row < screen->height && *text != '\0'; row++) {
		size_t length = strcspn(text, "\n");
		fprintf(stdout, "%s" CLEAR_LINE "%.*s", row > 0 ? "\r\n" : "", (int)length, text);
		text += length + (text[length] == '\n');
	}
	if (row < screen->height)
		fputs("\r\n" CLEAR_BELOW, stdout);
	return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}
