// SPDX-License-Identifier: Apache-2.0
#include "args.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "show.h"

#define DURATION_MAX_NS (24 * 3600 * NS_PER_S)
#define SAY_SIZE 1024
#define SAY_WAIT_MS 20

// One write, and none where it would block for long: `run` has a deadline to keep whoever reads its messages.
static void say(const char *format, va_list arguments, const char *hint)
{
	char text[SAY_SIZE], line[SAY_SIZE + 128];
	struct pollfd fds[] = {{.fd = STDERR_FILENO, .events = POLLOUT}};
	vsnprintf(text, sizeof text, format, arguments);
	show_plainly(text);
	int size = snprintf(line, sizeof line, "tenurectl: %s%s\n", text, hint);
	if (poll(fds, 1, SAY_WAIT_MS) == 1)
		(void)!write(STDERR_FILENO, line, (size_t)size);
}

void ctl_say(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say(format, arguments, "");
	va_end(arguments);
}

int ctl_misuse(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say(format, arguments, "; tenurectl help shows what there is");
	va_end(arguments);
	return CTL_USAGE;
}

const struct option args_global_options[] = {{"socket", required_argument, NULL, 's'},
	{"version", no_argument, NULL, 'V'}, {"help", no_argument, NULL, 'h'}, {0}};

// Whether getopt_long() would take the word, or the letter that is not 0, before the command.
static bool names(const struct option *option, const char *word, int letter)
{
	if (letter != 0)
		return option->has_arg == no_argument && option->val == letter;
	size_t size = strcspn(word, "=");
	return size > 2 && strncmp(word, "--", 2) == 0 && strncmp(word + 2, option->name, size - 2) == 0;
}

// Whether it said that what a command does not know belongs before it.
static bool say_misplaced(const char *command, const char *word, int letter)
{
	for (const struct option *option = args_global_options; option->name; option++) {
		if (!names(option, word, letter))
			continue;
		ctl_misuse("%s: --%s comes before the command: tenurectl --%s%s %s", command, option->name,
			option->name, option->has_arg ? " PATH" : "", command);
		return true;
	}
	return false;
}

int args_next(int argc, char *argv[], const char *short_options, const struct option *long_options)
{
	int option = getopt_long(argc, argv, short_options, long_options, NULL);
	bool is_command = long_options != args_global_options;
	if (option == '?' && is_command && say_misplaced(argv[0], argv[optind - 1], optopt))
		return option;
	if (option == ':')
		ctl_misuse("%s: %s needs a value", argv[0], argv[optind - 1]);
	else if (option == '?' && optopt > 0 && optopt < 128)
		ctl_misuse("%s: unknown option -%c", argv[0], optopt);
	else if (option == '?')
		ctl_misuse("%s: unknown option, or a value too much: %s", argv[0], argv[optind - 1]);
	return option == ':' ? '?' : option;
}

int args_duration(const char *text, int64_t *ret_ns)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {{"ms", NS_PER_MS}, {"s", NS_PER_S}, {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S},
		{"d", 24 * 3600 * NS_PER_S}};
	int64_t value = 0, ns;
	const char *unit = text;
	for (; *unit >= '0' && *unit <= '9'; unit++)
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *unit - '0', &value))
			return -EINVAL;
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		if (strcmp(unit, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(value, units[i].ns, &ns) || ns <= 0 || ns > DURATION_MAX_NS)
			return -EINVAL;
		*ret_ns = ns;
		return 0;
	}
	return -EINVAL;
}

int args_signal(const char *text, int *ret)
{
	char *end;
	long number = strtol(text, &end, 10);
	if (*text != '\0' && *end == '\0') {
		if (number <= 0 || number >= NSIG)
			return -EINVAL;
		*ret = (int)number;
		return 0;
	}
	const char *name = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;
	for (int i = 1; i < NSIG; i++) {
		const char *known = sigabbrev_np(i);
		if (!known || strcmp(known, name) != 0)
			continue;
		*ret = i;
		return 0;
	}
	return -EINVAL;
}

int args_format(const char *text, enum ctl_format *ret)
{
	if (strcmp(text, "text") != 0 && strcmp(text, "json") != 0)
		return -EINVAL;
	*ret = strcmp(text, "json") == 0 ? CTL_JSON : CTL_TEXT;
	return 0;
}

int args_color(const char *text, enum ctl_color *ret)
{
	static const char *const names[] = {
		[CTL_COLOR_AUTO] = "auto", [CTL_COLOR_ALWAYS] = "always", [CTL_COLOR_NEVER] = "never"};
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strcmp(text ? text : "always", names[i]) != 0)
			continue;
		*ret = (enum ctl_color)i;
		return 0;
	}
	return -EINVAL;
}

int args_components(int count, char *const names[])
{
	for (int i = 0; i < count; i++)
		if (!name_is_valid(names[i]))
			return ctl_misuse("\"%s\" is no component's name: 1 to 64 of A-Z a-z 0-9 . _ - :", names[i]);
	return CTL_OK;
}
