// SPDX-License-Identifier: Apache-2.0
// Every cell of the lease's table, told event by event (the code tells it state by state).
#include <check.h>
#include <stdlib.h>

#include "base.h"
#include "lease.h"

#define NEVER LEASE_STATES
#define IDLE LEASE_IDLE
#define CANDIDATE LEASE_CANDIDATE
#define CLAIMING LEASE_CLAIMING
#define LEADING LEASE_LEADING
#define DRAINING LEASE_DRAINING
#define RELEASING LEASE_RELEASING

// clang-format off
static const struct {
	enum lease_event event;
	enum lease_state from[LEASE_STATES];
} rows[] = {
	//                     idle       candidate  claiming   leading    draining   releasing
	{LEASE_WORKER_READY, {CANDIDATE, CANDIDATE, CLAIMING,  NEVER,     NEVER,     RELEASING}},
	{LEASE_WORKER_LEFT,  {IDLE,      IDLE,      CLAIMING,  NEVER,     NEVER,     RELEASING}},
	{LEASE_CLAIM,        {NEVER,     CLAIMING,  NEVER,     NEVER,     NEVER,     NEVER}},
	{LEASE_GRANTED,      {NEVER,     NEVER,     LEADING,   NEVER,     NEVER,     NEVER}},
	{LEASE_UNWANTED,     {NEVER,     NEVER,     RELEASING, NEVER,     NEVER,     NEVER}},
	{LEASE_REFUSED,      {NEVER,     NEVER,     CANDIDATE, NEVER,     NEVER,     NEVER}},
	{LEASE_STRAY,        {RELEASING, RELEASING, NEVER,     NEVER,     NEVER,     NEVER}},
	{LEASE_REVOKE,       {NEVER,     NEVER,     NEVER,     DRAINING,  DRAINING,  NEVER}},
	{LEASE_ENDED,        {NEVER,     NEVER,     NEVER,     RELEASING, RELEASING, NEVER}},
	{LEASE_VOID,         {NEVER,     NEVER,     NEVER,     NEVER,     RELEASING, NEVER}},
	{LEASE_RELEASED,     {NEVER,     NEVER,     NEVER,     NEVER,     NEVER,     IDLE}},
};
// clang-format on

START_TEST(every_cell)
{
	enum lease_state state = (enum lease_state)(_i % LEASE_STATES);
	unsigned row = (unsigned)_i / LEASE_STATES;
	enum lease_state next = lease_next(state, rows[row].event);
	ck_assert_msg(next == rows[row].from[state], "%s in %s: next %d", lease_event_name(rows[row].event),
		lease_state_name(state), next);
}
END_TEST

START_TEST(every_event_has_a_row)
{
	bool seen[LEASE_EVENTS] = {false};
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		seen[rows[i].event] = true;
	for (size_t i = 0; i < LEASE_EVENTS; i++)
		ck_assert(seen[i]);
}
END_TEST

// W12: from a term that is told to a row that may be released there is a way only through the end of the work.
START_TEST(nothing_is_released_while_leading)
{
	for (int event = 0; event < LEASE_EVENTS; event++)
		if (event != LEASE_ENDED)
			ck_assert_int_ne(lease_next(LEASE_LEADING, (enum lease_event)event), LEASE_RELEASING);
}
END_TEST

// Leading is reached by an acknowledged claim and by nothing else (rule 7).
START_TEST(only_a_claim_leads)
{
	for (int state = 0; state < LEASE_STATES; state++)
		for (int event = 0; event < LEASE_EVENTS; event++)
			if (lease_next((enum lease_state)state, (enum lease_event)event) == LEASE_LEADING)
				ck_assert(state == LEASE_CLAIMING && event == LEASE_GRANTED);
}
END_TEST

START_TEST(names_differ)
{
	for (int i = 0; i < LEASE_STATES; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(lease_state_name((enum lease_state)i), lease_state_name((enum lease_state)j));
	for (int i = 0; i < LEASE_EVENTS; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(lease_event_name((enum lease_event)i), lease_event_name((enum lease_event)j));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lease");
	TCase *tcase = tcase_create("table");
	tcase_add_loop_test(tcase, every_cell, 0, (int)COUNT_OF(rows) * LEASE_STATES);
	tcase_add_test(tcase, every_event_has_a_row);
	tcase_add_test(tcase, nothing_is_released_while_leading);
	tcase_add_test(tcase, only_a_claim_leads);
	tcase_add_test(tcase, names_differ);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
