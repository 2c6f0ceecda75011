// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "page.h"

#define BOOT "11111111-2222-3333-4444-555555555555"
#define OTHER_BOOT "99999999-2222-3333-4444-555555555555"
#define NOW (100 * NS_PER_S)

static char directory[64];
static char path[96];
static char other_path[96];
static char why[PAGE_WHY_SIZE];

static void set_up(void)
{
	snprintf(directory, sizeof directory, "/tmp/tenure-page-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/terms", directory);
	snprintf(other_path, sizeof other_path, "%s/other", directory);
}

static void tear_down(void)
{
	unlink(path);
	unlink(other_path);
	ck_assert_int_eq(rmdir(directory), 0); // nothing else is left, no temporary file above all
}

static struct page *open_page(int expected)
{
	struct page *page;
	ck_assert_int_eq(page_open(&page, path, BOOT, 8, NOW, why), expected);
	return page;
}

static ino_t inode(void)
{
	struct stat status;
	ck_assert_int_eq(stat(path, &status), 0);
	return status.st_ino;
}

static int slot_of(struct page *page, const char *component)
{
	int slot = page_slot(page, component);
	ck_assert_int_ge(slot, 0);
	return slot;
}

static void overwrite(off_t at, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, size, at), (ssize_t)size);
	close(fd);
}

static off_t slot_at(int slot)
{
	return PAGE_HEADER_SIZE + (off_t)slot * PAGE_SLOT_SIZE;
}

static void expect_term(const struct page *page, int slot, const char *component, struct page_term expected)
{
	const char *name;
	struct page_term term;
	ck_assert_int_eq(page_get(page, (uint32_t)slot, NOW, &name, &term, why), 0);
	ck_assert_str_eq(name, component);
	ck_assert_uint_eq(term.term, expected.term);
	if (expected.term == 0)
		return;
	ck_assert_int_eq(term.deadline, expected.deadline);
	ck_assert_uint_eq(term.flags, expected.flags);
}

START_TEST(test_fresh_page)
{
	struct stat status;
	mode_t mask = umask(077);
	struct page *page = open_page(0);
	umask(mask);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0644);
	ck_assert_uint_eq((uint64_t)status.st_size, PAGE_HEADER_SIZE + 8 * PAGE_SLOT_SIZE);
	ck_assert_uint_ge((uint64_t)status.st_blocks * 512, (uint64_t)status.st_size);
	ck_assert_uint_eq(page_slot_count(page), 8);
	page_free(page);
	page_free(NULL);
}
END_TEST

START_TEST(test_slots_are_found_again)
{
	struct page *page = open_page(0);
	int engine = slot_of(page, "engine"), counter = slot_of(page, "counter");
	ck_assert_int_ne(engine, counter);
	ck_assert_int_eq(slot_of(page, "engine"), engine);
	char longest[NAME_BYTES + 1];
	memset(longest, 'x', NAME_BYTES);
	longest[NAME_BYTES] = '\0';
	int slot = slot_of(page, longest);
	ck_assert_int_eq(slot_of(page, longest), slot);
	expect_term(page, slot, longest, (struct page_term){0});
	page_free(page);
}
END_TEST

START_TEST(test_slots_run_out)
{
	struct page *page = open_page(0);
	char name[16];
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof name, "c%d", i);
		ck_assert_int_eq(slot_of(page, name), i);
	}
	ck_assert_int_eq(page_slot(page, "c8"), -ENOSPC);
	ck_assert_int_eq(slot_of(page, "c3"), 3);
	// Kept while a term in it lives, else it makes room for other names.
	page_set(page, 3, &(struct page_term){7, NOW + 1, 0});
	page_free(page);
	page = open_page(1);
	page_set(page, 3, &(struct page_term){7, NOW, 0});
	page_free(page);
	page = open_page(0);
	ck_assert_str_eq(why, "the old page was full or too small, and no term in it is alive");
	ck_assert_int_eq(slot_of(page, "c8"), 0);
	page_free(page);
}
END_TEST

START_TEST(test_sets_extends_and_clears)
{
	struct page *page = open_page(0);
	int slot = slot_of(page, "engine");
	expect_term(page, slot, "engine", (struct page_term){0});
	page_set(page, (uint32_t)slot, &(struct page_term){42, NOW + 10, 0});
	expect_term(page, slot, "engine", (struct page_term){42, NOW + 10, 0});
	page_set(page, (uint32_t)slot, &(struct page_term){42, NOW + 20, PAGE_STARTED});
	expect_term(page, slot, "engine", (struct page_term){42, NOW + 20, PAGE_STARTED});
	page_set(page, (uint32_t)slot, &(struct page_term){42, NOW + 20, PAGE_STARTED | PAGE_REVOKED});
	expect_term(page, slot, "engine", (struct page_term){42, NOW + 20, PAGE_STARTED | PAGE_REVOKED});
	page_set(page, (uint32_t)slot, &(struct page_term){0, NOW + 30, PAGE_REVOKED});
	expect_term(page, slot, "engine", (struct page_term){0});
	page_set(page, (uint32_t)slot, &(struct page_term){43, NOW + 40, 0});
	expect_term(page, slot, "engine", (struct page_term){43, NOW + 40, 0});
	const char *name;
	struct page_term term;
	ck_assert_int_eq(page_get(page, 5, NOW, &name, &term, why), -ENOENT);
	page_free(page);
}
END_TEST

static const struct page_session session = {
	.id = {.byte = {1, 2, 3}},
	.node = "host-a",
	.lease_ms = 10000,
	.incarnation = "7012/1/2024",
	.valid_until = NOW + 5 * NS_PER_S,
};

// S5: a daemon that comes back on the same boot finds its session and its terms, in the same file.
START_TEST(test_survives_the_daemon)
{
	struct page *page = open_page(0);
	ino_t before = inode();
	page_set(page, (uint32_t)slot_of(page, "engine"), &(struct page_term){42, NOW + 10, PAGE_STARTED});
	page_set_session(page, &session);
	page_set_valid_until(page, NOW + 6 * NS_PER_S);
	page_free(page);

	struct page_session found;
	page = open_page(1);
	ck_assert_str_eq(why, "");
	ck_assert_uint_eq(inode(), before);
	ck_assert_int_eq(page_get_session(page, NOW, &found, why), 0);
	ck_assert(uuid_equal(&found.id, &session.id));
	ck_assert_str_eq(found.node, "host-a");
	ck_assert_str_eq(found.incarnation, "7012/1/2024");
	ck_assert_int_eq(found.lease_ms, 10000);
	ck_assert_int_eq(found.valid_until, NOW + 6 * NS_PER_S);
	expect_term(page, slot_of(page, "engine"), "engine", (struct page_term){42, NOW + 10, PAGE_STARTED});

	ck_assert_int_eq(page_get_session(page, NOW + 6 * NS_PER_S, &found, why), -ESTALE);
	page_set_session(page, NULL);
	ck_assert_int_eq(page_get_session(page, NOW, &found, why), -ENOENT);
	page_free(page);
}
END_TEST

START_TEST(test_doubts_the_session)
{
	struct page *page = open_page(0);
	struct page_session odd = session, found;
	odd.valid_until = NOW + 11 * NS_PER_S; // more than a lease ahead
	page_set_session(page, &odd);
	ck_assert_int_eq(page_get_session(page, NOW, &found, why), -EBADMSG);
	odd = session;
	odd.lease_ms = 0;
	page_set_session(page, &odd);
	ck_assert_int_eq(page_get_session(page, NOW, &found, why), -EBADMSG);
	odd = session;
	odd.node[0] = '\0';
	page_set_session(page, &odd);
	ck_assert_int_eq(page_get_session(page, NOW, &found, why), -EBADMSG);
	page_set_session(page, &session);
	ck_assert_int_eq(page_get_session(page, NOW, &found, why), 0);

	// Killed in the middle of writing it.
	uint32_t sequence = 7;
	overwrite(offsetof(struct page_header, session_sequence), &sequence, sizeof sequence);
	ck_assert_int_eq(page_get_session(page, NOW, &found, why), -EBADMSG);
	ck_assert_str_eq(why, "the session was torn");
	page_set_session(page, &session);
	ck_assert_int_eq(page_get_session(page, NOW, &found, why), 0);
	page_free(page);
}
END_TEST

START_TEST(test_doubts_a_term)
{
	struct page *page = open_page(0);
	const char *name;
	struct page_term term;
	int slot = slot_of(page, "engine");
	page_set(page, (uint32_t)slot, &(struct page_term){42, NOW + PAGE_HORIZON_NS + 1, 0});
	ck_assert_int_eq(page_get(page, (uint32_t)slot, NOW, &name, &term, why), -EBADMSG);
	page_set(page, (uint32_t)slot, &(struct page_term){42, NOW + 1, 0});
	overwrite(slot_at(slot) + (off_t)offsetof(struct page_slot, component), "\xff", 1);
	ck_assert_int_eq(page_get(page, (uint32_t)slot, NOW, &name, &term, why), -EBADMSG);
	page_free(page);
}
END_TEST

// A daemon killed in the middle of a grant: nobody reads a term from it, the next daemon clears it.
START_TEST(test_torn_slot)
{
	struct page *page = open_page(0);
	struct page_view view;
	struct page_term term;
	int slot = slot_of(page, "engine");
	page_set(page, (uint32_t)slot, &(struct page_term){42, NOW + 10, 0});
	ck_assert_int_eq(page_view_open(&view, path, BOOT), 0);
	ck_assert(page_view_valid(&view, (uint32_t)slot, 42, NOW));
	uint32_t sequence = 5;
	overwrite(slot_at(slot), &sequence, sizeof sequence);
	ck_assert(!page_view_valid(&view, (uint32_t)slot, 42, NOW));
	ck_assert_int_eq(page_view_get(&view, (uint32_t)slot, "engine", &term), -EAGAIN);
	page_free(page);

	page = open_page(1);
	expect_term(page, slot, "engine", (struct page_term){0});
	ck_assert_int_eq(page_view_get(&view, (uint32_t)slot, "engine", &term), 0);
	ck_assert_uint_eq(term.term, 0);
	page_set(page, (uint32_t)slot, &(struct page_term){43, NOW + 10, 0});
	ck_assert(page_view_valid(&view, (uint32_t)slot, 43, NOW));
	page_view_close(&view);
	page_free(page);
}
END_TEST

START_TEST(test_readers_view)
{
	struct page *page = open_page(0);
	struct page_view view;
	struct page_term term;
	ck_assert_int_eq(page_view_open(&view, other_path, BOOT), -ENOENT);
	ck_assert_int_eq(page_view_open(&view, path, OTHER_BOOT), -ESTALE);
	ck_assert_int_eq(page_view_open(&view, path, BOOT), 0);
	ck_assert_int_eq(page_view_get(&view, 0, "engine", &term), -ENOENT);
	uint32_t slot = (uint32_t)slot_of(page, "engine");
	ck_assert_int_eq(page_view_get(&view, slot, "engine", &term), 0);
	ck_assert_int_eq(page_view_get(&view, slot, "counter", &term), -ENOENT);
	ck_assert_int_eq(page_view_get(&view, 8, "engine", &term), -ENOENT);

	ck_assert(!page_view_valid(&view, slot, 0, NOW)); // W1: nothing was granted yet
	page_set(page, slot, &(struct page_term){42, NOW + 10, 0});
	ck_assert(page_view_valid(&view, slot, 42, NOW + 9));
	ck_assert(!page_view_valid(&view, slot, 42, NOW + 10));
	ck_assert(!page_view_valid(&view, slot, 41, NOW));
	ck_assert(!page_view_valid(&view, slot, 0, NOW));
	ck_assert(!page_view_valid(&view, 8, 42, NOW));
	page_set(page, slot, &(struct page_term){42, NOW + 20, PAGE_REVOKED});
	ck_assert(page_view_valid(&view, slot, 42, NOW + 19));
	page_set(page, slot, &(struct page_term){0});
	ck_assert(!page_view_valid(&view, slot, 42, NOW));
	page_free(page);
	ck_assert(!page_view_valid(&view, slot, 42, NOW));
	page_view_close(&view);
	page_view_close(&view);
	ck_assert(!page_view_valid(&view, slot, 42, NOW));
}
END_TEST

// What is no page of this boot is replaced, and never read as one.
START_TEST(test_replaces_what_is_no_page)
{
	static const struct {
		off_t at;
		const char *bytes;
		size_t size;
		const char *why;
		int view;
	} damage[] = {
		{0, "T", 1, "the old file is not a terms page", -EPROTO},
		{8, "\x02", 1, "the old page has another version", -EPROTO},
		{12, "\x01", 1, "the old page has an impossible layout", -EPROTO},
		{16, "\x01", 1, "the old page has an impossible layout", -EPROTO},
		{20, "\0\0\0\0", 4, "the old page has an impossible layout", -EPROTO},
		{20, "\xff\xff\xff\xff", 4, "the old page has an impossible layout", -EPROTO},
		{20, "\x09", 1, "the old page has the wrong size", -EPROTO},
		{24, "2", 1, "the old page is of another boot", -ESTALE},
	};
	struct page_view view;
	page_free(open_page(0));
	ino_t before = inode();
	overwrite(damage[_i].at, damage[_i].bytes, damage[_i].size);
	ck_assert_int_eq(page_view_open(&view, path, BOOT), damage[_i].view);
	page_free(open_page(0));
	ck_assert_str_eq(why, damage[_i].why);
	ck_assert_uint_ne(inode(), before);
	page_free(open_page(1));
}
END_TEST

START_TEST(test_replaces_a_short_file)
{
	struct page_view view;
	page_free(open_page(0));
	ck_assert_int_eq(truncate(path, PAGE_HEADER_SIZE + 7 * PAGE_SLOT_SIZE), 0);
	ck_assert_int_eq(page_view_open(&view, path, BOOT), -EPROTO);
	page_free(open_page(0));
	ck_assert_int_eq(truncate(path, 100), 0);
	ck_assert_int_eq(page_view_open(&view, path, BOOT), -EPROTO);
	page_free(open_page(0));
	ck_assert_int_eq(chmod(path, 0666), 0);
	page_free(open_page(0));
	ck_assert_str_eq(why, "others could write the old page");
}
END_TEST

START_TEST(test_refuses_what_is_no_file)
{
	struct page *page;
	struct page_view view;
	page_free(open_page(0));
	ck_assert_int_eq(rename(path, other_path), 0);
	ck_assert_int_eq(symlink("other", path), 0);
	ck_assert_int_eq(page_open(&page, path, BOOT, 8, NOW, why), -ELOOP);
	ck_assert_int_eq(page_view_open(&view, path, BOOT), -ELOOP);
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(page_open(&page, path, BOOT, 8, NOW, why), -EPERM);
	ck_assert_int_eq(page_view_open(&view, path, BOOT), -EPROTO);
	unlink(path);
	if (geteuid() != 0)
		return;
	page_free(open_page(0));
	ck_assert_int_eq(chown(path, 1, 1), 0);
	ck_assert_int_eq(page_open(&page, path, BOOT, 8, NOW, why), -EPERM);
}
END_TEST

#define WRITES 200000
#define SEEN_AT_LEAST 10
#define DEADLINE_OF(term) ((int64_t)(term)*1000)

static _Atomic bool writing;
static _Atomic uint64_t seen; // changes; the writer waits for some, however busy the machine

static void *write_terms(void *data)
{
	struct page *page = data;
	for (uint64_t i = 1; i <= WRITES || atomic_load(&seen) < SEEN_AT_LEAST; i++) {
		uint64_t term = i % 3 == 0 ? 0 : i;
		page_set(page, 0, &(struct page_term){term, DEADLINE_OF(term), (uint32_t)term});
	}
	atomic_store(&writing, false);
	return NULL;
}

// W3: whatever a reader sees is one term with its own deadline.
START_TEST(test_reads_are_never_mixed)
{
	struct page *page = open_page(0);
	struct page_view view;
	pthread_t writer;
	uint64_t last = 0;
	ck_assert_int_eq(slot_of(page, "engine"), 0);
	ck_assert_int_eq(page_view_open(&view, path, BOOT), 0);
	atomic_store(&writing, true);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_terms, page), 0);
	while (atomic_load(&writing)) {
		struct page_term term;
		if (page_view_get(&view, 0, "engine", &term) < 0)
			continue;
		if (term.term != last)
			atomic_fetch_add(&seen, 1);
		if (term.term != 0 && (term.deadline != DEADLINE_OF(term.term) || term.flags != (uint32_t)term.term))
			ck_abort_msg("term %llu with another's deadline", (unsigned long long)term.term);
		last = term.term;
	}
	pthread_join(writer, NULL);
	page_view_close(&view);
	page_free(page);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("page");
	TCase *cases = tcase_create("page");
	tcase_add_checked_fixture(cases, set_up, tear_down);
	tcase_add_test(cases, test_fresh_page);
	tcase_add_test(cases, test_slots_are_found_again);
	tcase_add_test(cases, test_slots_run_out);
	tcase_add_test(cases, test_sets_extends_and_clears);
	tcase_add_test(cases, test_survives_the_daemon);
	tcase_add_test(cases, test_doubts_the_session);
	tcase_add_test(cases, test_doubts_a_term);
	tcase_add_test(cases, test_torn_slot);
	tcase_add_test(cases, test_readers_view);
	tcase_add_loop_test(cases, test_replaces_what_is_no_page, 0, 8);
	tcase_add_test(cases, test_replaces_a_short_file);
	tcase_add_test(cases, test_refuses_what_is_no_file);
	tcase_add_test(cases, test_reads_are_never_mixed);
	tcase_set_timeout(cases, 20);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
