// SPDX-License-Identifier: Apache-2.0
// Every cell of the seat's table, told event by event (the code tells it state by state).
#include <check.h>
#include <stdlib.h>

#include "base.h"
#include "seat.h"

struct expected {
	enum seat_state next;
	enum seat_action action;
};

// A cell that stays where it is.
#define STAY(action) \
	{ \
		SEAT_STATES, SEAT_##action \
	}
#define TO(state, action) \
	{ \
		SEAT_##state, SEAT_##action \
	}

// clang-format off
static const struct {
	enum seat_event event;
	// No worker; joined; starting; working; stopping; overdue; away; away and revoked.
	struct expected in[SEAT_STATES];
} rows[] = {
	// A worker without a term finds the seat vacant or taken.
	{SEAT_JOIN, {
		TO(READY, WELCOME), STAY(REFUSE_BUSY), STAY(REFUSE_BUSY), STAY(REFUSE_BUSY),
		STAY(REFUSE_BUSY), STAY(REFUSE_BUSY), STAY(REFUSE_BUSY), STAY(REFUSE_BUSY)}},
	// One that comes back with its term finds it where it left it, and nowhere else.
	{SEAT_REJOIN, {
		STAY(REFUSE_STALE), STAY(REFUSE_STALE), STAY(REFUSE_STALE), STAY(REFUSE_STALE),
		STAY(REFUSE_STALE), STAY(REFUSE_STALE), TO(STARTING, RESUMED), TO(STOPPING, TELL_REVOKED)}},
	{SEAT_REJOIN_WORKING, {
		STAY(REFUSE_STALE), STAY(REFUSE_STALE), STAY(REFUSE_STALE), STAY(REFUSE_STALE),
		STAY(REFUSE_STALE), STAY(REFUSE_STALE), TO(WORKING, RESUMED), TO(STOPPING, TELL_REVOKED)}},
	{SEAT_STARTED, {
		STAY(REFUSE_STALE), STAY(REFUSE_STALE), TO(WORKING, NOTHING), STAY(NOTHING),
		STAY(NOTHING), STAY(REFUSE_STALE), STAY(REFUSE_STALE), STAY(REFUSE_STALE)}},
	{SEAT_ALIVE, {
		STAY(REFUSE_STALE), STAY(REFUSE_STALE), STAY(NOTHING), STAY(NOTHING),
		STAY(NOTHING), STAY(REFUSE_STALE), STAY(REFUSE_STALE), STAY(REFUSE_STALE)}},
	// W12: `stopped` ends the work; without a `revoked` before it, it is the worker's own will (W15).
	{SEAT_STOPPED, {
		STAY(REFUSE_STALE), STAY(REFUSE_STALE), TO(READY, ENDED_YIELD), TO(READY, ENDED_YIELD),
		TO(READY, ENDED), TO(READY, WELCOME), STAY(REFUSE_STALE), STAY(REFUSE_STALE)}},
	{SEAT_YIELD, {
		STAY(REFUSE_STALE), STAY(REFUSE_STALE), TO(READY, ENDED_YIELD), TO(READY, ENDED_YIELD),
		TO(READY, ENDED_YIELD), TO(READY, WELCOME), STAY(REFUSE_STALE), STAY(REFUSE_STALE)}},
	// W14: with the worker its work is gone. One that is away has no connection to lose.
	{SEAT_GONE, {
		STAY(NOTHING), TO(VACANT, LEFT), TO(VACANT, ENDED_GONE), TO(VACANT, ENDED_GONE),
		TO(VACANT, ENDED_GONE), TO(VACANT, LEFT), STAY(NOTHING), STAY(NOTHING)}},
	// W2: only one that was told nothing, or has ended, is told a term.
	{SEAT_GRANT, {
		STAY(IMPOSSIBLE), TO(STARTING, TELL_GRANTED), STAY(IMPOSSIBLE), STAY(IMPOSSIBLE),
		STAY(IMPOSSIBLE), STAY(IMPOSSIBLE), STAY(IMPOSSIBLE), STAY(IMPOSSIBLE)}},
	// W2: told once.
	{SEAT_REVOKE, {
		STAY(IMPOSSIBLE), STAY(IMPOSSIBLE), TO(STOPPING, TELL_REVOKED), TO(STOPPING, TELL_REVOKED),
		STAY(NOTHING), STAY(NOTHING), TO(AWAY_REVOKED, NOTHING), STAY(NOTHING)}},
	// W12: a term is revoked before it is void.
	{SEAT_VOID, {
		STAY(NOTHING), STAY(NOTHING), STAY(IMPOSSIBLE), STAY(IMPOSSIBLE),
		TO(OVERDUE, EXPIRED), STAY(NOTHING), STAY(IMPOSSIBLE), TO(VACANT, EXPIRED)}},
	// W16
	{SEAT_LATE, {
		STAY(NOTHING), STAY(NOTHING), STAY(STALLED), STAY(STALLED),
		STAY(NOTHING), STAY(NOTHING), STAY(NOTHING), STAY(NOTHING)}},
};
// clang-format on

START_TEST(every_cell)
{
	enum seat_state state = (enum seat_state)(_i % SEAT_STATES);
	unsigned row = (unsigned)_i / SEAT_STATES;
	struct expected expected = rows[row].in[state];
	struct seat_cell cell = seat_cell(state, rows[row].event);
	ck_assert_msg(cell.action == expected.action, "%s in %s: action %d", seat_event_name(rows[row].event),
		seat_state_name(state), cell.action);
	enum seat_state next = expected.next == SEAT_STATES ? state : expected.next;
	ck_assert_msg(cell.next == next, "%s in %s: next %s", seat_event_name(rows[row].event), seat_state_name(state),
		seat_state_name(cell.next));
}
END_TEST

START_TEST(every_event_has_a_row)
{
	bool seen[SEAT_EVENTS] = {false};
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		seen[rows[i].event] = true;
	for (size_t i = 0; i < SEAT_EVENTS; i++)
		ck_assert(seen[i]);
}
END_TEST

START_TEST(names_differ)
{
	for (int i = 0; i < SEAT_STATES; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(seat_state_name((enum seat_state)i), seat_state_name((enum seat_state)j));
	for (int i = 0; i < SEAT_EVENTS; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(seat_event_name((enum seat_event)i), seat_event_name((enum seat_event)j));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("seat");
	TCase *tcase = tcase_create("table");
	tcase_add_loop_test(tcase, every_cell, 0, (int)COUNT_OF(rows) * SEAT_STATES);
	tcase_add_test(tcase, every_event_has_a_row);
	tcase_add_test(tcase, names_differ);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
