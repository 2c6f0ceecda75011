// SPDX-License-Identifier: Apache-2.0
// resign, transfer, pause, resume: what an operator asks of the fleet, through any of its daemons.
#include <errno.h>

#include "args.h"
#include "clock.h"
#include "dial.h"

struct operation {
	enum wire_word word;
	const char *component; // NULL: the whole fleet
	const char *node;      // NULL: none is named
	int64_t cooldown_ns;   // 0: as configured
};

static int ask(struct dial *dial, const struct operation *operation)
{
	struct line_writer writer;
	line_begin(&writer, &dial->link.output, wire_word_name(operation->word));
	if (operation->component)
		line_field(&writer, "component", operation->component);
	if (operation->node)
		line_field(&writer, "node", operation->node);
	if (operation->cooldown_ns > 0)
		line_field_i64(&writer, "cooldown_ms", operation->cooldown_ns / NS_PER_MS);
	return line_end(&writer);
}

static int carry_out(struct dial *dial, const struct operation *operation)
{
	struct line line;
	enum wire_word word;
	int error = ask(dial, operation);
	if (error == 0)
		error = dial_wait(dial, clock_now_ns() + DIAL_OPERATION_NS, &word, &line);
	if (error != 0)
		return dial_failed(error);
	if (word == WIRE_ERROR)
		return dial_refused(operation->component, &line);
	return word == WIRE_OK ? CTL_OK : dial_failed(-EPROTO);
}

static int operate(const struct ctl *ctl, const struct operation *operation)
{
	struct dial dial;
	if (dial_open_or_say(&dial, ctl->socket_path) < 0)
		return CTL_NO_DAEMON;
	int status = carry_out(&dial, operation);
	dial_close(&dial);
	return status;
}

int ctl_resign(const struct ctl *ctl, int argc, char *argv[])
{
	static const struct option long_options[] = {{"cooldown", required_argument, NULL, 'c'}, {0}};
	struct operation operation = {.word = WIRE_RESIGN};
	int option;
	while ((option = args_next(argc, argv, ":", long_options)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (args_duration(optarg, &operation.cooldown_ns) < 0)
			return ctl_misuse("resign: --cooldown takes a duration such as 500ms, 30s or 5m");
	}
	if (argc - optind != 1)
		return ctl_misuse("resign takes one COMPONENT");
	if (args_components(1, argv + optind) != CTL_OK)
		return CTL_USAGE;
	operation.component = argv[optind];
	return operate(ctl, &operation);
}

int ctl_transfer(const struct ctl *ctl, int argc, char *argv[])
{
	static const struct option long_options[] = {{0}};
	struct operation operation = {.word = WIRE_TRANSFER};
	if (args_next(argc, argv, ":", long_options) != -1)
		return CTL_USAGE;
	if (argc - optind != 2)
		return ctl_misuse("transfer takes COMPONENT NODE");
	if (args_components(1, argv + optind) != CTL_OK)
		return CTL_USAGE;
	operation.component = argv[optind];
	operation.node = argv[optind + 1];
	if (!name_is_valid(operation.node))
		return ctl_misuse("\"%s\" is no node's name: 1 to 64 of A-Z a-z 0-9 . _ - :", operation.node);
	return operate(ctl, &operation);
}

static int operate_on_all(const struct ctl *ctl, int argc, char *argv[], enum wire_word word)
{
	static const struct option long_options[] = {{0}};
	if (args_next(argc, argv, ":", long_options) != -1)
		return CTL_USAGE;
	if (optind < argc)
		return ctl_misuse("%s takes no operand: %s", argv[0], argv[optind]);
	return operate(ctl, &(struct operation){.word = word});
}

int ctl_pause(const struct ctl *ctl, int argc, char *argv[])
{
	return operate_on_all(ctl, argc, argv, WIRE_PAUSE);
}

int ctl_resume(const struct ctl *ctl, int argc, char *argv[])
{
	return operate_on_all(ctl, argc, argv, WIRE_RESUME);
}
