// SPDX-License-Identifier: Apache-2.0
// resign: another node is to lead.
#include <errno.h>

#include "args.h"
#include "clock.h"
#include "dial.h"

static int ask(struct dial *dial, const char *component, int64_t cooldown_ns)
{
	struct line_writer writer;
	line_begin(&writer, &dial->link.output, wire_word_name(WIRE_RESIGN));
	line_field(&writer, "component", component);
	if (cooldown_ns > 0)
		line_field_i64(&writer, "cooldown_ms", cooldown_ns / NS_PER_MS);
	return line_end(&writer);
}

static int resign(struct dial *dial, const char *component, int64_t cooldown_ns)
{
	struct line line;
	enum wire_word word;
	int error = ask(dial, component, cooldown_ns);
	if (error == 0)
		error = dial_wait(dial, clock_now_ns() + DIAL_ANSWER_NS, &word, &line);
	if (error != 0)
		return dial_failed(error);
	if (word == WIRE_ERROR)
		return dial_refused(component, &line);
	return word == WIRE_OK ? CTL_OK : dial_failed(-EPROTO);
}

int ctl_resign(const struct ctl *ctl, int argc, char *argv[])
{
	static const struct option long_options[] = {{"cooldown", required_argument, NULL, 'c'}, {0}};
	struct dial dial;
	int64_t cooldown_ns = 0;
	int option;
	while ((option = args_next(argc, argv, ":", long_options)) != -1) {
		if (option == '?')
			return CTL_USAGE;
		if (args_duration(optarg, &cooldown_ns) < 0)
			return ctl_misuse("resign: --cooldown takes a duration such as 500ms, 30s or 5m");
	}
	if (argc - optind != 1)
		return ctl_misuse("resign takes one COMPONENT");
	if (args_components(1, argv + optind) != CTL_OK)
		return CTL_USAGE;
	if (dial_open_or_say(&dial, ctl->socket_path) < 0)
		return CTL_NO_DAEMON;
	int status = resign(&dial, argv[optind], cooldown_ns);
	dial_close(&dial);
	return status;
}
