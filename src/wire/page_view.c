// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "page.h"

static int check(const struct page_header *header, const char *boot_id, size_t size)
{
	if (memcmp(header->magic, PAGE_MAGIC, sizeof header->magic) != 0 || header->version != PAGE_VERSION ||
		header->header_size != PAGE_HEADER_SIZE || header->slot_size != PAGE_SLOT_SIZE)
		return -EPROTO;
	if (header->slot_count == 0 || header->slot_count > PAGE_SLOTS_MAX ||
		size < PAGE_HEADER_SIZE + (size_t)header->slot_count * PAGE_SLOT_SIZE)
		return -EPROTO;
	return strncmp(header->boot_id, boot_id, sizeof header->boot_id) == 0 ? 0 : -ESTALE;
}

static int map(struct page_view *view, int fd, const char *boot_id)
{
	struct stat status;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || status.st_size < PAGE_HEADER_SIZE)
		return -EPROTO;
	size_t size = (size_t)status.st_size;
	void *memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	const struct page_header *header = memory;
	int error = check(header, boot_id, size);
	if (error < 0) {
		munmap(memory, size);
		return error;
	}
	*view = (struct page_view){
		.memory = memory,
		.size = size,
		.slot_count = header->slot_count,
		.device = status.st_dev,
		.inode = status.st_ino,
		.slots = (const struct page_slot *)(const void *)((const char *)memory + PAGE_HEADER_SIZE),
	};
	return 0;
}

int page_view_open(struct page_view *ret, const char *path, const char *boot_id)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int error = map(ret, fd, boot_id);
	close(fd);
	return error;
}

void page_view_close(struct page_view *view)
{
	if (view->memory)
		munmap((void *)(uintptr_t)view->memory, view->size);
	*view = (struct page_view){0};
}

void page_view_retire(struct page_view *view)
{
	void *memory = (void *)(uintptr_t)view->memory;
	// Where this fails, the old mapping stays, which is as good.
	// cppcheck-suppress [invalidFunctionArg, leakReturnValNotUsed]
	if (memory && mmap(memory, view->size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory)
		view->inode = 0;
}

static bool is_named(const struct page_slot *slot, const char *component)
{
	return atomic_load_explicit(&slot->used, memory_order_acquire) != 0 &&
	       strncmp(slot->component, component, sizeof slot->component) == 0;
}

int page_view_find(const struct page_view *view, const char *component)
{
	for (uint32_t i = 0; i < view->slot_count; i++)
		if (is_named(&view->slots[i], component))
			return (int)i;
	return -ENOENT;
}

int page_view_get(const struct page_view *view, uint32_t index, const char *component, struct page_term *ret)
{
	if (index >= view->slot_count || !is_named(&view->slots[index], component))
		return -ENOENT;
	return page_slot_read(&view->slots[index], ret) ? 0 : -EAGAIN;
}
