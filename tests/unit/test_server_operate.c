// SPDX-License-Identifier: Apache-2.0
// What operators ask over the socket (S2, S8), who may (S7), and what status tells of it (W20).
#include "server_bench.h"

#include <grp.h>
#include <sys/wait.h>

// ---- one operation at a time, answered when it ends ----

static void expect_operation(size_t index, enum election_operation_kind kind)
{
	ck_assert_uint_lt(index, event_count);
	ck_assert_int_eq(events[index].type, ELECTION_OPERATE);
	ck_assert_int_eq(operations[index].kind, kind);
}

static void end_operation(enum election_result result)
{
	server_tell_operated(server, result, NULL);
}

START_TEST(s2_an_operation_is_answered_when_it_ends)
{
	static const struct {
		const char *request;
		enum election_operation_kind kind;
	} cases[] = {
		{"pause\n", OPERATION_PAUSE},
		{"resume\n", OPERATION_RESUME},
		{"transfer component=counter node=b\n", OPERATION_TRANSFER},
		{"resign component=counter cooldown_ms=7\n", OPERATION_RESIGN},
		{"history component=counter count=3\n", OPERATION_HISTORY},
	};
	struct peer *peer = new_peer();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		say(peer, cases[i].request);
		wait_events(i + 1);
		expect_operation(i, cases[i].kind);
		ck_assert_uint_eq(buffer_size(&peer->heard), 0);
		end_operation(RESULT_DONE);
		hear(peer, "ok\n");
	}
	ck_assert_uint_eq(operations[2].lease, 1);
	ck_assert_str_eq(operations[2].node, "b");
	ck_assert_int_eq(operations[3].cooldown_ns, 7 * NS_PER_MS);
	ck_assert_uint_eq(operations[4].lease, 1);
	ck_assert_uint_eq(operations[4].count, 3);
	say(peer, "resign component=counter\nhistory\n");
	wait_events(6);
	ck_assert_int_eq(operations[5].cooldown_ns, ELECTION_COOLDOWN_DEFAULT);
	end_operation(RESULT_DONE);
	wait_events(7);
	ck_assert_uint_eq(operations[6].lease, EXCHANGE_EVERY_LEASE);
	ck_assert_uint_eq(operations[6].count, 20);
	free_peer(peer);
}
END_TEST

START_TEST(s2_what_is_said_after_it_waits_and_others_do_not)
{
	struct peer *operator= new_peer(), *other = new_peer();
	say(operator, "pause\nhello\nstatus component=engine\n");
	wait_events(1);
	ask(other, "check component=engine\n", "ok valid=no\n");
	unsigned before = turns;
	run_for(30 * NS_PER_MS);
	ck_assert_uint_lt(turns, before + 10); // it does not spin
	ck_assert_uint_eq(buffer_size(&operator->heard), 0);
	end_operation(RESULT_DONE);
	hear(operator, "ok\nok version=1 ");
	hear_line(operator, "");
	hear_line(operator, "row component=engine ");
	hear(operator, "ok\n");
	free_peer(operator);
	free_peer(other);
}
END_TEST

START_TEST(s2_a_second_one_is_busy)
{
	struct peer *first = new_peer(), *second = new_peer();
	say(first, "transfer component=engine node=b\n");
	wait_events(1);
	say(second, "pause\n");
	hear_line(second, "error code=busy message=another%20operation");
	ck_assert_uint_eq(event_count, 1);
	end_operation(RESULT_DONE);
	hear(first, "ok\n");
	// Where the election has one of the daemon's own, it comes after that.
	answer = ANSWER_BUSY;
	election.operation.kind = OPERATION_HISTORY;
	say(second, "pause\nhello\n");
	wait_events(2);
	ck_assert_uint_eq(buffer_size(&second->heard), 0);
	answer = ANSWER_OK;
	election.operation.kind = OPERATION_NONE;
	say(first, "hello\n"); // a turn
	wait_events(3);
	expect_operation(2, OPERATION_PAUSE);
	end_operation(RESULT_DONE);
	hear(second, "ok\nok version=1 ");
	free_peer(first);
	free_peer(second);
}
END_TEST

START_TEST(s2_refusals_say_why)
{
	static const struct {
		enum election_result result;
		const char *says;
	} cases[] = {
		{RESULT_UNAVAILABLE, "the%20store%20does%20not%20answer:%20it%20is%20away\n"},
		{RESULT_NOBODY_LEADS, "nobody%20leads%20it\n"},
		{RESULT_LEADS_ALREADY, "b%20leads%20it%20already\n"},
		{RESULT_NO_CANDIDATE, "b%20is%20no%20live%20candidate%3B%20status%20shows%20those%20that%20are\n"},
		{RESULT_PAUSED, "the%20fleet%20is%20paused%20through%20c,%20and%20nobody%20would%20take%20over\n"},
		{RESULT_OVERTAKEN, "the%20term%20has%20ended%20meanwhile\n"},
	};
	char expected[256];
	struct peer *peer = new_peer();
	strcpy(store_text, "it is away");
	strcpy(election.paused_by, "c");
	ck_assert_uint_eq(COUNT_OF(cases), RESULT_COUNT - 1);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		say(peer, "transfer component=engine node=b\n");
		wait_events(i + 1);
		end_operation(cases[i].result);
		snprintf(expected, sizeof expected, "error code=unavailable message=%s", cases[i].says);
		hear(peer, expected);
	}
	free_peer(peer);
}
END_TEST

// Shut down in between: the election ends the operation in the step in which it hears of it.
static void end_at_once(const struct election_event *event)
{
	if (event->type == ELECTION_OPERATE)
		server_tell_operated(server, RESULT_UNAVAILABLE, NULL);
}

START_TEST(s2_an_operation_may_end_in_its_own_step)
{
	struct peer *peer = new_peer();
	on_event = end_at_once;
	election.stopping = true;
	ask(peer, "pause\n", "error code=unavailable message=the%20daemon%20is%20about%20to%20end\n");
	ask(peer, "check component=engine\n", "ok valid=no\n");
	free_peer(peer);
}
END_TEST

START_TEST(s2_who_asked_may_be_gone)
{
	struct peer *peer = joined("engine"), *other = new_peer();
	say(peer, "pause\n");
	wait_events(2);
	// What it said is carried out; that it is gone is seen when it is to be answered.
	free_peer(peer);
	say(other, "resume\n");
	hear_line(other, "error code=busy ");
	end_operation(RESULT_DONE);
	wait_events(3);
	expect_event(2, ELECTION_GONE, 0, 0);
	say(other, "resume\n");
	wait_events(4);
	server_free(server); // also while one is going on
	server = NULL;
	free_peer(other);
}
END_TEST

START_TEST(s2_who_asked_was_dropped)
{
	struct peer *peer = new_peer(), *other = new_peer();
	say(peer, "watch\n");
	hear_line(peer, "ok");
	say(peer, "pause\n");
	wait_events(1);
	peer->deaf = true;
	loop_watch_set(peer->watch, 0);
	while (server_client_count(server) > 1) { // it does not take what it is told
		server_tell_leader(server, 0);
		server_turn(server);
	}
	end_operation(RESULT_DONE);
	ask(other, "check component=engine\n", "ok valid=no\n");
	free_peer(peer);
	free_peer(other);
}
END_TEST

START_TEST(s2_the_leader_here_resigns_at_once)
{
	struct peer *peer = new_peer();
	election.leases[0].state = LEASE_LEADING;
	ask(peer, "resign component=engine cooldown_ms=5\n", "ok\n");
	expect_event(0, ELECTION_RESIGN, 0, 0);
	ck_assert_int_eq(events[0].cooldown_ns, 5 * NS_PER_MS);
	election.leases[0].state = LEASE_DRAINING;
	say(peer, "resign component=engine\n");
	hear_line(peer, "error code=unavailable message=the%20term%20that%20was%20led%20here%20is%20about%20to%20end");
	ck_assert_uint_eq(event_count, 1);
	free_peer(peer);
}
END_TEST

START_TEST(s8_history_is_told)
{
	static const struct exchange_past past[] = {
		{.lease = 0, .term = 9, .node = "b", .from_ms = 1700000000123},
		{.lease = 7, .term = 8, .node = "x"}, // of no component here
		{.lease = 2, .term = 8, .node = "a c", .from_ms = 5, .to_ms = 77, .reason = "worker-gone"},
	};
	const struct exchange_reply reply = {.past = past, .past_count = COUNT_OF(past)};
	struct peer *peer = new_peer();
	config.components[2].group = (char *)"console";
	say(peer, "history\n");
	wait_events(1);
	server_tell_operated(server, RESULT_DONE, &reply);
	hear(peer, "past component=engine term=9 node=b from_ms=1700000000123 to_ms=0 reason=\n"
		   "past component=console term=8 node=a%20c from_ms=5 to_ms=77 reason=worker-gone\n"
		   "ok\n");
	config.components[2].group = NULL;
	free_peer(peer);
}
END_TEST

// The most that can be asked for, in the longest lines.
START_TEST(s8_a_long_history_fits)
{
	struct exchange_past *past = calloc(1000, sizeof *past);
	const struct exchange_reply reply = {.past = past, .past_count = 1000};
	struct peer *peer = new_peer();
	for (size_t i = 0; i < 1000; i++) {
		past[i] = (struct exchange_past){.term = UINT64_MAX, .from_ms = INT64_MAX, .to_ms = INT64_MAX};
		memset(past[i].node, ' ', NAME_BYTES);
		memset(past[i].reason, ' ', sizeof past[i].reason - 1);
	}
	say(peer, "history count=1000\n");
	wait_events(1);
	server_tell_operated(server, RESULT_DONE, &reply);
	for (size_t i = 0; i < 1000; i++)
		hear_line(peer, "past component=engine term=18446744073709551615 ");
	hear(peer, "ok\n");
	free(past);
	free_peer(peer);
}
END_TEST

// ---- who may ----

// A peer that connects as this user with these groups, asks, and prints what it hears.
static void ask_as(uid_t uid, gid_t gid, gid_t more, const char *request, const char *expected)
{
	int fds[2];
	char text[256] = "";
	size_t size = 0;
	ck_assert_int_eq(pipe(fds), 0);
	pid_t child = fork();
	if (child == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		bool fails = setgroups(1, &more) < 0 || setgid(gid) < 0 || setuid(uid) < 0;
		if (fails || connect(fd, (struct sockaddr *)&address, address_size) < 0 ||
			write(fd, request, strlen(request)) < 0)
			_exit(1);
		ssize_t got = read(fd, text, sizeof text);
		_exit(got > 0 && write(fds[1], text, (size_t)got) == got ? 0 : 1);
	}
	close(fds[1]);
	size_t before = event_count;
	int64_t until = clock_now_ns() + PATIENCE_NS;
	int status;
	while (waitpid(child, &status, WNOHANG) == 0 && clock_now_ns() < until) {
		run_for(NS_PER_MS);
		if (event_count > before && events[event_count - 1].type == ELECTION_OPERATE) {
			before = event_count;
			end_operation(RESULT_DONE);
		}
	}
	ssize_t got;
	while (size < sizeof text - 1 && (got = read(fds[0], text + size, sizeof text - 1 - size)) > 0)
		size += (size_t)got;
	close(fds[0]);
	text[size] = '\0';
	ck_assert_msg(strncmp(text, expected, strlen(expected)) == 0, "%s: %s, not %s", request, text, expected);
}

#define USER 65534
#define GROUP 4242
#define ANOTHER 4243

START_TEST(s7_managing_takes_root_or_the_group)
{
	static const char *const requests[] = {
		"pause\n", "resume\n", "transfer component=engine node=b\n", "resign component=engine\n"};
	if (getuid() != 0)
		return;
	config.admin_gid = (gid_t)-1;
	for (size_t i = 0; i < COUNT_OF(requests); i++)
		ask_as(USER, GROUP, GROUP, requests[i], "error code=denied ");
	ck_assert_uint_eq(event_count, 0);
	config.admin_gid = GROUP;
	for (size_t i = 0; i < COUNT_OF(requests); i++) {
		ask_as(USER, GROUP, ANOTHER, requests[i], "ok\n");
		ask_as(USER, ANOTHER, GROUP, requests[i], "ok\n");
		ask_as(USER, ANOTHER, ANOTHER, requests[i], "error code=denied ");
	}
	// Looking is for everybody.
	ask_as(USER, ANOTHER, ANOTHER, "history\n", "ok\n");
	ask_as(USER, ANOTHER, ANOTHER, "status component=engine\n", "row component=engine ");
}
END_TEST

START_TEST(s7_users_or_groups_may_join)
{
	struct config_id users[] = {{.name = (char *)"one", .id = USER - 1}};
	struct config_id groups[] = {{.name = (char *)"other", .id = ANOTHER}, {.name = (char *)"it", .id = GROUP}};
	if (getuid() != 0)
		return;
	config.components[0].groups = (struct config_ids){.items = groups, .count = 2};
	ask_as(USER, GROUP, 1, "join component=engine\n", "ok component=engine ");
	ask_as(USER, 1, ANOTHER, "join component=engine\n", "ok component=engine ");
	ask_as(USER, 1, 1, "join component=engine\n", "error code=denied ");
	ask_as(0, 0, 0, "join component=engine\n", "error code=denied ");
	config.components[0].users = (struct config_ids){.items = users, .count = 1};
	ask_as(USER - 1, 1, 1, "join component=engine\n", "ok component=engine ");
	ask_as(USER, GROUP, 1, "join component=engine\n", "ok component=engine ");
	ask_as(USER, 1, 1, "join component=engine\n", "error code=denied ");
	config.components[0].users.count = config.components[0].groups.count = 0;
}
END_TEST

// ---- what status tells ----

// One of each session.
static void take_candidates(
	struct exchange_candidate *candidates, const struct exchange_offerer *offerers, size_t count)
{
	for (uint32_t i = 0; i < count; i++)
		candidates[i].offerer = i;
	server_take_candidates(server, &(struct exchange_reply){.candidates = candidates,
					       .candidate_count = count,
					       .offerers = offerers,
					       .offerer_count = count});
}

START_TEST(w20_status_tells_who_else_would_lead)
{
	static const struct exchange_offerer offerers[] = {
		{.node = "b", .age_us = 7200000000},
		{.node = "c:1", .age_us = 3600000000},
		{.node = "b", .age_us = 9000000000}, // its last life
		{.node = "host-a", .age_us = 1},     // this node itself
		{.node = "d", .age_us = 3600000000},
		{.node = "e f", .age_us = 1}, // no daemon's name
		{.node = "g", .age_us = 1},
	};
	struct exchange_candidate candidates[] = {
		{.lease = 1, .priority = -5}, {.lease = 0, .priority = 3}, {.lease = 1, .priority = 7},
		{.lease = 1, .priority = 1}, {.lease = 1, .priority = 0}, {.lease = 1, .priority = 0},
		{.lease = 9, .priority = 0}, // of no component here
	};
	struct peer *peer = new_peer();
	uint64_t d_ms, b_ms;
	char line[128];
	take_candidates(candidates, offerers, COUNT_OF(candidates));
	say(peer, "status component=counter\n");
	wait_bytes(peer, 150);
	const char *found = strstr(buffer_bytes(&peer->heard), " candidates=");
	ck_assert_ptr_nonnull(found);
	snprintf(line, sizeof line, "%.*s", (int)strcspn(found + 1, " ") + 1, found);
	ck_assert_int_eq(sscanf(line, " candidates=d:%lu:0,b:%lu:-5", &d_ms, &b_ms), 2);
	ck_assert_msg(d_ms >= 3600000 && d_ms < 3700000 && b_ms >= 7200000 && b_ms < 7300000, "%s", line);
	take_candidates(NULL, NULL, 0);
	free_peer(peer);
}
END_TEST

static void append(char *text, size_t size, const char *more, unsigned times)
{
	while (times-- > 0) {
		size_t used = strlen(text);
		ck_assert_uint_lt(used + strlen(more), size);
		snprintf(text + used, size - used, "%s", more);
	}
}

// The longest line that a row can be.
START_TEST(w20_the_longest_row_fits)
{
	static struct exchange_candidate candidates[100];
	static struct exchange_offerer offerers[COUNT_OF(candidates)];
	struct peer *peer = joined("engine");
	char store[EXCHANGE_TEXT_SIZE];
	for (size_t i = 0; i < COUNT_OF(candidates); i++) {
		candidates[i].priority = -1000000;
		offerers[i].age_us = INT64_MAX;
		memset(offerers[i].node, 'a', NAME_BYTES);
		offerers[i].node[0] = (char)('0' + i % 10);
		offerers[i].node[1] = (char)('0' + i / 10);
	}
	take_candidates(candidates, offerers, COUNT_OF(candidates));
	memset(store, ' ', sizeof store - 1);
	store[sizeof store - 1] = '\0';
	server_free(server);
	setup.store_text = store;
	ck_assert_int_eq(server_new(&server, &setup), 0);
	ck_assert_int_eq(server_listen(server, listen_fd), 0);
	free_peer(peer);
	peer = joined("engine");
	take_candidates(candidates, offerers, COUNT_OF(candidates));
	election.leases[0].seat = SEAT_WORKING;
	election.leases[0].token = (struct election_token){.term = UINT64_MAX, .deadline = INT64_MAX};
	memset(election.paused_by, 'p', NAME_BYTES);
	char request[1500] = "alive component=engine term=18446744073709551615 message=";
	append(request, sizeof request, "%22", 400);
	append(request, sizeof request, "\n", 1);
	ask(peer, request, "ok\n");
	server_tell_ended(server, 0, REASON_TRANSFERRED);
	say(peer, "status component=engine\n");
	hear_line(peer, "row component=engine ");
	hear(peer, "ok\n");
	free_peer(peer);
}
END_TEST

START_TEST(w20_status_tells_of_group_pause_and_reason)
{
	struct peer *peer = new_peer();
	config.components[1].group = (char *)"console";
	strcpy(election.paused_by, "host-c");
	server_tell_ended(server, 1, REASON_WORKER_GONE);
	say(peer, "status component=counter\n");
	hear_line(peer, "row component=counter role=idle leader= term=0 since_ms=0 ttl_ms=0 worker=none workers=0 "
			"store=starting error= node=host-a group=console paused=host-c candidates= reason=worker-gone "
			"message=");
	config.components[1].group = NULL;
	free_peer(peer);
}
END_TEST

static void check_message(const char *expected)
{
	struct server_row row;
	ck_assert(server_row(server, 0, &row));
	ck_assert_str_eq(row.message, expected);
}

// W20: what the worker says of itself.
START_TEST(w20_a_worker_has_a_message)
{
	struct peer *peer = joined("engine");
	election.leases[0].token.term = 42;
	check_message("");
	ask(peer, "started component=engine term=42 message=all%20is%20well\n", "ok\n");
	check_message("all is well");
	ask(peer, "alive component=engine term=42\n", "ok\n");
	check_message("all is well");
	ask(peer, "alive component=engine term=41 message=late\n", "ok\n");
	check_message("all is well");
	// What is no character that can be shown is replaced, and none is cut in two.
	ask(peer,
		"alive component=engine term=42 "
		"message=%1b%5b1m%0a%7f%c3%a4%e2%82%ac%f0%9f%98%80%80%c3%c0%af%ed%a0%80%c2%85\n",
		"ok\n");
	check_message("?[1m??\u00e4\u20ac\U0001f600????????"
		      "?");
	char request[1024] = "alive component=engine term=42 message=x", expected[256] = "x";
	append(request, sizeof request, "%c3%a4", 100);
	append(expected, sizeof expected, "\u00e4", 63);
	append(request, sizeof request, "\n", 1);
	ask(peer, request, "ok\n");
	check_message(expected);
	ask(peer, "alive component=engine term=42 message=\n", "ok\n");
	check_message("");
	// Of one term only.
	ask(peer, "alive component=engine term=42 message=old\n", "ok\n");
	server_tell_granted(server, 0, 43, clock_now_ns());
	hear_line(peer, "granted ");
	check_message("");
	free_peer(peer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server-operate");
	TCase *tests = tcase_create("server-operate");
	tcase_add_checked_fixture(tests, start, stop);
	tcase_set_timeout(tests, 30);
	const TTest *const all[] = {
		s2_an_operation_is_answered_when_it_ends,
		s2_what_is_said_after_it_waits_and_others_do_not,
		s2_a_second_one_is_busy,
		s2_refusals_say_why,
		s2_an_operation_may_end_in_its_own_step,
		s2_who_asked_may_be_gone,
		s2_who_asked_was_dropped,
		s2_the_leader_here_resigns_at_once,
		s8_history_is_told,
		s8_a_long_history_fits,
		s7_managing_takes_root_or_the_group,
		s7_users_or_groups_may_join,
		w20_status_tells_who_else_would_lead,
		w20_the_longest_row_fits,
		w20_status_tells_of_group_pause_and_reason,
		w20_a_worker_has_a_message,
	};
	for (size_t i = 0; i < COUNT_OF(all); i++)
		tcase_add_test(tests, all[i]);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
