// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "args.h"
#include "clock.h"
#include "components.h"
#include "dial.h"
#include "screen.h"

#define ERROR_SIZE 512

struct status {
	struct dial dial;
	struct components *components;
	char error[ERROR_SIZE]; // what is wrong with the store, told once
};

static int add_row(struct status *status, const struct line *line)
{
	const char *error = line_text(line, "error");
	if (*error && strcmp(status->error, error) != 0) {
		strncpy(status->error, error, sizeof status->error - 1);
		ctl_say("store %s: %s", line_text(line, "store"), error);
	}
	return components_add(status->components, line);
}

// Takes the rows of one question up to its ok.
static int take_rows(struct status *status, const char *component)
{
	int64_t deadline = clock_now_ns() + DIAL_ANSWER_NS;
	for (;;) {
		struct line line;
		enum wire_word word;
		int error = dial_wait(&status->dial, deadline, &word, &line);
		if (error < 0)
			return dial_failed(error);
		if (word == WIRE_OK)
			return CTL_OK;
		if (word == WIRE_ERROR)
			return dial_refused(component, &line);
		if (word != WIRE_ROW)
			return dial_failed(-EPROTO);
		if (add_row(status, &line) < 0)
			return dial_failed(-ENOMEM);
	}
}

static int ask(struct status *status, const char *component)
{
	int error = dial_ask(&status->dial, WIRE_STATUS, component);
	return error < 0 ? dial_failed(error) : take_rows(status, component);
}

static int show(struct status *status, int count, char *const components[])
{
	int result = count == 0 ? ask(status, NULL) : CTL_OK;
	for (int i = 0; i < count; i++) {
		int one = ask(status, components[i]);
		if (one == CTL_NO_DAEMON)
			return one;
		if (one != CTL_OK)
			result = one;
	}
	// One unknown name does not hide the others.
	return components_print(status->components, stdout, screen_width()) < 0 ? CTL_NO : result;
}

int ctl_status(const struct ctl *ctl, int argc, char *argv[])
{
	static const struct option long_options[] = {{"color", optional_argument, NULL, 'c'}, {0}};
	struct status status = {.components = NULL};
	enum ctl_format format = CTL_TEXT;
	enum ctl_color color = CTL_COLOR_AUTO;
	int option;
	while ((option = args_next(argc, argv, ":o:", long_options)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (option == 'c' && args_color(optarg, &color) < 0)
			return ctl_misuse("status: --color takes auto, always or never");
		if (option == 'o' && args_format(optarg, &format) < 0)
			return ctl_misuse("status: -o takes text or json");
	}
	if (args_components(argc - optind, argv + optind) != CTL_OK)
		return CTL_USAGE;
	if (dial_open_or_say(&status.dial, ctl->socket_path) < 0)
		return CTL_NO_DAEMON;
	int result = CTL_NO;
	if (components_new(&status.components, format, screen_has_colors(color)) == 0)
		result = show(&status, argc - optind, argv + optind);
	components_free(status.components);
	dial_close(&status.dial);
	return result;
}
