// SPDX-License-Identifier: Apache-2.0
// Inside libtenure: the handle, and who does what to it.
//
//   tenure.c    the interface: descriptors, timer, events out
//   protocol.c  what the daemon says and what it is told
//   terms.c     the terms page, and what the term is worth by now
#ifndef TENURE_HANDLE_H
#define TENURE_HANDLE_H

#include "link.h"
#include "page.h"
#include "tenure_private.h"
#include "words.h"

// The most requests that wait for an answer.
#define HANDLE_ASKED 16
#define HANDLE_REFUSAL_SIZE 160

#define HANDLE_RETRY_FIRST_NS (10 * NS_PER_MS)
#define HANDLE_RETRY_LAST_NS (250 * NS_PER_MS)
// After a refusal: somebody has to change a configuration.
#define HANDLE_RETRY_REFUSED_NS (1 * NS_PER_S)

enum stage {
	STAGE_DOWN,     // no connection; the next attempt is at retry_at
	STAGE_GREETING, // hello was sent
	STAGE_IDLE,     // greeted; the work of a term that is over has not ended, so not joined
	STAGE_JOINING,  // join was sent
	STAGE_JOINED,
	STAGE_BROKEN, // the daemon talks nonsense; kept open, for its end would say that the work has ended
};

// Pages are kept until the handle is closed: other threads may be reading them.
struct terms_page {
	struct page_view view;
	struct terms_page *next;
};

struct tenure {
	char *socket_path;
	char component[NAME_BYTES + 1];
	char lease[NAME_BYTES + 1]; // what it leads by: the component's own name, or that of its group
	int64_t heartbeat_ms;
	int epoll_fd;
	int timer_fd;
	bool watching_output;

	struct link link;
	// The connection that was lost while there was work, or -1: its end would tell a daemon that still lives
	// that the work has ended (W12).
	int held_fd;
	enum stage stage;
	enum wire_word asked[HANDLE_ASKED]; // oldest first
	unsigned asked_count;
	uint64_t asked_term; // of the join
	int trouble;         // of the last attempt to connect, or 0
	int64_t retry_at;
	int64_t retry_ns;
	bool more;   // lines were left: the socket will not say so
	int refused; // to be returned by tenure_process()
	char refusal[HANDLE_REFUSAL_SIZE];

	struct terms_page *pages;            // the newest first
	const struct page_slot *joined_slot; // where the join that was sent will look

	// The work: from GRANTED to stopped.
	uint64_t work;      // its term, or 0
	bool over;          // REVOKED or LOST was told
	bool started;       // and so to be said again after a reconnect
	uint64_t last_term; // the last one granted: none comes twice
	int64_t grace_ns;

	// What other threads read. The deadline is written before the term, and the term last when it ends.
	_Atomic uint64_t term;
	_Atomic int64_t deadline;               // where there is no slot
	_Atomic(const struct page_slot *) slot; // NULL: the daemon sends `extended`

	struct tenure_event event; // what tenure_process() is to return
};

// terms.c
void terms_done(struct tenure *t);
// Maps the page at `path`, where it can be; joined_slot is the component's, or NULL.
void terms_find(struct tenure *t, const char *path, const char *boot_id);
// The join was answered: from here on the term is looked up at joined_slot.
void terms_adopt(struct tenure *t);
void terms_begin(struct tenure *t, uint64_t term, int64_t deadline);
void terms_extend(struct tenure *t, int64_t deadline);
// The deadline will not move any more.
void terms_freeze(struct tenure *t, int64_t deadline);
// No term is valid from here on.
void terms_end(struct tenure *t);

// protocol.c
// Each returns 0 or -errno; what cannot be sent now waits.
int protocol_connect(struct tenure *t) MUST_CHECK;
void protocol_disconnect(struct tenure *t, int64_t now);
// There is no work any more, or another connection carries it.
void protocol_let_go(struct tenure *t);
// Takes lines until one of them makes an event or none is left.
void protocol_read(struct tenure *t, int64_t now);
int protocol_say(struct tenure *t, enum wire_word word) MUST_CHECK;
// `message`: NULL, or what the worker says of itself.
int protocol_alive(struct tenure *t, const char *message) MUST_CHECK;
int protocol_yield(struct tenure *t, int64_t cooldown_ms, const char *reason) MUST_CHECK;
int protocol_join(struct tenure *t) MUST_CHECK;
// The term is over without the daemon having said so.
void protocol_lost(struct tenure *t, const char *reason);

#endif
