// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "buffer.h"

static void expect(const struct buffer *buffer, const char *text)
{
	ck_assert_uint_eq(buffer_size(buffer), strlen(text));
	ck_assert_mem_eq(buffer_bytes(buffer), text, strlen(text));
}

START_TEST(test_appends_and_consumes)
{
	struct buffer buffer;
	buffer_init(&buffer, 100);
	expect(&buffer, "");
	ck_assert_int_eq(buffer_append(&buffer, "hello ", 6), 0);
	ck_assert_int_eq(buffer_append(&buffer, "world", 5), 0);
	ck_assert_int_eq(buffer_append(&buffer, "", 0), 0);
	expect(&buffer, "hello world");
	buffer_consume(&buffer, 6);
	expect(&buffer, "world");
	buffer_truncate(&buffer, 3);
	expect(&buffer, "wor");
	buffer_consume(&buffer, 3);
	expect(&buffer, "");
	buffer_done(&buffer);
	expect(&buffer, "");
}
END_TEST

START_TEST(test_reserves)
{
	struct buffer buffer;
	char *room;
	buffer_init(&buffer, 100);
	ck_assert_int_eq(buffer_append(&buffer, "ab", 2), 0);
	ck_assert_int_eq(buffer_reserve(&buffer, 98, &room), 0);
	memset(room, 'c', 98);
	buffer_commit(&buffer, 1);
	expect(&buffer, "abc");
	ck_assert_int_eq(buffer_reserve(&buffer, 98, &room), -ENOBUFS);
	buffer_done(&buffer);
}
END_TEST

START_TEST(test_keeps_its_limit)
{
	struct buffer buffer;
	buffer_init(&buffer, 10);
	ck_assert_int_eq(buffer_append(&buffer, "0123456789", 10), 0);
	ck_assert_int_eq(buffer_append(&buffer, "x", 1), -ENOBUFS);
	ck_assert_int_eq(buffer_append(&buffer, "x", SIZE_MAX), -ENOBUFS);
	expect(&buffer, "0123456789");
	buffer_consume(&buffer, 1);
	ck_assert_int_eq(buffer_append(&buffer, "x", 1), 0);
	expect(&buffer, "123456789x");
	buffer_done(&buffer);
}
END_TEST

// However much passes through, the memory is bounded by what is inside at a time, and nothing is mixed up.
START_TEST(test_carries_a_long_stream)
{
	struct buffer buffer;
	unsigned in = 0, out = 0;
	buffer_init(&buffer, 5000);
	while (out < 200000) {
		size_t more = (in * 7 + 13) % 700;
		for (size_t i = 0; i < more; i++) {
			unsigned char byte = (unsigned char)(in++ % 251);
			ck_assert_int_eq(buffer_append(&buffer, &byte, 1), 0);
		}
		size_t less = buffer_size(&buffer) > 3000 ? 2900 : buffer_size(&buffer) / 3;
		for (size_t i = 0; i < less; i++)
			ck_assert_uint_eq((unsigned char)buffer_bytes(&buffer)[i], out++ % 251);
		buffer_consume(&buffer, less);
		ck_assert_uint_le(buffer.capacity, 5000);
	}
	buffer_done(&buffer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("buffer");
	TCase *cases = tcase_create("buffer");
	tcase_add_test(cases, test_appends_and_consumes);
	tcase_add_test(cases, test_reserves);
	tcase_add_test(cases, test_keeps_its_limit);
	tcase_add_test(cases, test_carries_a_long_stream);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
