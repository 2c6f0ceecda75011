// SPDX-License-Identifier: Apache-2.0
// Service instances: a file each in DIRECTORY, its first line the address, becomes a row of the table `instances`.
//
// discovery DATABASE DIRECTORY SOCKETS: who connects to SOCKETS/discovery.events hears what changes in this term.
#include "mirror.h"

static int derive(const char *name, char *text, const char *values[MIRROR_VALUES_MAX])
{
	if (*text == '\0')
		return 0;
	values[0] = name;
	values[1] = text;
	return 2;
}

int main(int argc, char *argv[])
{
	struct mirror discovery = {
		.clear = "DELETE FROM instances",
		.remove = "DELETE FROM instances WHERE name = ?",
		.insert = "INSERT INTO instances (name, address, term) VALUES (?, ?, ?)",
		.derive = derive,
	};
	return mirror_main(&discovery, "discovery", argc, argv);
}
