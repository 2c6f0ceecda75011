// SPDX-License-Identifier: Apache-2.0
#include "words.h"

#include <assert.h>
#include <errno.h>

static const char *const words[WIRE_WORDS] = {
	[WIRE_HELLO] = "hello",
	[WIRE_JOIN] = "join",
	[WIRE_STARTED] = "started",
	[WIRE_STOPPED] = "stopped",
	[WIRE_ALIVE] = "alive",
	[WIRE_YIELD] = "yield",
	[WIRE_LEAVE] = "leave",
	[WIRE_CHECK] = "check",
	[WIRE_STATUS] = "status",
	[WIRE_WATCH] = "watch",
	[WIRE_RESIGN] = "resign",
	[WIRE_TRANSFER] = "transfer",
	[WIRE_PAUSE] = "pause",
	[WIRE_RESUME] = "resume",
	[WIRE_RELOAD] = "reload",
	[WIRE_HISTORY] = "history",
	[WIRE_OK] = "ok",
	[WIRE_ERROR] = "error",
	[WIRE_ROW] = "row",
	[WIRE_PAST] = "past",
	[WIRE_GRANTED] = "granted",
	[WIRE_EXTENDED] = "extended",
	[WIRE_REVOKED] = "revoked",
	[WIRE_LEADER] = "leader",
};

static const char *const codes[WIRE_CODES] = {
	[WIRE_CODE_SYNTAX] = "syntax",
	[WIRE_CODE_VERSION] = "version",
	[WIRE_CODE_UNKNOWN_REQUEST] = "unknown-request",
	[WIRE_CODE_UNKNOWN_COMPONENT] = "unknown-component",
	[WIRE_CODE_NOT_JOINED] = "not-joined",
	[WIRE_CODE_STALE] = "stale",
	[WIRE_CODE_DENIED] = "denied",
	[WIRE_CODE_BUSY] = "busy",
	[WIRE_CODE_TOO_MANY] = "too-many",
	[WIRE_CODE_UNAVAILABLE] = "unavailable",
};

static int find(const char *const *names, unsigned count, const char *name, unsigned *ret)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		*ret = i;
		return 0;
	}
	return -ENOENT;
}

const char *wire_word_name(enum wire_word word)
{
	assert(word < WIRE_WORDS);
	return words[word];
}

const char *wire_code_name(enum wire_code code)
{
	assert(code < WIRE_CODES);
	return codes[code];
}

int wire_word_find(const char *name, enum wire_word *ret)
{
	unsigned found;
	int error = find(words, WIRE_WORDS, name, &found);
	if (error == 0)
		*ret = (enum wire_word)found;
	return error;
}

int wire_code_find(const char *name, enum wire_code *ret)
{
	unsigned found;
	int error = find(codes, WIRE_CODES, name, &found);
	if (error == 0)
		*ret = (enum wire_code)found;
	return error;
}
