// SPDX-License-Identifier: Apache-2.0
// tenurectl's commands against a daemon that the test plays.
#include "args.h"
#include "dial.h"
#include "fake_shell.h"

START_TEST(test_durations)
{
	static const struct {
		const char *text;
		int64_t ns; // 0: refused
	} durations[] = {{"1ms", NS_PER_MS}, {"1500ms", 1500 * NS_PER_MS}, {"30s", 30 * NS_PER_S},
		{"5m", 300 * NS_PER_S}, {"86400s", 86400 * NS_PER_S}, {"86401s", 0}, {"0s", 0}, {"10", 0}, {"", 0},
		{"s", 0}, {"-1s", 0}, {"1 s", 0}, {"24h", 86400 * NS_PER_S}, {"1d", 86400 * NS_PER_S}, {"25h", 0},
		{"2d", 0}, {"1w", 0}, {"1.5s", 0}, {"99999999999999999999s", 0}, {"9223372036854775807m", 0}};
	for (size_t i = 0; i < COUNT_OF(durations); i++) {
		int64_t ns = 7;
		int error = args_duration(durations[i].text, &ns);
		ck_assert_msg(error == (durations[i].ns ? 0 : -EINVAL), "%s", durations[i].text);
		ck_assert_int_eq(ns, durations[i].ns ? durations[i].ns : 7);
	}
}
END_TEST

START_TEST(test_signals)
{
	static const struct {
		const char *text;
		int number;
	} signals[] = {{"TERM", SIGTERM}, {"SIGINT", SIGINT}, {"15", 15}, {"USR1", SIGUSR1}, {"", 0}, {"SIG", 0},
		{"0", 0}, {"-1", 0}, {"65", 0}, {"term", 0}, {"15x", 0}};
	for (size_t i = 0; i < COUNT_OF(signals); i++) {
		int number = 0;
		int error = args_signal(signals[i].text, &number);
		ck_assert_msg(error == (signals[i].number ? 0 : -EINVAL), "%s", signals[i].text);
		ck_assert_int_eq(number, signals[i].number);
	}
}
END_TEST

static const char *const misuses[][8] = {
	{NULL},
	{"frobnicate", NULL},
	{"--frobnicate", NULL},
	{"status", "-o", "xml", NULL},
	{"status", "-o", NULL},
	{"status", "-z", NULL},
	{"status", "a b", NULL},
	{"status", "--color=blue", NULL},
	{"watch", "--json", NULL},
	{"watch", "--color=", NULL},
	{"watch", "--reconnect", "0s", NULL},
	{"watch", "--reconnect", NULL},
	{"check", NULL},
	{"check", "a", "b", NULL},
	{"check", "engine", "--term", "0", NULL},
	{"check", "engine", "--term", "x", NULL},
	{"check", "engine", "--term", NULL},
	{"wait", NULL},
	{"wait", "engine", "--for", "king", NULL},
	{"wait", "engine", "--timeout", "5", NULL},
	{"run", NULL},
	{"run", "engine", NULL},
	{"run", "engine", "--", NULL},
	{"run", "a b", "--", "true", NULL},
	{"run", "engine", "--stop-signal", "HELLO", "--", "true", NULL},
	{"run", "engine", "--watchdog", "5s", "--", "true", NULL},
	{"run", "engine", "--notify", "--watchdog", "1ms", "--", "true"},
	{"run", "engine", "--sometimes", "--", "true", NULL},
	{"resign", NULL},
	{"resign", "a", "b", NULL},
	{"resign", "engine", "--cooldown", "5", NULL},
	{"transfer", NULL},
	{"transfer", "engine", NULL},
	{"transfer", "engine", "a", "b", NULL},
	{"transfer", "engine", "a b", NULL},
	{"transfer", "a b", "a", NULL},
	{"transfer", "engine", "b", "--now", NULL},
	{"pause", "engine", NULL},
	{"pause", "-x", NULL},
	{"resume", "engine", NULL},
	{"history", "a", "b", NULL},
	{"history", "a b", NULL},
	{"history", "-n", "0", NULL},
	{"history", "-n", "1001", NULL},
	{"history", "-n", "1x", NULL},
	{"history", "-o", "xml", NULL},
	{"init", NULL},
	{"init", "-c", NULL},
	{"init", "-c", "file", "more", NULL},
};

START_TEST(test_misuse)
{
	ck_assert_int_eq(run_ctl(misuses[_i]), CTL_USAGE);
	ck_assert_str_eq(out_text, "");
	expect_text(err_text, "tenurectl: ");
	expect_text(err_text, "tenurectl help");
}
END_TEST

static const struct {
	const char *const *arguments;
	const char *message;
} misplaced[] = {
	{LIST("status", "--socket", "/x"),
		"status: --socket comes before the command: tenurectl --socket PATH status;"},
	{LIST("status", "engine", "--socket=/x"), "status: --socket comes before the command: "},
	{LIST("pause", "--sock", "/x"), "pause: --socket comes before the command: "},
	{LIST("run", "engine", "--socket", "/x", "--", "true"), "run: --socket comes before the command: "},
	{LIST("check", "-q", "--version", "engine"), "check: --version comes before the command: tenurectl --version"},
	{LIST("check", "engine", "-qV"), "check: --version comes before the command: "},
	{LIST("wait", "engine", "--help"), "wait: --help comes before the command: "},
	{LIST("transfer", "engine", "-h"), "transfer: --help comes before the command: "},
	{LIST("status", "--sockets", "/x"), "status: unknown option, or a value too much: --sockets;"},
	{LIST("status", "-s", "/x"), "status: unknown option -s;"},
	{LIST("--sockets", "/x", "status"), "unknown option, or a value too much: --sockets;"},
};

START_TEST(test_misplaced)
{
	ck_assert_int_eq(run_ctl(misplaced[_i].arguments), CTL_USAGE);
	ck_assert_str_eq(out_text, "");
	expect_text(err_text, misplaced[_i].message);
}
END_TEST

START_TEST(test_help_and_version)
{
	ck_assert_int_eq(run_ctl(LIST("help")), CTL_OK);
	expect_text(out_text, "examples:");
	ck_assert_int_eq(run_ctl(LIST("--help")), CTL_OK);
	expect_text(out_text, "run [--notify]");
	static const char of_wait[] =
		"usage: tenurectl [--socket PATH] COMMAND, as tenurectl(1) says:\n"
		"\n"
		"  wait [--for leader|standby] [--timeout D] COMPONENT\n"
		"                                            until this node leads or stands by; 124: time is up;\n"
		"                                            3: permission denied\n";
	ck_assert_int_eq(run_ctl(LIST("wait", "--help")), CTL_OK);
	ck_assert_str_eq(out_text, of_wait);
	ck_assert_int_eq(run_ctl(LIST("wait", "-h", "engine")), CTL_OK);
	ck_assert_str_eq(out_text, of_wait);
	ck_assert_int_eq(run_ctl(LIST("help", "wait")), CTL_OK);
	ck_assert_str_eq(out_text, of_wait);
	ck_assert_int_eq(run_ctl(LIST("help", "nonsense")), CTL_USAGE);
	expect_text(err_text, "unknown command \"nonsense\"");
	ck_assert_int_eq(run_ctl(LIST("--version")), CTL_OK);
	ck_assert_str_eq(out_text, "tenurectl " TENURE_VERSION "\n");
}
END_TEST

START_TEST(test_no_daemon)
{
	stop_listening();
	ck_assert_int_eq(run_ctl(LIST("status")), CTL_NO_DAEMON);
	expect_text(err_text, socket_path);
	ck_assert_int_eq(run_ctl(LIST("watch", "engine")), CTL_NO_DAEMON);
	ck_assert_int_eq(run_ctl(LIST("check", "engine")), CTL_NO_DAEMON);
	expect_text(err_text, "no daemon answers");
	ck_assert_int_eq(run_ctl(LIST("check", "-q", "engine")), CTL_NO_DAEMON);
	ck_assert_str_eq(err_text, "");
	ck_assert_int_eq(run_ctl(LIST("wait", "engine", "--timeout", "50ms")), CTL_TIMEOUT);
}
END_TEST

static void tell_rows(void)
{
	tell("row component=engine role=leader leader=host-a term=42 since_ms=5500 ttl_ms=7912 worker=working "
	     "workers=1 "
	     "store=ok error= node=host-a candidates=b:400:0,c:1230:-5 new=field\n");
	tell("row component=counter role=idle leader= term=0 since_ms=0 ttl_ms=0 worker=none workers=0 store=denied "
	     "error=no%%20such%%20table%%22 node=host-a\n");
	tell("ok\n");
}

// W20
START_TEST(test_status)
{
	start_ctl(LIST("status"));
	greet();
	expect_line("status");
	tell_rows();
	ck_assert_int_eq(end_ctl(), CTL_OK);
	ck_assert_str_eq(out_text, "COMPONENT ROLE   LEADER TERM SINCE VALID WORKER  STORE  CANDIDATES\n"
				   "engine    leader host-a   42  5.5s  7.9s working ok     b 0.4s, c 1.2s\n"
				   "counter   idle   -         0     -     - none    denied -\n");
	ck_assert_str_eq(err_text, "tenurectl: store denied: no such table\"\n");
}
END_TEST

START_TEST(test_status_as_json)
{
	start_ctl(LIST("status", "-o", "json"));
	greet();
	expect_line("status");
	tell_rows();
	ck_assert_int_eq(end_ctl(), CTL_OK);
	expect_text(out_text, "\"components\": [");
	expect_text(out_text, "\"component\": \"engine\",");
	expect_text(out_text, "\"term\": 42,");
	expect_text(out_text, "\"ttl_ms\": 7912,");
	expect_text(out_text, "\"leader\": null,");
	expect_text(out_text, "\"error\": \"no such table\\\"\",");
	expect_text(out_text, "\"candidates\": [{\"node\":\"b\",\"seen_ms\":400,\"priority\":0},{\"node\":\"c\",");
	expect_text(out_text, "\"candidates\": [],");
}
END_TEST

START_TEST(test_status_of_a_paused_fleet)
{
	start_ctl(LIST("status", "--color"));
	greet();
	expect_line("status");
	tell("row component=engine role=leader leader=host-a term=42 store=ok paused=host-b group=crew "
	     "message=3%%20of%%204\n");
	tell("row component=counter role=idle leader= term=7 store=ok paused=host-b group= message=\nok\n");
	ck_assert_int_eq(end_ctl(), CTL_OK);
	ck_assert_str_eq(out_text, "\033[33mpaused through host-b: leaders stay, nobody new is elected\033[0m\n"
				   "COMPONENT ROLE   LEADER TERM SINCE VALID WORKER STORE GROUP CANDIDATES\n"
				   "engine    leader host-a   42     -     - -      ok    crew  -\n"
				   "\033[31mcounter   idle   -         7     -     - -      ok    -     -\033[0m\n"
				   "\n"
				   "COMPONENT MESSAGE\n"
				   "engine    3 of 4\n");
	ck_assert_str_eq(err_text, "");
}
END_TEST

START_TEST(test_said_plainly)
{
	start_ctl(LIST("status", "engine"));
	greet();
	expect_line("status component=engine");
	tell("error code=denied message=%%1B%%5B2J%%0A%%7Fno\n");
	ck_assert_int_eq(end_ctl(), CTL_NO);
	ck_assert_str_eq(err_text, "tenurectl: engine: refused (denied):  [2J  no\n");
}
END_TEST

START_TEST(test_status_of_some)
{
	start_ctl(LIST("status", "nosuch", "engine"));
	greet();
	expect_line("status component=nosuch");
	tell("error code=unknown-component message=never%%20heard\n");
	expect_line("status component=engine");
	tell("row component=engine role=standby leader=host-b term=7\nok\n");
	ck_assert_int_eq(end_ctl(), CTL_NO);
	expect_text(out_text, "engine");
	expect_text(out_text, "host-b");
	ck_assert_str_eq(err_text, "tenurectl: nosuch: refused (unknown-component): never heard\n");
}
END_TEST

START_TEST(test_nonsense)
{
	static const char *const lines[] = {"hm\n", "granted\n", "row a\n", "ok a=1 a=1\n"};
	start_ctl(LIST("status"));
	greet();
	expect_line("status");
	tell("%s", lines[_i]);
	ck_assert_int_eq(end_ctl(), CTL_NO_DAEMON);
	expect_text(err_text, "cannot be read");
}
END_TEST

START_TEST(test_daemon_ends)
{
	start_ctl(LIST("status"));
	greet();
	expect_line("status");
	hang_up();
	ck_assert_int_eq(end_ctl(), CTL_NO_DAEMON);
	expect_text(err_text, "has ended");
	start_ctl(LIST("status"));
	accept_client();
	hang_up();
	ck_assert_int_eq(end_ctl(), CTL_NO_DAEMON);
	start_ctl(LIST("status"));
	accept_client();
	expect_line("hello version=1");
	tell("error code=version\n");
	ck_assert_int_eq(end_ctl(), CTL_NO_DAEMON);
	expect_text(err_text, "does not speak version 1");
}
END_TEST

START_TEST(test_watch)
{
	char line[256];
	start_ctl(LIST("watch", "--reconnect", "1ms", "engine", "counter"));
	greet();
	expect_line("watch component=engine");
	expect_line("watch component=counter");
	tell("ok\nleader component=engine node=host-a term=42\nok\nleader component=counter node= term=0\n");
	// Each line is there at once, not when a buffer is full.
	wait_for(shell_out);
	ssize_t size = read(shell_out, line, 26);
	ck_assert_int_eq(size, 26);
	tell("leader component=engine node=host-b term=43\n");
	stop_listening();
	hang_up();
	ck_assert_int_eq(end_ctl(), CTL_NO_DAEMON);
	ck_assert_str_eq(
		err_text, "tenurectl: the daemon has ended; connecting again\ntenurectl: the daemon has ended\n");
	ck_assert_mem_eq(line + 4, "-", 1);
	ck_assert_mem_eq(line + 23, "Z ", 2);
	expect_text(out_text, "ngine leader=host-a term=42\n");
	expect_text(out_text, "Z counter leader=- term=0\n");
	expect_text(out_text, "Z engine leader=host-b term=43\n");
}
END_TEST

// S5
START_TEST(test_watch_goes_on)
{
	start_ctl(LIST("watch", "-o", "json"));
	for (int term = 41; term < 44; term++) {
		greet();
		expect_line("watch");
		tell("ok\nleader component=engine node=host-a term=%d\n", term);
		hang_up();
	}
	greet();
	expect_line("watch");
	tell("error code=too-many\n");
	ck_assert_int_eq(end_ctl(), CTL_NO);
	for (int term = 41; term < 44; term++) {
		char part[32];
		snprintf(part, sizeof part, "\"term\":%d}\n", term);
		expect_text(out_text, part);
	}
	expect_text(err_text, "connecting again\n");
}
END_TEST

START_TEST(test_watch_as_json)
{
	start_ctl(LIST("watch", "-o", "json"));
	greet();
	expect_line("watch");
	tell("ok\nleader component=engine node=host-a term=42\nleader component=counter node= term=0\n");
	tell("leader component=engine node=%%22 term=43\n"); // no node is called that
	ck_assert_int_eq(end_ctl(), CTL_NO_DAEMON);
	expect_text(out_text, "\"component\":\"engine\",\"leader\":\"host-a\",\"term\":42}\n");
	expect_text(out_text, "\"component\":\"counter\",\"leader\":null,\"term\":0}\n");
	ck_assert_ptr_null(strstr(out_text, "\"term\":43"));
}
END_TEST

static const struct {
	const char *answer;
	const char *out;
	int status;
} checks[] = {
	{"ok valid=yes term=42 deadline=1 ttl_ms=7900", "valid term=42 ttl_ms=7900\n", CTL_OK},
	{"ok valid=no", "not valid\n", CTL_NO},
	{"ok", "not valid\n", CTL_NO},
	{"ok valid=yes", "", CTL_NO_DAEMON},
	{"error code=unknown-component", "", CTL_NO},
	{"error code=denied", "", CTL_NO},
	{"row", "", CTL_NO_DAEMON},
};

START_TEST(test_check)
{
	start_ctl(LIST("check", "engine", "--term", "42"));
	greet();
	expect_line("check component=engine term=42");
	tell("%s\n", checks[_i].answer);
	ck_assert_int_eq(end_ctl(), checks[_i].status);
	ck_assert_str_eq(out_text, checks[_i].out);

	start_ctl(LIST("check", "-q", "engine"));
	greet();
	expect_line("check component=engine");
	tell("%s\n", checks[_i].answer);
	ck_assert_int_eq(end_ctl(), checks[_i].status);
	ck_assert_str_eq(out_text, "");
}
END_TEST

START_TEST(test_wait)
{
	start_ctl(LIST("wait", "engine", "--timeout", "10s"));
	greet();
	expect_line("watch component=engine");
	tell("ok\nleader component=engine node= term=3\n");
	expect_line("status component=engine");
	tell("row component=engine role=idle\nok\n");
	expect_line("status component=engine");
	tell("row component=engine role=standby\nok\n");
	tell("leader component=engine node=host-a term=4\n"); // wakes it
	expect_line("status component=engine");
	tell("row component=engine role=leader\nok\n");
	ck_assert_int_eq(end_ctl(), CTL_OK);
	ck_assert_str_eq(err_text, "");
}
END_TEST

START_TEST(test_wait_for_a_daemon)
{
	stop_listening();
	start_ctl(LIST("wait", "--for", "standby", "engine"));
	start_listening();
	greet();
	hang_up(); // it restarts
	greet();
	expect_line("watch component=engine");
	tell("ok\n");
	expect_line("status component=engine");
	tell("row component=engine role=standby\nok\n");
	ck_assert_int_eq(end_ctl(), CTL_OK);
}
END_TEST

START_TEST(test_wait_ends)
{
	start_ctl(LIST("wait", "engine", "--timeout", "100ms"));
	greet();
	expect_line("watch component=engine");
	tell("ok\n");
	expect_line("status component=engine");
	tell("row component=engine role=idle\nok\n");
	ck_assert_int_eq(end_ctl(), CTL_TIMEOUT);
	hang_up();

	start_ctl(LIST("wait", "engine"));
	greet();
	expect_line("watch component=engine");
	tell("error code=unknown-component\n");
	ck_assert_int_eq(end_ctl(), CTL_NO);
}
END_TEST

static const struct {
	const char *const *arguments;
	int64_t least_ns;
} denials[] = {
	{LIST("wait", "engine"), DIAL_DENIED_NS},
	{LIST("wait", "engine", "--timeout", "10s"), DIAL_DENIED_NS},
	{LIST("wait", "engine", "--timeout", "300ms"), 300 * NS_PER_MS},
};

// S7: nothing to wait for, and no answer to what was asked.
START_TEST(test_wait_denied)
{
	char message[256];
	int64_t before = clock_now_ns();
	obey_modes();
	deny(true);
	ck_assert_int_eq(run_ctl(denials[_i].arguments), CTL_NO_DAEMON);
	ck_assert_int_ge(clock_now_ns() - before, denials[_i].least_ns);
	ck_assert_int_lt(clock_now_ns() - before, 5 * NS_PER_S);
	snprintf(message, sizeof message,
		"tenurectl: %s: permission denied; does this user belong to the socket's group?\n", socket_path);
	ck_assert_str_eq(err_text, message);
}
END_TEST

// A daemon that starts makes its socket, and then opens it to others; the next one may be for others for good.
START_TEST(test_wait_denied_for_a_moment)
{
	obey_modes();
	deny(true);
	start_ctl(LIST("wait", "engine", "--timeout", "2s"));
	usleep(300000);
	deny(false);
	greet();
	expect_line("watch component=engine");
	tell("ok\n");
	deny(true);
	hang_up();
	ck_assert_int_eq(end_ctl(), CTL_TIMEOUT);
	expect_text(err_text, "time is up");
}
END_TEST

// S2
static const struct {
	const char *const *arguments;
	const char *asked;
} operations[] = {
	{LIST("transfer", "engine", "host-b"), "transfer component=engine node=host-b"},
	{LIST("resign", "engine"), "resign component=engine"},
	{LIST("resign", "--cooldown", "2m", "engine"), "resign component=engine cooldown_ms=120000"},
	{LIST("pause"), "pause"},
	{LIST("resume"), "resume"},
};

START_TEST(test_operations)
{
	start_ctl(operations[_i].arguments);
	greet();
	expect_line(operations[_i].asked);
	tell("ok\n");
	ck_assert_int_eq(end_ctl(), CTL_OK);
	ck_assert_str_eq(out_text, "");
	ck_assert_str_eq(err_text, "");

	start_ctl(operations[_i].arguments);
	greet();
	expect_line(operations[_i].asked);
	tell("error code=busy message=later\n");
	ck_assert_int_eq(end_ctl(), CTL_NO);
	ck_assert_str_eq(out_text, "");
	expect_text(err_text, "refused (busy): later\n");

	start_ctl(operations[_i].arguments);
	greet();
	expect_line(operations[_i].asked);
	hang_up();
	ck_assert_int_eq(end_ctl(), CTL_NO_DAEMON);
	expect_text(err_text, "has ended");
}
END_TEST

static void tell_history(void)
{
	tell("past component=engine term=43 node=host-b from_ms=1700000100000 to_ms=0 reason=\n"
	     "past component=engine term=42 node=a from_ms=1700000000123 to_ms=1700000099999 reason=worker-gone\n"
	     "ok\n");
}

// S8
START_TEST(test_history)
{
	start_ctl(LIST("history"));
	greet();
	expect_line("history");
	tell_history();
	ck_assert_int_eq(end_ctl(), CTL_OK);
	ck_assert_str_eq(out_text,
		"COMPONENT              TERM  NODE    FROM                      TO                        REASON\n"
		"engine                   43  host-b  2023-11-14T22:15:00.000Z  -                         -\n"
		"engine                   42  a       2023-11-14T22:13:20.123Z  2023-11-14T22:14:59.999Z  "
		"worker-gone\n");
	start_ctl(LIST("history", "-n", "7", "-o", "json", "engine"));
	greet();
	expect_line("history component=engine count=7");
	tell_history();
	ck_assert_int_eq(end_ctl(), CTL_OK);
	ck_assert_str_eq(out_text,
		"{\"terms\":[\n"
		"{\"component\":\"engine\",\"term\":43,\"node\":\"host-b\",\"from_ms\":1700000100000,"
		"\"to_ms\":null,\"reason\":null},\n"
		"{\"component\":\"engine\",\"term\":42,\"node\":\"a\",\"from_ms\":1700000000123,"
		"\"to_ms\":1700000099999,\"reason\":\"worker-gone\"}\n]}\n");
}
END_TEST

START_TEST(test_no_history)
{
	start_ctl(LIST("history", "engine"));
	greet();
	expect_line("history component=engine");
	tell("ok\n");
	ck_assert_int_eq(end_ctl(), CTL_OK);
	ck_assert_str_eq(out_text, "");
	start_ctl(LIST("history", "nosuch"));
	greet();
	expect_line("history component=nosuch");
	tell("error code=unknown-component message=never%%20heard\n");
	ck_assert_int_eq(end_ctl(), CTL_NO);
	ck_assert_str_eq(err_text, "tenurectl: nosuch: refused (unknown-component): never heard\n");
}
END_TEST

// What is no name, or no number, is no daemon's word.
START_TEST(test_wrong_history)
{
	static const char *const lines[] = {"past component=engine term=x node=a from_ms=1 to_ms=1 reason=lost\nok\n",
		"past component=engine term=1 node=%%22 from_ms=1 to_ms=1 reason=lost\nok\n",
		"past component=engine term=1 node=a from_ms=1 to_ms=1 reason=%%1b%%5b\nok\n",
		"past term=1 node=a from_ms=1 to_ms=1 reason=lost\nok\n", "row component=engine\nok\n"};
	start_ctl(LIST("history", "-o", "json"));
	greet();
	expect_line("history");
	tell("%s", lines[_i]);
	ck_assert_int_eq(end_ctl(), CTL_NO_DAEMON);
	ck_assert_str_eq(out_text, "");
	expect_text(err_text, "cannot be read");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl");
	TCase *cases = tcase_create("ctl");
	tcase_add_checked_fixture(cases, set_up_daemon, tear_down_ctl);
	tcase_set_timeout(cases, 30);
	tcase_add_test(cases, test_durations);
	tcase_add_test(cases, test_signals);
	tcase_add_loop_test(cases, test_misuse, 0, COUNT_OF(misuses));
	tcase_add_loop_test(cases, test_misplaced, 0, COUNT_OF(misplaced));
	tcase_add_test(cases, test_help_and_version);
	tcase_add_test(cases, test_no_daemon);
	tcase_add_test(cases, test_status);
	tcase_add_test(cases, test_status_as_json);
	tcase_add_test(cases, test_status_of_a_paused_fleet);
	tcase_add_test(cases, test_said_plainly);
	tcase_add_test(cases, test_status_of_some);
	tcase_add_loop_test(cases, test_nonsense, 0, 4);
	tcase_add_test(cases, test_daemon_ends);
	tcase_add_test(cases, test_watch);
	tcase_add_test(cases, test_watch_goes_on);
	tcase_add_test(cases, test_watch_as_json);
	tcase_add_loop_test(cases, test_check, 0, COUNT_OF(checks));
	tcase_add_test(cases, test_wait);
	tcase_add_test(cases, test_wait_for_a_daemon);
	tcase_add_test(cases, test_wait_ends);
	tcase_add_loop_test(cases, test_wait_denied, 0, COUNT_OF(denials));
	tcase_add_test(cases, test_wait_denied_for_a_moment);
	tcase_add_loop_test(cases, test_operations, 0, COUNT_OF(operations));
	tcase_add_test(cases, test_history);
	tcase_add_test(cases, test_no_history);
	tcase_add_loop_test(cases, test_wrong_history, 0, 5);
	suite_add_tcase(suite, cases);
	return run_suite(suite);
}
