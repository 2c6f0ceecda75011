// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>

#include "handle.h"

void terms_done(struct tenure *t)
{
	while (t->pages) {
		struct terms_page *page = t->pages;
		t->pages = page->next;
		page_view_close(&page->view);
		free(page);
	}
}

static bool is_newest(const struct tenure *t, const struct page_view *view)
{
	return t->pages && t->pages->view.inode == view->inode && t->pages->view.device == view->device;
}

// The newest page is the one at `path`, or -errno.
static int open_page(struct tenure *t, const char *path, const char *boot_id)
{
	struct page_view view;
	int error = page_view_open(&view, path, boot_id);
	if (error < 0)
		return error;
	if (is_newest(t, &view)) {
		page_view_close(&view);
		return 0;
	}
	struct terms_page *page = malloc(sizeof *page);
	if (!page) {
		page_view_close(&view);
		return -ENOMEM;
	}
	*page = (struct terms_page){.view = view, .next = t->pages};
	t->pages = page;
	return 0;
}

void terms_find(struct tenure *t, const char *path, const char *boot_id)
{
	t->joined_slot = NULL;
	if (open_page(t, path, boot_id) < 0)
		return;
	const struct page_view *newest = &t->pages->view;
	int slot = page_view_find(newest, t->component);
	if (slot >= 0)
		t->joined_slot = &newest->slots[slot];
}

void terms_adopt(struct tenure *t)
{
	// The slot it was looked up at may be gone in a moment.
	if (t->work != 0 && !t->joined_slot)
		atomic_store_explicit(&t->deadline, tenure_deadline(t), memory_order_release);
	atomic_store_explicit(&t->slot, t->joined_slot, memory_order_release);
	for (struct terms_page *page = t->pages; page; page = page->next)
		if (page != t->pages)
			page_view_retire(&page->view);
}

void terms_begin(struct tenure *t, uint64_t term, int64_t deadline)
{
	atomic_store_explicit(&t->deadline, deadline, memory_order_release);
	atomic_store_explicit(&t->term, term, memory_order_release);
}

void terms_extend(struct tenure *t, int64_t deadline)
{
	if (deadline > atomic_load_explicit(&t->deadline, memory_order_relaxed))
		atomic_store_explicit(&t->deadline, deadline, memory_order_release);
}

void terms_freeze(struct tenure *t, int64_t deadline)
{
	atomic_store_explicit(&t->deadline, deadline, memory_order_release);
}

void terms_end(struct tenure *t)
{
	atomic_store_explicit(&t->term, 0, memory_order_release);
}

uint64_t tenure_term(const struct tenure *t)
{
	return atomic_load_explicit(&t->term, memory_order_acquire);
}

static int64_t deadline_there(const struct tenure *t)
{
	uint64_t term = atomic_load_explicit(&t->term, memory_order_acquire);
	if (term == 0)
		return INT64_MIN;
	const struct page_slot *slot = atomic_load_explicit(&t->slot, memory_order_acquire);
	int64_t deadline =
		slot ? page_slot_deadline(slot, term) : atomic_load_explicit(&t->deadline, memory_order_acquire);
	// Where a term ended and another began in between, the deadline may be the other's.
	return atomic_load_explicit(&t->term, memory_order_relaxed) == term ? deadline : INT64_MIN;
}

int64_t tenure_deadline(const struct tenure *t)
{
	int64_t deadline = deadline_there(t);
	return page_deadline_can_be(deadline, clock_now_ns()) ? deadline : INT64_MIN;
}

const void *tenure_page(const struct tenure *t)
{
	return atomic_load_explicit(&t->slot, memory_order_relaxed);
}

bool tenure_valid(const struct tenure *t)
{
	// The clock is read last: a pause in between says no (W7).
	int64_t deadline = deadline_there(t);
	int64_t now = clock_now_ns();
	return now < deadline && page_deadline_can_be(deadline, now);
}
