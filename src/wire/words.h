// SPDX-License-Identifier: Apache-2.0
// The words of the socket protocol that both sides know: requests, answers, pushed lines, error codes.
// (The reasons of a revocation are the core's, election_reason_name(); clients take them as text.)
#ifndef TENURE_WORDS_H
#define TENURE_WORDS_H

#include "base.h"

#define WIRE_VERSION 1

#define WIRE_SOCKET_NAME "tenured.sock"
#define WIRE_TERMS_NAME "terms"
#define WIRE_DEFAULT_SOCKET "/run/tenure/" WIRE_SOCKET_NAME

enum wire_word {
	// requests
	WIRE_HELLO,
	WIRE_JOIN,
	WIRE_STARTED,
	WIRE_STOPPED,
	WIRE_ALIVE,
	WIRE_YIELD,
	WIRE_LEAVE,
	WIRE_CHECK,
	WIRE_STATUS,
	WIRE_WATCH,
	WIRE_RESIGN,
	WIRE_TRANSFER,
	WIRE_PAUSE,
	WIRE_RESUME,
	WIRE_RELOAD,
	WIRE_HISTORY,
	// answers
	WIRE_OK,
	WIRE_ERROR,
	WIRE_ROW,
	WIRE_PAST,
	// pushed
	WIRE_GRANTED,
	WIRE_EXTENDED,
	WIRE_REVOKED,
	WIRE_LEADER,
	WIRE_WORDS, // how many there are
};

enum wire_code {
	WIRE_CODE_SYNTAX,
	WIRE_CODE_VERSION,
	WIRE_CODE_UNKNOWN_REQUEST,
	WIRE_CODE_UNKNOWN_COMPONENT,
	WIRE_CODE_NOT_JOINED,
	WIRE_CODE_STALE,
	WIRE_CODE_DENIED,
	WIRE_CODE_BUSY,
	WIRE_CODE_TOO_MANY,
	WIRE_CODE_UNAVAILABLE,
	WIRE_CODES,
};

const char *wire_word_name(enum wire_word word);
const char *wire_code_name(enum wire_code code);

// 0, or -ENOENT where `name` is none of them.
int wire_word_find(const char *name, enum wire_word *ret) MUST_CHECK;
int wire_code_find(const char *name, enum wire_code *ret) MUST_CHECK;

#endif
