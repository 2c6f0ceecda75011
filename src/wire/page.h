// SPDX-License-Identifier: Apache-2.0
// The terms page `<runtime_dir>/terms`: written by the daemon alone, mapped read-only by its workers.
//
// A header, then slots. A slot belongs to one component for the page's life. Granting and clearing a term go through
// the slot's sequence lock; extending it and marking it are single atomic stores, so a reader is never turned away
// from a term that is held. A daemon killed in the middle of a write leaves an odd sequence: readers take it for no
// term, and page_open() repairs it.
#ifndef TENURE_PAGE_H
#define TENURE_PAGE_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base.h"
#include "clock.h"

#define PAGE_MAGIC "tenure\r\n" // 8 bytes
#define PAGE_VERSION 1
#define PAGE_HEADER_SIZE 512
#define PAGE_SLOT_SIZE 128
// The most slots of a page: two megabytes.
#define PAGE_SLOTS_MAX 16384
// No lease is longer (10 minutes), so no deadline is further away.
#define PAGE_HORIZON_NS (600 * NS_PER_S)
// INCARNATION_SIZE, which the client's layer does not see; page.c asserts that they are the same.
#define PAGE_INCARNATION_SIZE 160
#define PAGE_WHY_SIZE 160

enum page_flag {
	PAGE_STARTED = 1 << 0, // the worker said so
	PAGE_REVOKED = 1 << 1, // the deadline is frozen
};

struct page_header {
	char magic[8];
	uint32_t version;
	uint32_t header_size;
	uint32_t slot_size;
	uint32_t slot_count;
	char boot_id[BOOT_ID_SIZE];
	// What follows is the daemon's own, for resuming.
	_Atomic uint32_t session_sequence; // odd while the fields below are written
	_Atomic int64_t valid_until;
	int64_t lease_ms;
	uint8_t session[16]; // all zero: none
	char node[NAME_BYTES + 1];
	char incarnation[PAGE_INCARNATION_SIZE];
};

struct page_slot {
	_Atomic uint32_t sequence; // odd while term and deadline are written
	_Atomic uint32_t used;     // set once, when the name is complete
	_Atomic uint64_t term;     // 0: none
	_Atomic int64_t deadline;
	_Atomic uint32_t flags; // enum page_flag
	char component[NAME_BYTES + 1];
	_Atomic uint64_t lease; // the daemon's own, for resuming: the mark of the lease that the term is of
} __attribute__((aligned(PAGE_SLOT_SIZE)));

_Static_assert(sizeof(struct page_header) <= PAGE_HEADER_SIZE, "the header outgrew its place");
_Static_assert(sizeof(struct page_slot) == PAGE_SLOT_SIZE, "a slot is one pair of cache lines");

struct page_term {
	uint64_t term; // 0: none, and the rest means nothing
	int64_t deadline;
	uint32_t flags;
};

struct page_session {
	struct uuid id;
	char node[NAME_BYTES + 1];
	int64_t lease_ms; // as the session's row says: how long others wait
	char incarnation[PAGE_INCARNATION_SIZE];
	int64_t valid_until;
};

// The daemon's side.
struct page;

// Opens the page at `path` or makes a fresh one, mode 0644, by rename.
// 1: the page of this boot was kept, the same file, since workers have it mapped; torn slots were cleared.
// 0: a fresh page with `slot_count` slots; `ret_why` tells why the old one, if any, could not be kept.
// A page whose slots are all taken, or that has fewer than `slot_count`, is kept only while a term in it lives.
// -errno with the same text: it could be neither kept nor made (-ELOOP: a symbolic link, -EPERM: somebody else's file,
// or not a regular one).
int page_open(struct page **ret, const char *path, const char *boot_id, uint32_t slot_count, int64_t now,
	char ret_why[static PAGE_WHY_SIZE]) MUST_CHECK;
// Unmaps; the file and what it says stay for the next daemon. Takes NULL.
void page_free(struct page *page);

uint32_t page_slot_count(const struct page *page);
// The component's slot, taken now where it has none. -ENOSPC: all are taken; its workers need `extended` lines.
int page_slot(struct page *page, const char *component) MUST_CHECK;

// Grants (another term), extends or marks (the same term), or clears (term 0; `deadline` and `flags` are ignored).
void page_set(struct page *page, uint32_t index, const struct page_term *term);

// A lease is known by the mark of its name: a group's components have the same (W19). To be set before the term.
uint64_t page_lease_mark(const char *lease);
void page_set_lease(struct page *page, uint32_t index, uint64_t mark);
// Whether the slot's term, if it has one, is of the lease of that name. Without a mark it is of its component's own.
bool page_is_of(const struct page *page, uint32_t index, const char *lease);

// What a slot says. 0; -ENOENT: the slot is free; -EBADMSG: implausible, and `ret_why` tells.
int page_get(const struct page *page, uint32_t index, int64_t now, const char **ret_component,
	struct page_term *ret_term, char ret_why[static PAGE_WHY_SIZE]) MUST_CHECK;

// NULL: no session.
void page_set_session(struct page *page, const struct page_session *session);
// The same session was renewed.
void page_set_valid_until(struct page *page, int64_t valid_until);
// 0; -ENOENT: none; -ESTALE: it lapsed; -EBADMSG: torn or implausible. `ret_why` tells.
int page_get_session(
	const struct page *page, int64_t now, struct page_session *ret, char ret_why[static PAGE_WHY_SIZE]) MUST_CHECK;

// The readers' side.
struct page_view {
	const void *memory; // NULL: not open
	size_t size;
	uint32_t slot_count;
	const struct page_slot *slots;
	dev_t device; // which file it is
	ino_t inode;
};

// 0; -ESTALE: of another boot; -EPROTO: not a page of this version; another -errno from the system.
int page_view_open(struct page_view *ret, const char *path, const char *boot_id) MUST_CHECK;
void page_view_close(struct page_view *view);
// Lets go of the file, but not of the addresses: a thread that still reads there reads zeros, which are no term.
void page_view_retire(struct page_view *view);

// The component's slot, or -ENOENT.
int page_view_find(const struct page_view *view, const char *component) MUST_CHECK;

// 0; -ENOENT: the slot is not this component's; -EAGAIN: the slot is being written.
int page_view_get(
	const struct page_view *view, uint32_t index, const char *component, struct page_term *ret) MUST_CHECK;

// How often a reader looks again while the slot is being written.
#define PAGE_READ_TRIES 32

// Reads a slot consistently; false where it is being written. The loads acquire, so that the second look at the
// sequence cannot come before them; no fence is needed (and thread sanitizers know none).
static inline bool page_slot_read(const struct page_slot *slot, struct page_term *ret)
{
	for (int tries = 0; tries < PAGE_READ_TRIES; tries++) {
		uint32_t before = atomic_load_explicit(&slot->sequence, memory_order_acquire);
		uint64_t term = atomic_load_explicit(&slot->term, memory_order_acquire);
		int64_t deadline = atomic_load_explicit(&slot->deadline, memory_order_acquire);
		uint32_t flags = atomic_load_explicit(&slot->flags, memory_order_acquire);

		if ((before & 1) == 0 && atomic_load_explicit(&slot->sequence, memory_order_relaxed) == before) {
			*ret = (struct page_term){term, deadline, flags};
			return true;
		}
	}
	return false;
}

// A deadline that a daemon can have written: one that is further away is no term to rely on.
static inline bool page_deadline_can_be(int64_t deadline, int64_t now)
{
	return deadline <= now + PAGE_HORIZON_NS;
}

// The deadline of `term`, or INT64_MIN where the slot holds another one. Read the clock after this call, not before:
// a pause in between then says no (W7).
static inline int64_t page_slot_deadline(const struct page_slot *slot, uint64_t term)
{
	struct page_term there;
	if (term == 0 || !page_slot_read(slot, &there) || there.term != term)
		return INT64_MIN;
	return there.deadline;
}

static inline bool page_view_valid(const struct page_view *view, uint32_t slot, uint64_t term, int64_t now)
{
	int64_t deadline = slot < view->slot_count ? page_slot_deadline(&view->slots[slot], term) : INT64_MIN;
	return now < deadline && page_deadline_can_be(deadline, now);
}

#endif
