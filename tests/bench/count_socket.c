// SPDX-License-Identifier: Apache-2.0
// What is counted of the socket: requests in one write, their answers in the order they come; the peer is in the same
// process and counted too.
//
//   count_socket TIMES
#include "allocations.h"
#include "loop.h"

static int counted_loop_run(struct loop *loop)
{
	counting = true;
	int result = loop_run(loop);
	counting = false;
	return result;
}
#define loop_run counted_loop_run

#include "../unit/server_bench.h"
#include "measured.h"

#define REQUEST "check component=engine\n"
// At least: the rest of the answers comes with it, since all of one read are answered with one write.
#define ANSWER_SIZE (sizeof "ok valid=yes term=1")
#define AT_ONCE 100
// So many times that may take room for what comes after.
#define FIRST 3

static unsigned times;

MEASURED static void measured_check(struct peer *peer, const char *requests)
{
	say(peer, requests);
	wait_bytes(peer, AT_ONCE * ANSWER_SIZE);
}

START_TEST(count_check)
{
	static char requests[AT_ONCE * (sizeof REQUEST - 1) + 1];
	for (size_t i = 0; i < AT_ONCE; i++)
		memcpy(requests + i * (sizeof REQUEST - 1), REQUEST, sizeof REQUEST - 1);
	election.leases[0].token = (struct election_token){.term = 1, .deadline = INT64_MAX};
	struct peer *peer = new_peer();
	say(peer, REQUEST);
	hear_line(peer, "ok valid=yes");
	for (unsigned left = times; left >= AT_ONCE; left -= AT_ONCE) {
		measured_check(peer, requests);
		buffer_consume(&peer->heard, buffer_size(&peer->heard));
		if (left + FIRST * AT_ONCE > times)
			allocations = 0;
	}
	ck_assert_uint_eq(allocations, 0);
}
END_TEST

// No turn ends by the clock: what is counted is the same on a busy machine.
static void start_unhurried(void)
{
	start_with(3, (struct server_limits){.turn_ns = 3600 * NS_PER_S});
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("usage: count_socket TIMES\n", stderr);
		return EXIT_FAILURE;
	}
	times = (unsigned)strtoul(argv[1], NULL, 10);
	Suite *suite = suite_create("count");
	TCase *tcase = tcase_create("count");
	tcase_add_checked_fixture(tcase, start_unhurried, stop);
	tcase_add_test(tcase, count_check);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
