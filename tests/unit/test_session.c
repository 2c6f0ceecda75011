// SPDX-License-Identifier: Apache-2.0
// Every cell of the session's table, told event by event (the code tells it state by state).
#include <check.h>
#include <stdlib.h>

#include "base.h"
#include "session.h"

#define NEVER SESSION_STATES
#define NONE SESSION_NONE
#define CREATING SESSION_CREATING
#define UNSURE SESSION_UNSURE
#define LIVE SESSION_LIVE
#define CLOSING SESSION_CLOSING
#define CLOSED SESSION_CLOSED

// clang-format off
static const struct {
	enum session_event event;
	enum session_state from[SESSION_STATES];
} rows[] = {
	//               none      creating  unsure    live      closing   closed
	{SESSION_CREATE, {CREATING, NEVER,    NEVER,    NEVER,    NEVER,    NEVER}},
	{SESSION_CLOSE,  {CLOSED,   NEVER,    CLOSING,  CLOSING,  NEVER,    NEVER}},
	{SESSION_ALIVE,  {NEVER,    LIVE,     LIVE,     LIVE,     CLOSED,   NEVER}},
	{SESSION_DEAD,   {NEVER,    NONE,     NONE,     NONE,     CLOSED,   NEVER}},
	{SESSION_FAILED, {NONE,     UNSURE,   UNSURE,   LIVE,     CLOSED,   CLOSED}},
};
// clang-format on

START_TEST(every_cell)
{
	enum session_state state = (enum session_state)(_i % SESSION_STATES);
	unsigned row = (unsigned)_i / SESSION_STATES;
	enum session_state next = session_next(state, rows[row].event);
	ck_assert_msg(next == rows[row].from[state], "event %d in %s: next %d", rows[row].event,
		session_state_name(state), next);
}
END_TEST

START_TEST(every_event_has_a_row)
{
	bool seen[SESSION_EVENTS] = {false};
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		seen[rows[i].event] = true;
	for (size_t i = 0; i < SESSION_EVENTS; i++)
		ck_assert(seen[i]);
}
END_TEST

// Rule 11: a session is inserted where there is none at all, never where there may be one.
START_TEST(never_inserted_twice)
{
	for (int state = 0; state < SESSION_STATES; state++)
		if (state != SESSION_NONE)
			ck_assert_int_eq(session_next((enum session_state)state, SESSION_CREATE), SESSION_STATES);
}
END_TEST

START_TEST(names_differ)
{
	for (int i = 0; i < SESSION_STATES; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(
				session_state_name((enum session_state)i), session_state_name((enum session_state)j));
	for (int i = 0; i < SESSION_EVENTS; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(
				session_event_name((enum session_event)i), session_event_name((enum session_event)j));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("session");
	TCase *tcase = tcase_create("table");
	tcase_add_loop_test(tcase, every_cell, 0, (int)COUNT_OF(rows) * SESSION_STATES);
	tcase_add_test(tcase, every_event_has_a_row);
	tcase_add_test(tcase, never_inserted_twice);
	tcase_add_test(tcase, names_differ);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
