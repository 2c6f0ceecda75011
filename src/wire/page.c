// SPDX-License-Identifier: Apache-2.0
#include "page.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exchange.h"

_Static_assert(PAGE_INCARNATION_SIZE == INCARNATION_SIZE, "the page holds an incarnation");

#define PAGE_MODE 0644
#define PAGE_TEMPORARY ".new"

struct page {
	void *memory;
	size_t size;
	struct page_header *header;
	struct page_slot *slots;
	uint32_t slot_count;
};

static size_t file_size(uint32_t slot_count)
{
	return PAGE_HEADER_SIZE + (size_t)slot_count * PAGE_SLOT_SIZE;
}

static void say(char why[static PAGE_WHY_SIZE], const char *text)
{
	snprintf(why, PAGE_WHY_SIZE, "%s", text);
}

// The sequence lock of one writer. The stores in between release, so that a reader that sees one of them sees the odd
// sequence as well.
static void write_begin(_Atomic uint32_t *sequence)
{
	uint32_t even = atomic_load_explicit(sequence, memory_order_relaxed) & ~1U;
	atomic_store_explicit(sequence, even + 1, memory_order_relaxed);
}

static void write_end(_Atomic uint32_t *sequence)
{
	uint32_t odd = atomic_load_explicit(sequence, memory_order_relaxed);
	atomic_store_explicit(sequence, odd + 1, memory_order_release);
}

static void write_term(struct page_slot *slot, const struct page_term *term)
{
	write_begin(&slot->sequence);
	atomic_store_explicit(&slot->term, term->term, memory_order_release);
	atomic_store_explicit(&slot->deadline, term->deadline, memory_order_release);
	atomic_store_explicit(&slot->flags, term->flags, memory_order_release);
	write_end(&slot->sequence);
}

static bool is_torn(const _Atomic uint32_t *sequence)
{
	return atomic_load_explicit(sequence, memory_order_relaxed) & 1;
}

static bool is_used(const struct page_slot *slot)
{
	return atomic_load_explicit(&slot->used, memory_order_acquire) != 0;
}

static int map(struct page *page, int fd, uint32_t slot_count)
{
	size_t size = file_size(slot_count);
	// A hole in the file would be a SIGBUS when the disk is full.
	int error = posix_fallocate(fd, 0, (off_t)size);
	if (error != 0)
		return -error;
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	page->memory = memory;
	page->size = size;
	page->header = memory;
	page->slots = (struct page_slot *)(void *)((char *)memory + PAGE_HEADER_SIZE);
	page->slot_count = slot_count;
	return 0;
}

static void unmap(struct page *page)
{
	if (page->memory)
		munmap(page->memory, page->size);
	page->memory = NULL;
}

// NULL, or why the header is not one that this program can go on with.
static const char *header_problem(const struct page_header *header, const char *boot_id, off_t size)
{
	if (memcmp(header->magic, PAGE_MAGIC, sizeof header->magic) != 0)
		return "the old file is not a terms page";
	if (header->version != PAGE_VERSION)
		return "the old page has another version";
	if (strncmp(header->boot_id, boot_id, sizeof header->boot_id) != 0)
		return "the old page is of another boot";
	if (header->header_size != PAGE_HEADER_SIZE || header->slot_size != PAGE_SLOT_SIZE || header->slot_count == 0 ||
		header->slot_count > PAGE_SLOTS_MAX)
		return "the old page has an impossible layout";
	if (size != (off_t)file_size(header->slot_count))
		return "the old page has the wrong size";
	return NULL;
}

// 0 and an open file; -ENOENT with a reason where a fresh one is to be made; another -errno where it must not be.
static int open_old(
	const char *path, const char *boot_id, int *ret_fd, uint32_t *ret_slot_count, char why[PAGE_WHY_SIZE])
{
	struct page_header header;
	struct stat status;
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	int error = fd < 0 ? -errno : 0;
	if (error == -ELOOP)
		say(why, "it is a symbolic link; remove it");
	else if (error == -ENOENT)
		say(why, "there was none");
	else if (error < 0)
		snprintf(why, PAGE_WHY_SIZE, "it cannot be opened: %s", strerror(-error));
	if (error < 0)
		return error;

	error = -EPERM;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		say(why, "it is not a regular file; remove it");
		goto fail;
	}
	if (status.st_uid != geteuid()) {
		say(why, "it belongs to another user; remove it");
		goto fail;
	}
	if (status.st_nlink != 1) {
		say(why, "it has another name (a hard link); remove it");
		goto fail;
	}
	error = -ENOENT;
	if (status.st_mode & (S_IWGRP | S_IWOTH)) {
		say(why, "others could write the old page");
		goto fail;
	}
	if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header) {
		say(why, "the old page is too short");
		goto fail;
	}
	const char *problem = header_problem(&header, boot_id, status.st_size);
	if (problem) {
		say(why, problem);
		goto fail;
	}
	*ret_fd = fd;
	*ret_slot_count = header.slot_count;
	return 0;
fail:
	close(fd);
	return error;
}

static bool has_live_term(const struct page *page, int64_t now)
{
	for (uint32_t i = 0; i < page->slot_count; i++) {
		struct page_term term;
		if (page_slot_read(&page->slots[i], &term) && term.term != 0 && term.deadline > now)
			return true;
	}
	return false;
}

static bool is_full(const struct page *page)
{
	for (uint32_t i = 0; i < page->slot_count; i++)
		if (!is_used(&page->slots[i]))
			return false;
	return true;
}

// What a daemon that was killed in the middle of a write left.
static void repair(struct page *page)
{
	static const struct page_term none;
	for (uint32_t i = 0; i < page->slot_count; i++)
		if (is_torn(&page->slots[i].sequence))
			write_term(&page->slots[i], &none);
}

// 1: `page` has it; 0: there is none to be kept; or -errno.
static int keep_old(
	struct page *page, const char *path, const char *boot_id, uint32_t wanted, int64_t now, char why[PAGE_WHY_SIZE])
{
	int fd;
	uint32_t slot_count;
	int error = open_old(path, boot_id, &fd, &slot_count, why);
	if (error < 0)
		return error == -ENOENT ? 0 : error;
	error = map(page, fd, slot_count);
	close(fd);
	if (error < 0) {
		snprintf(why, PAGE_WHY_SIZE, "it cannot be mapped: %s", strerror(-error));
		return error;
	}
	repair(page);
	if ((slot_count < wanted || is_full(page)) && !has_live_term(page, now)) {
		say(why, "the old page was full or too small, and no term in it is alive");
		unmap(page);
		return 0;
	}
	why[0] = '\0';
	return 1;
}

static void fill(struct page *page, const char *boot_id)
{
	struct page_header *header = page->header;
	assert(header);
	memcpy(header->magic, PAGE_MAGIC, sizeof header->magic);
	header->version = PAGE_VERSION;
	header->header_size = PAGE_HEADER_SIZE;
	header->slot_size = PAGE_SLOT_SIZE;
	header->slot_count = page->slot_count;
	snprintf(header->boot_id, sizeof header->boot_id, "%s", boot_id);
}

static int make_file(struct page *page, int fd, const char *boot_id, uint32_t slot_count)
{
	if (fchmod(fd, PAGE_MODE) < 0)
		return -errno;
	int error = map(page, fd, slot_count);
	if (error == 0)
		fill(page, boot_id);
	return error;
}

static int make_fresh(struct page *page, const char *path, const char *boot_id, uint32_t slot_count)
{
	char *temporary;
	if (asprintf(&temporary, "%s" PAGE_TEMPORARY, path) < 0)
		return -ENOMEM;
	unlink(temporary); // of a daemon that was killed here
	int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, PAGE_MODE);
	int error = fd < 0 ? -errno : make_file(page, fd, boot_id, slot_count);
	if (error == 0 && rename(temporary, path) < 0)
		error = -errno;
	if (error < 0 && fd >= 0)
		unlink(temporary);
	if (fd >= 0)
		close(fd);
	free(temporary);
	if (error < 0)
		unmap(page);
	return error;
}

int page_open(struct page **ret, const char *path, const char *boot_id, uint32_t slot_count, int64_t now,
	char ret_why[static PAGE_WHY_SIZE])
{
	assert(slot_count > 0 && slot_count <= PAGE_SLOTS_MAX);
	struct page *page = calloc(1, sizeof *page);
	if (!page)
		return -ENOMEM;
	int kept = keep_old(page, path, boot_id, slot_count, now, ret_why);
	int error = kept;
	if (kept == 0) {
		error = make_fresh(page, path, boot_id, slot_count);
		if (error < 0)
			snprintf(ret_why, PAGE_WHY_SIZE, "it cannot be written: %s", strerror(-error));
	}
	if (error < 0) {
		page_free(page);
		return error;
	}
	*ret = page;
	return kept;
}

void page_free(struct page *page)
{
	if (!page)
		return;
	unmap(page);
	free(page);
}

uint32_t page_slot_count(const struct page *page)
{
	return page->slot_count;
}

int page_slot(struct page *page, const char *component)
{
	assert(name_is_valid(component));
	for (uint32_t i = 0; i < page->slot_count; i++) {
		struct page_slot *slot = &page->slots[i];
		if (is_used(slot) && strncmp(slot->component, component, sizeof slot->component) == 0)
			return (int)i;
		if (is_used(slot))
			continue;
		snprintf(slot->component, sizeof slot->component, "%s", component);
		atomic_store_explicit(&slot->used, 1, memory_order_release);
		return (int)i;
	}
	return -ENOSPC;
}

void page_set(struct page *page, uint32_t index, const struct page_term *term)
{
	static const struct page_term none;
	assert(index < page->slot_count);
	struct page_slot *slot = &page->slots[index];
	uint64_t current = atomic_load_explicit(&slot->term, memory_order_relaxed);
	if (current == term->term && current != 0) {
		atomic_store_explicit(&slot->flags, term->flags, memory_order_release);
		atomic_store_explicit(&slot->deadline, term->deadline, memory_order_release);
		return;
	}
	if (current != term->term)
		write_term(slot, term->term ? term : &none);
}

// FNV-1a.
uint64_t page_lease_mark(const char *lease)
{
	uint64_t mark = UINT64_C(0xcbf29ce484222325);
	for (; *lease; lease++)
		mark = (mark ^ (uint8_t)*lease) * UINT64_C(0x100000001b3);
	return mark;
}

void page_set_lease(struct page *page, uint32_t index, uint64_t mark)
{
	assert(index < page->slot_count);
	atomic_store_explicit(&page->slots[index].lease, mark, memory_order_release);
}

bool page_is_of(const struct page *page, uint32_t index, const char *lease)
{
	assert(index < page->slot_count);
	const struct page_slot *slot = &page->slots[index];
	uint64_t mark = atomic_load_explicit(&slot->lease, memory_order_acquire);
	return mark == 0 ? strcmp(slot->component, lease) == 0 : mark == page_lease_mark(lease);
}

int page_get(const struct page *page, uint32_t index, int64_t now, const char **ret_component,
	struct page_term *ret_term, char ret_why[static PAGE_WHY_SIZE])
{
	assert(index < page->slot_count);
	const struct page_slot *slot = &page->slots[index];
	struct page_term term;
	if (!is_used(slot))
		return -ENOENT;
	if (!memchr(slot->component, '\0', sizeof slot->component) || !name_is_valid(slot->component)) {
		snprintf(ret_why, PAGE_WHY_SIZE, "slot %" PRIu32 " has an impossible name", index);
		return -EBADMSG;
	}
	if (!page_slot_read(slot, &term)) {
		snprintf(ret_why, PAGE_WHY_SIZE, "the slot of %s was torn", slot->component);
		return -EBADMSG;
	}
	if (term.term != 0 && (term.deadline < 0 || term.deadline > now + PAGE_HORIZON_NS)) {
		snprintf(ret_why, PAGE_WHY_SIZE, "the term of %s has an impossible deadline", slot->component);
		return -EBADMSG;
	}
	*ret_component = slot->component;
	*ret_term = term;
	return 0;
}

void page_set_session(struct page *page, const struct page_session *session)
{
	struct page_header *header = page->header;
	write_begin(&header->session_sequence);
	atomic_signal_fence(memory_order_seq_cst);
	memset(header->session, 0, sizeof header->session);
	atomic_store_explicit(&header->valid_until, session ? session->valid_until : 0, memory_order_relaxed);
	if (session) {
		memcpy(header->session, session->id.byte, sizeof header->session);
		header->lease_ms = session->lease_ms;
		snprintf(header->node, sizeof header->node, "%s", session->node);
		snprintf(header->incarnation, sizeof header->incarnation, "%s", session->incarnation);
	}
	write_end(&header->session_sequence);
}

void page_set_valid_until(struct page *page, int64_t valid_until)
{
	atomic_store_explicit(&page->header->valid_until, valid_until, memory_order_relaxed);
}

// NULL, or why it cannot be so.
static const char *session_problem(const struct page_session *session, int64_t now)
{
	int64_t horizon = now + PAGE_HORIZON_NS;
	if (session->lease_ms <= 0 || session->lease_ms > PAGE_HORIZON_NS / NS_PER_MS)
		return "the session has an impossible lease";
	if (session->valid_until < 0 || session->valid_until > horizon ||
		session->valid_until > now + session->lease_ms * NS_PER_MS)
		return "the session has an impossible deadline";
	if (!memchr(session->node, '\0', sizeof session->node) || !name_is_valid(session->node))
		return "the session has an impossible node name";
	if (!memchr(session->incarnation, '\0', sizeof session->incarnation))
		return "the session has an impossible incarnation";
	return NULL;
}

int page_get_session(const struct page *page, int64_t now, struct page_session *ret, char ret_why[static PAGE_WHY_SIZE])
{
	const struct page_header *header = page->header;
	struct page_session session = {
		.lease_ms = header->lease_ms,
		.valid_until = atomic_load_explicit(&header->valid_until, memory_order_relaxed),
	};
	memcpy(session.id.byte, header->session, sizeof session.id.byte);
	memcpy(session.node, header->node, sizeof session.node);
	memcpy(session.incarnation, header->incarnation, sizeof session.incarnation);
	if (is_torn(&header->session_sequence)) {
		say(ret_why, "the session was torn");
		return -EBADMSG;
	}
	if (uuid_is_none(&session.id)) {
		say(ret_why, "there was no session");
		return -ENOENT;
	}
	const char *problem = session_problem(&session, now);
	if (problem) {
		say(ret_why, problem);
		return -EBADMSG;
	}
	if (session.valid_until <= now) {
		say(ret_why, "the session lapsed");
		return -ESTALE;
	}
	*ret = session;
	return 0;
}
