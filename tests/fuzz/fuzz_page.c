// SPDX-License-Identifier: Apache-2.0
// A terms page that somebody else wrote: what libtenure and the next daemon make of it.
//
// The input is the file, or (where its first byte is odd) changes of single bytes of a page that is in order.
#include "fuzz.h"

#include "handle.h"
#include "page.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS 3

static const char boot_id[] = "11111111-2222-4333-8444-555555555555";
static const char *const names[] = {"engine", "counter", "discovery", "nobody"};
static char directory[] = "/dev/shm/tenure-fuzz-XXXXXX";
static char path[64];

static void remove_directory(void)
{
	unlink(path);
	rmdir(directory);
}

static void make_directory(void)
{
	if (*path != '\0')
		return;
	MUST(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/terms", directory);
	MUST(atexit(remove_directory) == 0);
}

static void write_page(const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	MUST(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
	close(fd);
}

static void write_good_page(void)
{
	struct page *page;
	char why[PAGE_WHY_SIZE];
	unlink(path);
	MUST(page_open(&page, path, boot_id, SLOTS, fuzz_now, why) == 0);
	for (uint32_t i = 0; i < SLOTS; i++) {
		MUST(page_slot(page, names[i]) == (int)i);
		page_set(page, i, &(struct page_term){.term = 40 + i, .deadline = fuzz_now + SECOND * i});
	}
	page_set_session(page,
		&(struct page_session){
			.id = {{1}}, .node = "a", .lease_ms = 10000, .incarnation = "i", .valid_until = fuzz_now + 1});
	page_free(page);
}

static void change_page(struct input *input)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	MUST(fd >= 0);
	while (input->left >= 3) {
		off_t at = take(input);
		at = at << 8 | take(input);
		uint8_t byte = take(input);
		MUST(pwrite(fd, &byte, 1, at) == 1);
	}
	close(fd);
}

// The file has that term there, and it may be relied on now.
static void check_valid(uint32_t index, uint64_t term)
{
	struct page_slot slot;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t at = PAGE_HEADER_SIZE + (off_t)index * PAGE_SLOT_SIZE;
	MUST(fd >= 0 && pread(fd, &slot, sizeof slot, at) == (ssize_t)sizeof slot);
	close(fd);
	MUST(term != 0 && slot.term == term && slot.deadline > fuzz_now);
	MUST(slot.deadline <= fuzz_now + PAGE_HORIZON_NS && (slot.sequence & 1) == 0);
}

static void look(const struct page_view *view)
{
	struct page_term term = {0};
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		int index = page_view_find(view, names[i]);
		MUST(index < (int)view->slot_count);
		if (index < 0 || page_view_get(view, (uint32_t)index, names[i], &term) < 0)
			continue;
		if (page_view_valid(view, (uint32_t)index, term.term, fuzz_now))
			check_valid((uint32_t)index, term.term);
		MUST(!page_view_valid(view, (uint32_t)index, 0, fuzz_now));
	}
	const uint32_t beyond[] = {view->slot_count, view->slot_count + 1, PAGE_SLOTS_MAX, UINT32_MAX};
	for (size_t i = 0; i < COUNT_OF(beyond); i++) {
		MUST(page_view_get(view, beyond[i], "engine", &term) < 0);
		MUST(!page_view_valid(view, beyond[i], 40, fuzz_now));
	}
}

// The library, which was told of term 40 and looks it up there.
static void look_as_library(void)
{
	static struct tenure t;
	t = (struct tenure){.component = "engine"};
	terms_find(&t, path, boot_id);
	terms_adopt(&t);
	terms_begin(&t, 40, fuzz_now + SECOND);
	if (tenure_valid(&t) && tenure_page(&t))
		check_valid((uint32_t)((const struct page_slot *)tenure_page(&t) - t.pages->view.slots), 40);
	if (t.pages && tenure_page(&t)) {
		page_view_retire(&t.pages->view);
		MUST(!tenure_valid(&t));
	}
	terms_end(&t);
	MUST(!tenure_valid(&t));
	terms_done(&t);
}

static void look_as_daemon(void)
{
	struct page *page;
	char why[PAGE_WHY_SIZE];
	struct page_session session;
	struct page_term term;
	const char *component;
	MUST(page_open(&page, path, boot_id, SLOTS, fuzz_now, why) >= 0);
	if (page_get_session(page, fuzz_now, &session, why) == 0) {
		MUST(!uuid_is_none(&session.id) && name_is_valid(session.node) && session.valid_until > fuzz_now);
		MUST(session.valid_until <= fuzz_now + session.lease_ms * NS_PER_MS);
	}
	for (uint32_t i = 0; i < page_slot_count(page); i++)
		if (page_get(page, i, fuzz_now, &component, &term, why) == 0)
			MUST(name_is_valid(component) &&
				(term.term == 0 || term.deadline <= fuzz_now + PAGE_HORIZON_NS));
	MUST(page_slot(page, "nobody") < (int)page_slot_count(page));
	page_free(page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct page_view view;
	struct input input = {data, size};
	make_directory();
	if (take_bool(&input)) {
		write_good_page();
		change_page(&input);
	} else {
		write_page(input.data, input.left);
	}
	if (page_view_open(&view, path, boot_id) == 0) {
		MUST(PAGE_HEADER_SIZE + (uint64_t)view.slot_count * PAGE_SLOT_SIZE <= view.size);
		look(&view);
		page_view_close(&view);
	}
	look_as_library();
	look_as_daemon();
	return 0;
}
