// SPDX-License-Identifier: Apache-2.0
// The socket server: connections, the protocol, seats, listings, limits.
#include "line.h"
#include "lingering.h"
#include "server_bench.h"

#include <sys/stat.h>

#define MANY 10000

START_TEST(hello_tells_who_is_there)
{
	struct peer *peer = new_peer();
	ask(peer, "hello version=1\n",
		"ok version=1 server=tenured/0.1.0 node=host-a session= boot=1b9d terms=/run/tenure/terms\n");
	ck_assert_int_eq(uuid_parse("7c0e0000-0000-4000-8000-000000000001", &election.session), 0);
	ask(peer, "hello future=yes\n",
		"ok version=1 server=tenured/0.1.0 node=host-a "
		"session=7c0e0000-0000-4000-8000-000000000001 boot=1b9d ");
	hear_line(peer, "terms=");
	say(peer, "hello version=2\n");
	hear_line(peer, "error code=version message=");
	free_peer(peer);
}
END_TEST

START_TEST(errors_name_their_kind)
{
	static const struct {
		const char *request, *code;
	} cases[] = {
		{"dance\n", "unknown-request"},
		{"transfer component=engine\n", "syntax"},
		{"transfer component=engine node=a%20b\n", "syntax"},
		{"transfer component=nobody node=b\n", "unknown-component"},
		{"resign component=engine cooldown_ms=-1\n", "syntax"},
		{"history component=nobody\n", "unknown-component"},
		{"history count=0\n", "syntax"},
		{"history count=1001\n", "syntax"},
		{"granted component=engine term=1\n", "unknown-request"},
		{"join component=nobody\n", "unknown-component"},
		{"join component=\n", "unknown-component"},
		{"join\n", "syntax"},
		{"\n", "syntax"},
		{"join  component=engine\n", "syntax"},
		{"join component=engine component=engine\n", "syntax"},
		{"join component=%00\n", "syntax"},
		{"join component=engine extend=maybe\n", "syntax"},
		{"join component=engine heartbeat_ms=0\n", "syntax"},
		{"join component=engine heartbeat_ms=99999999999\n", "syntax"},
		{"join component=engine term=0\n", "syntax"},
		{"join component=engine term=-1\n", "syntax"},
		{"started component=engine\n", "syntax"},
		{"started component=engine term=1\n", "not-joined"},
		{"stopped component=engine term=1\n", "not-joined"},
		{"alive component=engine term=1\n", "not-joined"},
		{"yield component=engine term=1\n", "not-joined"},
		{"yield component=engine term=1 cooldown_ms=-1\n", "syntax"},
		{"leave component=engine\n", "not-joined"},
		{"check\n", "syntax"},
		{"status component=nobody\n", "unknown-component"},
		{"watch component=nobody\n", "unknown-component"},
	};
	struct peer *peer = new_peer();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char expected[64];
		snprintf(expected, sizeof expected, "error code=%s message=", cases[i].code);
		say(peer, cases[i].request);
		hear_line(peer, expected);
	}
	ck_assert_uint_eq(event_count, 0);
	free_peer(peer);
}
END_TEST

START_TEST(answers_come_in_order)
{
	struct peer *peer = new_peer();
	ask(peer,
		"join component=engine\ncheck component=engine\nleave component=engine\ncheck "
		"component=counter\nleap\n",
		"ok component=engine slot=3\nok valid=no\nok\nok valid=no\nerror code=unknown-request");
	expect_event(0, ELECTION_JOIN, 0, 0);
	expect_event(1, ELECTION_GONE, 0, 0);
	ck_assert_uint_eq(event_count, 2);
	free_peer(peer);
}
END_TEST

START_TEST(a_worker_says_what_the_election_hears)
{
	struct peer *peer = new_peer();
	ask(peer, "join component=counter heartbeat_ms=500\n", "ok component=counter slot=4\n");
	ask(peer, "started component=counter term=7\n", "ok\n");
	ask(peer, "alive component=counter term=7\n", "ok\n");
	ask(peer, "stopped component=counter term=7\n", "ok\n");
	ask(peer, "yield component=counter term=7 cooldown_ms=250 reason=disk%20full\n", "ok\n");
	ask(peer, "yield component=counter term=7\n", "ok\n");
	answer = ANSWER_STALE;
	say(peer, "stopped component=counter term=6\n");
	hear_line(peer, "error code=stale message=");
	expect_event(0, ELECTION_JOIN, 1, 0);
	ck_assert_int_eq(events[0].heartbeat_ns, 500 * NS_PER_MS);
	expect_event(1, ELECTION_STARTED, 1, 7);
	expect_event(2, ELECTION_ALIVE, 1, 7);
	expect_event(3, ELECTION_STOPPED, 1, 7);
	ck_assert_int_eq(events[3].cooldown_ns, ELECTION_COOLDOWN_DEFAULT);
	expect_event(4, ELECTION_YIELD, 1, 7);
	ck_assert_int_eq(events[4].cooldown_ns, 250 * NS_PER_MS);
	ck_assert_int_eq(events[5].cooldown_ns, ELECTION_COOLDOWN_DEFAULT);
	expect_event(6, ELECTION_STOPPED, 1, 6);
	free_peer(peer);
}
END_TEST

START_TEST(the_worker_in_the_seat_is_told)
{
	struct peer *worker = joined("engine");
	struct peer *other = joined("counter");
	election.now = 1000 * NS_PER_MS;
	server_tell_granted(server, 0, 42, 10996 * NS_PER_MS);
	server_tell_extended(server, 0, 42, 12000 * NS_PER_MS);
	server_tell_revoked(server, 0, 42, 12000 * NS_PER_MS, REASON_SHUTDOWN);
	server_tell_granted(server, 2, 9, 12000 * NS_PER_MS); // nobody is there
	hear(worker, "granted component=engine term=42 deadline=10996000000 ttl_ms=9996 grace_ms=2000\n"
		     "extended component=engine term=42 deadline=12000000000 ttl_ms=11000\n"
		     "revoked component=engine term=42 reason=shutdown deadline=12000000000\n");
	ask(other, "check component=counter\n", "ok valid=no\n");
	free_peer(worker);
	free_peer(other);
}
END_TEST

START_TEST(extensions_only_where_they_are_wanted)
{
	struct peer *peer = new_peer();
	ask(peer, "join component=engine extend=no\n", "ok component=engine slot=3\n");
	ask(peer, "join component=counter\n", "ok component=counter slot=4\n");
	server_tell_extended(server, 0, 1, 0);
	server_tell_extended(server, 1, 2, 0);
	ask(peer, "check component=engine\n", "extended component=counter term=2 deadline=0 ttl_ms=0\nok valid=no\n");
	free_peer(peer);
}
END_TEST

static void revoke_at_join(const struct election_event *event)
{
	if (event->type == ELECTION_JOIN)
		server_tell_revoked(server, event->lease, event->term, 5, REASON_EXPIRING);
}

START_TEST(the_answer_to_join_comes_first)
{
	struct peer *peer = new_peer();
	on_event = revoke_at_join;
	ask(peer, "join component=engine term=8\n",
		"ok component=engine slot=3\nrevoked component=engine term=8 reason=expiring deadline=5\n");
	expect_event(0, ELECTION_JOIN, 0, 8);
	free_peer(peer);
}
END_TEST

START_TEST(a_stale_term_does_not_join)
{
	struct peer *peer = new_peer();
	answer = ANSWER_STALE;
	say(peer, "join component=engine term=8\n");
	hear_line(peer, "error code=stale message=");
	answer = ANSWER_OK;
	ask(peer, "join component=engine\n", "ok component=engine slot=3\n");
	say(peer, "join component=engine\n");
	hear_line(peer, "error code=busy message=");
	ck_assert_uint_eq(event_count, 2);
	free_peer(peer);
}
END_TEST

// The seat was left: whoever steps the election is told that it is vacant.
static void say_vacant(const struct election_event *event)
{
	answer = ANSWER_OK;
	if (event->type == ELECTION_GONE)
		server_tell_vacant(server, event->lease);
}

START_TEST(standbys_take_the_seat_in_order)
{
	struct peer *first = joined("engine");
	answer = ANSWER_BUSY;
	struct peer *leaver = joined("engine");
	struct peer *second = new_peer();
	ask(second, "join component=engine heartbeat_ms=700\n", "ok component=engine slot=3\n");
	struct peer *third = joined("engine");
	ck_assert_uint_eq(event_count, 4);
	say(second, "started component=engine term=1\n");
	hear_line(second, "error code=not-joined");
	ask(leaver, "leave component=engine\n", "ok\n");
	ck_assert_uint_eq(event_count, 4); // it had no seat to leave
	on_event = say_vacant;
	hang_up(first);
	wait_events(6);
	expect_event(4, ELECTION_GONE, 0, 0);
	expect_event(5, ELECTION_JOIN, 0, 0);
	ck_assert_int_eq(events[5].heartbeat_ns, 700 * NS_PER_MS);
	server_tell_granted(server, 0, 2, 0);
	hear_line(second, "granted component=engine term=2 ");
	ask(second, "leave component=engine\n", "ok\n");
	ck_assert_uint_eq(event_count, 8);
	server_tell_granted(server, 0, 3, 0);
	hear_line(third, "granted component=engine term=3 ");
	free_peer(first);
	free_peer(leaver);
	free_peer(second);
	free_peer(third);
}
END_TEST

START_TEST(a_standby_that_is_refused_goes_on_waiting)
{
	answer = ANSWER_BUSY;
	struct peer *first = joined("engine");
	struct peer *second = joined("engine");
	server_tell_vacant(server, 0);
	wait_events(3); // it asked, and somebody was quicker
	answer = ANSWER_OK;
	server_tell_vacant(server, 0);
	wait_events(4);
	server_tell_granted(server, 0, 2, 0);
	hear_line(first, "granted component=engine term=2 ");
	free_peer(first);
	free_peer(second);
}
END_TEST

START_TEST(the_end_of_a_connection_is_the_end_of_its_workers)
{
	struct peer *peer = new_peer();
	ask(peer, "join component=engine\njoin component=counter\n",
		"ok component=engine slot=3\nok component=counter slot=4\n");
	// What was said before the end still counts.
	say(peer, "stopped component=engine term=3\n");
	hang_up(peer);
	wait_events(5);
	expect_event(2, ELECTION_STOPPED, 0, 3);
	expect_event(3, ELECTION_GONE, 0, 0);
	expect_event(4, ELECTION_GONE, 1, 0);
	server_tell_granted(server, 0, 4, 0);
	free_peer(peer);
}
END_TEST

START_TEST(a_copy_of_the_connection_keeps_the_worker)
{
	struct peer *peer = joined("engine");
	int copy = dup(peer->fd);
	hang_up(peer);
	run_for(50 * NS_PER_MS);
	ck_assert_uint_eq(event_count, 1);
	close(copy);
	wait_events(2);
	expect_event(1, ELECTION_GONE, 0, 0);
	free_peer(peer);
}
END_TEST

START_TEST(check_says_whether_a_term_is_valid)
{
	struct peer *peer = new_peer();
	election.leases[0].token = (struct election_token){.term = 42, .deadline = clock_now_ns() + 100 * NS_PER_S};
	election.leases[1].token = (struct election_token){.term = 7, .deadline = clock_now_ns() - 1};
	say(peer, "check component=engine\n");
	hear_line(peer, "ok valid=yes term=42 deadline=");
	say(peer, "check component=engine term=42\n");
	hear_line(peer, "ok valid=yes term=42 deadline=");
	ask(peer, "check component=engine term=41\n", "ok valid=no\n");
	ask(peer, "check component=counter term=7\n", "ok valid=no\n");
	ask(peer, "check component=discovery\n", "ok valid=no\n");
	free_peer(peer);
}
END_TEST

START_TEST(status_tells_all_of_a_component)
{
	struct peer *peer = joined("engine");
	election.leases[0].state = LEASE_LEADING;
	election.leases[0].seat = SEAT_WORKING;
	election.leases[0].held_term = 42;
	election.leases[0].token = (struct election_token){.term = 42, .deadline = clock_now_ns() - 1};
	election.leases[1].row = (struct exchange_row){
		.exists = true, .holder_alive = true, .holder.byte = {1}, .node = "host-b", .term = 6};
	election.answered = true;
	election.outcome = EXCHANGE_DENIED;
	strcpy(store_text, "no table; run tenurectl init");
	ask(peer, "status component=engine\n",
		"row component=engine role=leader leader=host-a term=42 since_ms=0 ttl_ms=0 worker=working workers=1 "
		"store=denied error=no%20table%3B%20run%20tenurectl%20init node=host-a group= paused= candidates= "
		"reason= message=\nok\n");
	say(peer, "status\n");
	hear_line(peer, "row component=engine role=leader ");
	hear_line(peer, "row component=counter role=idle leader=host-b term=6 since_ms=");
	hear_line(peer, "row component=discovery role=idle leader= term=0 since_ms=0 ");
	hear(peer, "ok\n");
	free_peer(peer);
}
END_TEST

static size_t count_lines(struct peer *peer)
{
	size_t lines = 0;
	const char *bytes = buffer_bytes(&peer->heard);
	for (size_t i = 0; i < buffer_size(&peer->heard); i++)
		lines += bytes[i] == '\n';
	return lines;
}

// Each byte is looked at once, however many there are and in whatever pieces they come.
static void hear_lines(struct peer *peer, size_t count)
{
	size_t heard = 0;
	for (;;) {
		heard += count_lines(peer);
		buffer_consume(&peer->heard, buffer_size(&peer->heard));
		if (heard >= count || peer->ended)
			break;
		wait_bytes(peer, 1);
		ck_assert_msg(!too_late, "%zu lines, not %zu", heard, count);
	}
	ck_assert_uint_eq(heard, count);
}

START_TEST(a_long_status_needs_little_room)
{
	struct peer *peer = new_peer();
	struct peer *slow = new_peer();
	loop_watch_set(slow->watch, 0); // takes nothing for now
	say(slow, "status\ncheck component=engine\n");
	ck_assert_int_eq(shutdown(slow->fd, SHUT_WR), 0); // which is no reason to keep its answers from it
	say(peer, "status\ncheck component=engine\n");
	hear_lines(peer, MANY + 2);
	turns = 0;
	run_for(50 * NS_PER_MS);
	ck_assert_uint_lt(turns, 10); // nothing spins
	loop_watch_set(slow->watch, LOOP_READ);
	hear_lines(slow, MANY + 2);
	free_peer(peer);
	free_peer(slow);
}
END_TEST

START_TEST(a_half_closed_connection_gets_its_answers)
{
	struct peer *peer = new_peer();
	say(peer, "status\ncheck component=engine\n");
	ck_assert_int_eq(shutdown(peer->fd, SHUT_WR), 0);
	hear_line(peer, "row component=engine ");
	hear_line(peer, "row component=counter ");
	hear_line(peer, "row component=discovery ");
	hear(peer, "ok\nok valid=no\n");
	hear_end(peer);
	free_peer(peer);
}
END_TEST

START_TEST(what_waits_to_be_sent_outlives_the_end_of_input)
{
	struct peer *peer = new_peer();
	ask(peer, "watch component=engine\n", "ok\nleader component=engine node= term=0\n");
	loop_watch_set(peer->watch, 0);
	// A line a send: the socket is full long before, and what is left would not keep the server from reading.
	for (int i = 0; i < 1000; i++) {
		server_tell_leader(server, 0);
		server_turn(server);
	}
	ck_assert_int_eq(shutdown(peer->fd, SHUT_WR), 0);
	run_for(20 * NS_PER_MS);
	loop_watch_set(peer->watch, LOOP_READ);
	wait_bytes(peer, SIZE_MAX);
	ck_assert(peer->ended);
	ck_assert_uint_eq(count_lines(peer), 1000);
	free_peer(peer);
}
END_TEST

START_TEST(watch_shows_what_is_and_what_changes)
{
	struct peer *all = new_peer();
	struct peer *one = new_peer();
	ask(all, "watch\n",
		"ok\nleader component=engine node= term=0\nleader component=counter node= term=0\n"
		"leader component=discovery node= term=0\n");
	ask(one, "watch component=counter\n", "ok\nleader component=counter node= term=0\n");
	election.leases[0].state = LEASE_LEADING;
	election.leases[0].held_term = 5;
	election.leases[1].row = (struct exchange_row){
		.exists = true, .holder_alive = true, .holder.byte = {1}, .node = "host-b", .term = 6};
	server_tell_leader(server, 0);
	server_tell_leader(server, 1);
	hear(all, "leader component=engine node=host-a term=5\nleader component=counter node=host-b term=6\n");
	ask(one, "check component=engine\n", "leader component=counter node=host-b term=6\nok valid=no\n");
	// Who asks twice and ends takes nothing from the other.
	ask(one, "watch component=counter\n", "ok\nleader component=counter node=host-b term=6\n");
	free_peer(one);
	while (server_client_count(server) > 1)
		run_for(NS_PER_MS);
	server_tell_leader(server, 1);
	hear(all, "leader component=counter node=host-b term=6\n");
	free_peer(all);
}
END_TEST

// S7: who may join is asked of the kernel.
START_TEST(users_keep_others_out)
{
	struct config_id items[] = {{.name = (char *)"nobody-else", .id = getuid() + 1}};
	struct peer *peer = new_peer();
	config.components[0].users = (struct config_ids){.items = items, .count = 1};
	say(peer, "join component=engine\n");
	hear_line(peer, "error code=denied message=");
	ck_assert_uint_eq(event_count, 0);
	items[0].id = getuid();
	ask(peer, "join component=engine\n", "ok component=engine slot=3\n");
	free_peer(peer);
}
END_TEST

START_TEST(connections_are_limited)
{
	struct peer *peers[2] = {new_peer(), new_peer()};
	ask(peers[0], "check component=engine\n", "ok valid=no\n");
	ask(peers[1], "check component=engine\n", "ok valid=no\n");
	struct peer *third = new_peer();
	hear_line(third, "error code=too-many message=");
	hear_end(third);
	hang_up(peers[0]);
	run_for(10 * NS_PER_MS);
	struct peer *fourth = new_peer();
	ask(fourth, "check component=engine\n", "ok valid=no\n");
	free_peer(peers[0]);
	free_peer(peers[1]);
	free_peer(third);
	free_peer(fourth);
}
END_TEST

static struct peer *new_peer_as(uid_t uid)
{
	ck_assert_int_eq(seteuid(uid), 0);
	struct peer *peer = new_peer();
	ck_assert_int_eq(seteuid(0), 0);
	return peer;
}

static void expect_served(struct peer *peer)
{
	ask(peer, "check component=engine\n", "ok valid=no\n");
}

// S7: of 8 connections, one user gets half and the next one half of what is left; root gets all.
START_TEST(a_user_leaves_room_for_others)
{
	static const struct {
		uid_t uid;
		size_t count;
	} users[] = {{1, 4}, {2, 2}, {3, 1}, {0, 1}};
	struct peer *peers[8];
	size_t count = 0;
	if (geteuid() != 0)
		return; // only root can be somebody else
	for (size_t i = 0; i < COUNT_OF(users); i++) {
		for (size_t j = 0; j < users[i].count; j++)
			expect_served(peers[count++] = new_peer_as(users[i].uid));
		struct peer *refused = new_peer_as(users[i].uid);
		hear(refused, "error code=too-many message=too%20many%20connections");
		hear(refused, count < 8 ? "%20of%20this%20user\n" : "\n");
		hear_end(refused);
		free_peer(refused);
	}
	while (count > 3)
		free_peer(peers[--count]);
	run_for(10 * NS_PER_MS);
	expect_served(peers[count++] = new_peer_as(1));
	while (count > 0)
		free_peer(peers[--count]);
}
END_TEST

// S7: with what is read, with what is left unread at the end, and with what is refused.
START_TEST(what_is_sent_along_holds_nobody_up)
{
	int far_ends[3];
	struct peer *worker = joined("engine");
	struct peer *other = new_peer();
	struct peer *refused = new_peer();
	int64_t begun_at = clock_now_ns();
	send_away(refused->fd, make_lingering(20, &far_ends[0]));
	for (int i = 1; i < 3; i++)
		send_away(other->fd, make_lingering(20, &far_ends[i]));
	hang_up(other);
	ask(worker, "check component=engine\n", "ok valid=no\n");
	hear_line(refused, "error code=too-many message=");
	run_for(20 * NS_PER_MS);
	ask(worker, "check component=engine\n", "ok valid=no\n");
	ck_assert_int_lt(clock_now_ns() - begun_at, 5 * NS_PER_S);
	free_peer(worker);
	free_peer(other);
	free_peer(refused);
	for (int i = 0; i < 3; i++)
		close(far_ends[i]);
}
END_TEST

// S7: it is seen as what is sent otherwise, so it neither hides what it brings nor keeps the loop awake.
START_TEST(what_is_sent_out_of_band_is_read)
{
	int far_end;
	struct peer *peer = new_peer();
	int lingering = make_lingering(20, &far_end);
	int64_t begun_at = clock_now_ns();
	run_for(10 * NS_PER_MS);
	if (send_away_with(peer->fd, lingering, "c", MSG_OOB)) {
		turns = 0;
		run_for(20 * NS_PER_MS);
		ck_assert_uint_lt(turns, 10);
		ask(peer, "heck component=engine\n", "ok valid=no\n");
	}
	ck_assert_int_lt(clock_now_ns() - begun_at, 5 * NS_PER_S);
	free_peer(peer);
	close(far_end);
}
END_TEST

START_TEST(joins_are_limited)
{
	struct peer *peer = new_peer();
	ask(peer, "join component=engine\njoin component=counter\n",
		"ok component=engine slot=3\nok component=counter slot=4\n");
	say(peer, "join component=discovery\n");
	hear_line(peer, "error code=too-many message=");
	ask(peer, "leave component=engine\n", "ok\n");
	ask(peer, "join component=discovery\n", "ok component=discovery slot=5\n");
	free_peer(peer);
}
END_TEST

START_TEST(lines_are_limited)
{
	struct peer *peer = joined("engine");
	char longest[4097];
	memset(longest, 'x', sizeof longest);
	memcpy(longest, "check component=", 16);
	longest[4095] = '\n';
	longest[4096] = '\0';
	say(peer, longest);
	hear_line(peer, "error code=unknown-component");
	longest[4095] = 'x';
	say(peer, longest);
	hear_line(peer, "error code=syntax");
	hear_end(peer);
	ck_assert_uint_eq(event_count, 2);
	expect_event(1, ELECTION_GONE, 0, 0);
	free_peer(peer);
}
END_TEST

// W3, W12: that we hang up does not end the work. The worker is gone when its own end is closed, and not before.
START_TEST(a_leader_that_is_hung_up_on_is_not_gone)
{
	struct peer *peer = joined("engine");
	static char longest[5000];
	memset(longest, 'x', sizeof longest - 1);
	election.leases[0].token = (struct election_token){.term = 4, .deadline = INT64_MAX};
	say(peer, longest);
	hear_line(peer, "error code=syntax");
	hear_end(peer);
	run_for(20 * NS_PER_MS);
	ck_assert_uint_eq(event_count, 2);
	expect_event(1, ELECTION_EXPEL, 0, 0);
	server_tell_revoked(server, 0, 4, 0, REASON_STALLED);
	hang_up(peer);
	wait_events(3);
	expect_event(2, ELECTION_GONE, 0, 0);
	free_peer(peer);
}
END_TEST

START_TEST(a_leader_that_stops_listening_is_not_gone)
{
	struct peer *peer = joined("engine");
	election.leases[0].token = (struct election_token){.term = 4, .deadline = INT64_MAX};
	ck_assert_int_eq(shutdown(peer->fd, SHUT_RD), 0);
	server_tell_extended(server, 0, 4, 0);
	wait_events(2);
	expect_event(1, ELECTION_EXPEL, 0, 0);
	hang_up(peer);
	wait_events(3);
	expect_event(2, ELECTION_GONE, 0, 0);
	free_peer(peer);
}
END_TEST

START_TEST(last_words_count_where_nobody_hears_us)
{
	struct peer *peer = joined("engine");
	say(peer, "stopped component=engine term=4\n");
	hang_up(peer);
	server_tell_extended(server, 0, 4, 0);
	server_turn(server); // it cannot be sent
	wait_events(3);
	expect_event(1, ELECTION_STOPPED, 0, 4);
	expect_event(2, ELECTION_GONE, 0, 0);
	free_peer(peer);
}
END_TEST

START_TEST(who_does_not_listen_is_dropped)
{
	struct peer *worker = joined("engine");
	struct peer *watcher = new_peer();
	ask(watcher, "watch component=counter\n", "ok\nleader component=counter node= term=0\n");
	loop_watch_set(worker->watch, 0);
	loop_watch_set(watcher->watch, 0);
	// More than the socket's buffers hold, in many turns.
	for (int i = 0; i < 20000; i++) {
		server_tell_extended(server, 0, 1, i);
		server_tell_leader(server, 1);
		server_turn(server);
	}
	expect_event(1, ELECTION_GONE, 0, 0);
	loop_watch_set(worker->watch, LOOP_READ);
	loop_watch_set(watcher->watch, LOOP_READ);
	wait_bytes(worker, SIZE_MAX);
	wait_bytes(watcher, SIZE_MAX);
	ck_assert(worker->ended && watcher->ended);
	free_peer(worker);
	free_peer(watcher);
}
END_TEST

// S7
START_TEST(nobody_fills_the_log)
{
	struct config_id another = {.id = getuid() + 1};
	struct stat status;
	FILE *file = tmpfile();
	int before = dup(STDERR_FILENO);
	struct peer *peer = new_peer();
	config.components[0].users = (struct config_ids){.items = &another, .count = 1};
	ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
	for (int i = 0; i < 1000; i++) {
		say(peer, "join component=engine\n");
		hear_lines(peer, 1);
	}
	dup2(before, STDERR_FILENO);
	close(before);
	ck_assert_int_eq(fstat(fileno(file), &status), 0);
	ck_assert_int_gt(status.st_size, 0);
	ck_assert_int_lt(status.st_size, 10000);
	fclose(file);
	free_peer(peer);
}
END_TEST

START_TEST(the_last_words_wait_for_no_turn)
{
	char text[64];
	struct peer *peer = new_peer();
	ask(peer, "watch component=engine\n", "ok\nleader component=engine node= term=0\n");
	server_tell_leader(server, 0);
	server_flush(server);
	ck_assert_int_gt(recv(peer->fd, text, sizeof text, MSG_DONTWAIT), 0);
	free_peer(peer);
}
END_TEST

// S7: of all connections together, each of which could have more for itself.
START_TEST(who_takes_nothing_does_not_fill_the_memory)
{
	struct peer *watcher = new_peer();
	struct peer *other = new_peer();
	ask(watcher, "watch component=engine\n", "ok\nleader component=engine node= term=0\n");
	loop_watch_set(watcher->watch, 0);
	for (int i = 0; i < 20000; i++) {
		server_tell_leader(server, 0);
		server_turn(server);
	}
	loop_watch_set(watcher->watch, LOOP_READ);
	wait_bytes(watcher, SIZE_MAX);
	ck_assert(watcher->ended);
	ask(other, "check component=engine\n", "ok valid=no\n");
	free_peer(watcher);
	free_peer(other);
}
END_TEST

// It asks, reads nothing, and the kernel takes no more of the answers; so many bytes are there then.
static struct peer *who_takes_nothing(const char *requests, int *ret_taken)
{
	struct peer *deaf = new_peer();
	int taken = 0;
	loop_watch_set(deaf->watch, 0);
	say(deaf, requests);
	for (int before = -1; taken == 0 || taken != before;) {
		before = taken;
		run_for(5 * NS_PER_MS);
		ck_assert_int_eq(ioctl(deaf->fd, FIONREAD, &taken), 0);
	}
	if (ret_taken)
		*ret_taken = taken;
	return deaf;
}

START_TEST(others_who_take_nothing_hold_no_listing_up)
{
	struct peer *deaf = who_takes_nothing("status\nstatus\n", NULL);
	struct peer *peer = new_peer();
	say(peer, "status\n");
	hear_lines(peer, MANY + 1);
	loop_watch_set(deaf->watch, LOOP_READ);
	hear_lines(deaf, 2 * (MANY + 1));
	free_peer(deaf);
	free_peer(peer);
}
END_TEST

// What changes at once is more than one may have waiting, but it waits for nothing.
START_TEST(who_takes_what_it_is_told_stays)
{
	struct peer *deaf = who_takes_nothing("status\nstatus\n", NULL);
	struct peer *watcher = new_peer();
	ask(watcher, "watch component=engine\n", "ok\nleader component=engine node= term=0\n");
	for (int i = 0; i < 200; i++)
		server_tell_leader(server, 0);
	hear_lines(watcher, 200);
	free_peer(deaf);
	free_peer(watcher);
}
END_TEST

START_TEST(others_who_take_nothing_do_not_cut_a_history_off)
{
	static const struct exchange_past past[200] = {{.node = "b"}};
	const struct exchange_reply reply = {.past = past, .past_count = COUNT_OF(past)};
	struct peer *deaf = who_takes_nothing("status\nstatus\n", NULL);
	struct peer *peer = new_peer();
	say(peer, "history count=200\n");
	wait_events(1);
	server_tell_operated(server, RESULT_DONE, &reply);
	hear_lines(peer, COUNT_OF(past) + 1);
	free_peer(deaf);
	free_peer(peer);
}
END_TEST

// Beside a worker in its seat: each event takes all of a turn, and others have said more than one turn carries out.
#define PUSHY 8
static struct peer *pushy[PUSHY];
static struct peer *patient;
static const char *patient_says;
static size_t patient_at;

static void take_a_turn(const struct election_event *event)
{
	int64_t until = clock_now_ns() + NS_PER_MS;
	(void)event;
	if (patient && event_count == patient_at + 1)
		say(patient, patient_says);
	while (clock_now_ns() < until) {
	}
}

static void say_much(struct peer *peer, const char *start, size_t count)
{
	char line[LINE_BYTES + 1];
	memset(line, 'x', LINE_BYTES - 1);
	memcpy(line, start, strlen(start));
	line[LINE_BYTES - 1] = '\n'; // one is all that is received at once
	line[LINE_BYTES] = '\0';
	while (count-- > 0)
		say(peer, line);
}

static void push(const char *says, size_t at)
{
	char start[64];
	patient_says = says;
	patient_at = event_count + at;
	on_event = take_a_turn;
	for (int i = 0; i < PUSHY; i++) {
		snprintf(start, sizeof start, "alive component=c%d term=1 x=", 10 + i);
		say_much(pushy[i], start, 30);
	}
}

static void seat_the_pushy(void)
{
	char name[16];
	for (int i = 0; i < PUSHY; i++) {
		snprintf(name, sizeof name, "c%d", 10 + i);
		pushy[i] = joined(name);
	}
}

static void free_all(void)
{
	on_event = NULL;
	for (int i = 0; i < PUSHY; i++)
		free_peer(pushy[i]);
	free_peer(patient);
	patient = NULL;
}

// S7: other workers, of anybody who may be one, ask without end.
START_TEST(workers_are_served_by_turns)
{
	seat_the_pushy();
	patient = joined("engine");
	push("alive component=engine term=1\n", 5);
	wait_events(event_count + 5 + 3 * PUSHY);
	size_t at = patient_at;
	while (at < event_count && events[at].lease != 0)
		at++;
	ck_assert_uint_lt(at, patient_at + 2 * PUSHY + 2);
	free_all();
}
END_TEST

START_TEST(workers_leave_time_for_others)
{
	seat_the_pushy();
	patient = new_peer();
	push("check component=engine\n", 5);
	hear(patient, "ok valid=no\n");
	ck_assert_uint_lt(event_count, patient_at + 2 * PUSHY + 2);
	free_all();
}
END_TEST

// What it says may be more than one turn carries out, and then others have said something, too.
START_TEST(a_worker_that_says_much_stays_before_others)
{
	struct peer *worker = joined("engine");
	for (int i = 0; i < PUSHY; i++) {
		pushy[i] = new_peer();
		say(pushy[i], "join component=counter\n");
	}
	answer = ANSWER_BUSY;
	on_event = take_a_turn;
	say(worker, "alive component=engine term=1\nalive component=engine term=1\nalive component=engine term=1\n");
	wait_events(1 + 3 + PUSHY);
	size_t alive = 0, at = 1;
	for (; alive < 3; at++)
		alive += events[at].type == ELECTION_ALIVE;
	ck_assert_uint_le(at, 1 + 3 + 3);
	patient = worker;
	free_all();
}
END_TEST

// Accepting may have taken all of it.
START_TEST(a_turn_without_time_serves_a_worker)
{
	struct peer *worker = joined("engine");
	struct peer *other = new_peer();
	ask(worker, "check component=engine\n", "ok valid=no\n");
	ask(other, "check component=engine\n", "ok valid=no\n");
	free_peer(worker);
	free_peer(other);
}
END_TEST

// The kernel's memory counts too (S7); it would take ten times as much.
START_TEST(who_takes_nothing_does_not_fill_the_kernel)
{
	int taken = 0;
	struct peer *deaf = who_takes_nothing("status\n", &taken);
	ck_assert_int_le(taken, 2 * SERVER_KERNEL_BYTES);
	loop_watch_set(deaf->watch, LOOP_READ);
	hear_lines(deaf, MANY + 1);
	free_peer(deaf);
}
END_TEST

START_TEST(requests_without_reading_wait)
{
	struct peer *peer = new_peer();
	static const char request[] = "check component=engine\n";
	size_t said = 0;
	loop_watch_set(peer->watch, 0);
	// Until neither side takes any more.
	for (int idle = 0; idle < 3; idle++) {
		while (send(peer->fd, request, sizeof request - 1, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof request - 1) {
			said++;
			idle = 0;
		}
		run_for(5 * NS_PER_MS);
	}
	loop_watch_set(peer->watch, LOOP_READ);
	wait_bytes(peer, said * strlen("ok valid=no\n"));
	ck_assert_uint_eq(count_lines(peer), said);
	ck_assert(!peer->ended);
	free_peer(peer);
}
END_TEST

START_TEST(a_flood_starves_nobody)
{
	struct peer *flood = new_peer();
	struct peer *worker = joined("engine");
	for (int i = 0; i < 170; i++)
		say(flood, "check component=engine\n");
	ask(worker, "stopped component=engine term=1\n", "ok\n");
	ck_assert_uint_lt(count_lines(flood), 170);
	wait_bytes(flood, 170 * strlen("ok valid=no\n"));
	ck_assert_uint_eq(count_lines(flood), 170);
	free_peer(flood);
	free_peer(worker);
}
END_TEST

START_TEST(no_descriptors_left_is_no_reason_to_spin)
{
	struct rlimit before, low;
	struct peer *kept = joined("engine");
	struct peer *refused[3];
	int fillers[64], count = 0;
	for (size_t i = 0; i < COUNT_OF(refused); i++)
		refused[i] = new_peer();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = (rlim_t)refused[2]->fd + 1;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (count < 64 && (fillers[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		count++;
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		hear_line(refused[i], "error code=too-many message=");
		hear_end(refused[i]);
	}
	turns = 0;
	run_for(100 * NS_PER_MS);
	ck_assert_uint_lt(turns, 10);
	ask(kept, "check component=engine\n", "ok valid=no\n");
	while (count > 0)
		close(fillers[--count]);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	struct peer *later = new_peer();
	ask(later, "check component=engine\n", "ok valid=no\n");
	for (size_t i = 0; i < COUNT_OF(refused); i++)
		free_peer(refused[i]);
	free_peer(kept);
	free_peer(later);
}
END_TEST

static void start_many(void)
{
	start_with(MANY, (struct server_limits){0});
}

static void start_small(void)
{
	start_with(3, (struct server_limits){.clients = 2, .joins = 2});
}

static void start_shared(void)
{
	start_with(3, (struct server_limits){.clients = 8});
}

static void start_terse(void)
{
	start_with(3, (struct server_limits){.requests = 1});
}

static void start_without_time(void)
{
	start_with(3, (struct server_limits){.turn_ns = 1});
}

static void start_crowded(void)
{
	start_with(MANY, (struct server_limits){.all_output_bytes = 16 * 1024});
}

static void start_narrow(void)
{
	start_with(3, (struct server_limits){.output_bytes = 8192});
}

static void add(Suite *suite, const char *name, void (*setup_fn)(void), const TTest *const *tests, size_t count)
{
	TCase *tests_of = tcase_create(name);
	tcase_add_checked_fixture(tests_of, setup_fn, stop);
	tcase_set_timeout(tests_of, 60);
	tcase_set_tags(tests_of, name);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tests_of, tests[i]);
	suite_add_tcase(suite, tests_of);
}

#define ADD(suite, name, setup_fn, ...) \
	add(suite, name, setup_fn, (const TTest *const[]){__VA_ARGS__}, COUNT_OF(((const TTest *const[]){__VA_ARGS__})))

int main(void)
{
	Suite *suite = suite_create("server");
	ADD(suite, "protocol", start, hello_tells_who_is_there, errors_name_their_kind, answers_come_in_order,
		a_worker_says_what_the_election_hears, check_says_whether_a_term_is_valid,
		status_tells_all_of_a_component, watch_shows_what_is_and_what_changes,
		a_half_closed_connection_gets_its_answers, what_waits_to_be_sent_outlives_the_end_of_input,
		nobody_fills_the_log, the_last_words_wait_for_no_turn, users_keep_others_out);
	ADD(suite, "seats", start, the_worker_in_the_seat_is_told, extensions_only_where_they_are_wanted,
		the_answer_to_join_comes_first, a_stale_term_does_not_join, standbys_take_the_seat_in_order,
		a_standby_that_is_refused_goes_on_waiting, the_end_of_a_connection_is_the_end_of_its_workers,
		a_copy_of_the_connection_keeps_the_worker);
	ADD(suite, "limits", start, lines_are_limited, a_leader_that_is_hung_up_on_is_not_gone,
		a_leader_that_stops_listening_is_not_gone, last_words_count_where_nobody_hears_us,
		requests_without_reading_wait, a_flood_starves_nobody);
	// valgrind accepts beyond the limit, and hangs up; and it lets no signal end a close.
	ADD(suite, "native", start, no_descriptors_left_is_no_reason_to_spin);
	ADD(suite, "native", start_small, what_is_sent_along_holds_nobody_up, what_is_sent_out_of_band_is_read);
	ADD(suite, "small", start_small, connections_are_limited, joins_are_limited);
	ADD(suite, "shared", start_shared, a_user_leaves_room_for_others);
	ADD(suite, "narrow", start_narrow, who_does_not_listen_is_dropped);
	ADD(suite, "many", start_many, a_long_status_needs_little_room, who_takes_nothing_does_not_fill_the_kernel,
		workers_are_served_by_turns, workers_leave_time_for_others);
	ADD(suite, "terse", start_terse, a_worker_that_says_much_stays_before_others);
	ADD(suite, "timeless", start_without_time, a_turn_without_time_serves_a_worker);
	ADD(suite, "crowded", start_crowded, who_takes_nothing_does_not_fill_the_memory,
		others_who_take_nothing_hold_no_listing_up, who_takes_what_it_is_told_stays,
		others_who_take_nothing_do_not_cut_a_history_off);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
