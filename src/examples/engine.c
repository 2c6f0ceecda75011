// SPDX-License-Identifier: Apache-2.0
// Runtime instances: SERVICE-NUMBER is a file in DIRECTORY, its first line the state. The table `runtimes` gets what
// follows from it: the service, and whether this one can be used.
//
// engine DATABASE DIRECTORY SOCKETS: who connects to SOCKETS/engine.events hears what changes in this term.
#include <string.h>

#include "mirror.h"

static int derive(const char *name, char *text, const char *values[MIRROR_VALUES_MAX])
{
	const char *dash = strrchr(name, '-');
	const char *healthy = strcmp(text, "running") == 0 ? "1" : "0";
	if (!dash || dash == name || (size_t)(dash - name) >= MIRROR_TEXT_SIZE)
		return 0;
	memcpy(text, name, (size_t)(dash - name));
	text[dash - name] = '\0';
	values[0] = name;
	values[1] = text;
	values[2] = healthy;
	return 3;
}

int main(int argc, char *argv[])
{
	struct mirror engine = {
		.clear = "DELETE FROM runtimes",
		.remove = "DELETE FROM runtimes WHERE name = ?",
		.insert = "INSERT INTO runtimes (name, service, healthy, term) VALUES (?, ?, ?, ?)",
		.derive = derive,
	};
	return mirror_main(&engine, "engine", argc, argv);
}
