// SPDX-License-Identifier: Apache-2.0
// Good configurations: what they come to, their defaults, the dump and back, the limits (R3, R17, W24).
#include "clock.h"
#include "config.h"
#include "config_files.h"

#include <check.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEAST "[store]\ndriver = memory\n[component:engine]\n"

START_TEST(what_is_left_out_has_its_default)
{
	struct config *config = load_good(LEAST);
	ck_assert_str_eq(config->node, "host-a");
	ck_assert_str_eq(config->runtime_dir, "/run/tenure");
	ck_assert_uint_eq(config->socket_mode, 0660);
	ck_assert_ptr_null(config->socket_group);
	ck_assert(config->socket_gid == (gid_t)-1);
	ck_assert_int_eq(config->log_level, LOG_LEVEL_INFO);
	ck_assert(config->patient);
	ck_assert_str_eq(config->store.driver, "memory");
	ck_assert_ptr_null(config->store.conninfo);
	ck_assert_ptr_null(config->store.path);
	ck_assert_ptr_null(config->store.password);
	ck_assert_ptr_null(config->store.schema);
	ck_assert_int_eq(config->store.lease_ns, 10 * NS_PER_S);
	ck_assert_int_eq(config->store.renew_ns, 2 * NS_PER_S);
	ck_assert_int_eq(config->store.poll_ns, 1 * NS_PER_S);
	ck_assert_int_eq(config->store.timeout_ns, 2 * NS_PER_S);
	ck_assert_uint_eq(config->component_count, 1);
	ck_assert_str_eq(config->components[0].name, "engine");
	ck_assert_int_eq(config->components[0].stop_grace_ns, 2 * NS_PER_S);
	ck_assert_int_eq(config->components[0].start_timeout_ns, 30 * NS_PER_S);
	ck_assert_int_eq(config->components[0].cooldown_ns, 5 * NS_PER_S);
	ck_assert_uint_eq(config->components[0].users.count, 0);
	ck_assert_uint_eq(config->components[0].groups.count, 0);
	ck_assert(!config->components[0].observes);
	ck_assert_int_eq(config->components[0].priority, 0);
	ck_assert_int_eq(config->components[0].prefer_after_ns, 0);
	ck_assert_ptr_null(config->admin_group);
	ck_assert(config->admin_gid == (gid_t)-1);
	ck_assert_int_eq(config->store.history_count, 1000);
	ck_assert_int_eq(config->store.history_age_ns, 30 * 24 * 3600 * NS_PER_S);
	config_free(config);
}
END_TEST

START_TEST(what_is_there_is_taken)
{
	struct config *config = load_good("[tenure]\n"
					  "node = %H.%m-%H\n"
					  "runtime_dir = /tmp/x y\n"
					  "socket_mode = 600\n"
					  "socket_group = root\n"
					  "log_level = debug\n"
					  "urgent = yes\n"
					  "admin_group = daemon\n"
					  "[store]\n"
					  "driver = sqlite\n"
					  "history_count = 0\n"
					  "history_age = 2h\n"
					  "path = /var/lib/a=b.db\n"
					  "lease = 1m\n"
					  "renew = 9s\n"
					  "poll = 500ms\n"
					  "timeout = 7s\n"
					  "[component:a:b.c_d-1]\n"
					  "stop_grace = 8s\n"
					  "start_timeout = 100ms\n"
					  "cooldown = 0s\n"
					  "candidate = no\n"
					  "priority = -1000000\n"
					  "prefer_after = 1d\n"
					  "groups = daemon 4343\n"
					  "users = root,4242 ,  daemon\n");
	ck_assert_str_eq(config->admin_group, "daemon");
	ck_assert_uint_eq(config->admin_gid, 1);
	ck_assert_int_eq(config->store.history_count, 0);
	ck_assert_int_eq(config->store.history_age_ns, 2 * 3600 * NS_PER_S);
	ck_assert_str_eq(config->node, "host-a.0123abcd-host-a");
	ck_assert_str_eq(config->runtime_dir, "/tmp/x y");
	ck_assert_uint_eq(config->socket_mode, 0600);
	ck_assert_str_eq(config->socket_group, "root");
	ck_assert_uint_eq(config->socket_gid, 0);
	ck_assert_int_eq(config->log_level, LOG_LEVEL_DEBUG);
	ck_assert(!config->patient);
	ck_assert_str_eq(config->store.path, "/var/lib/a=b.db");
	ck_assert_int_eq(config->store.lease_ns, 60 * NS_PER_S);
	ck_assert_int_eq(config->store.renew_ns, 9 * NS_PER_S);
	ck_assert_int_eq(config->store.poll_ns, 500 * NS_PER_MS);
	ck_assert_int_eq(config->store.timeout_ns, 7 * NS_PER_S);
	const struct config_component *component = &config->components[0];
	ck_assert_str_eq(component->name, "a:b.c_d-1");
	ck_assert_int_eq(component->stop_grace_ns, 8 * NS_PER_S);
	ck_assert_int_eq(component->start_timeout_ns, 100 * NS_PER_MS);
	ck_assert_int_eq(component->cooldown_ns, 0);
	ck_assert(component->observes);
	ck_assert_int_eq(component->priority, -1000000);
	ck_assert_int_eq(component->prefer_after_ns, 24 * 3600 * NS_PER_S);
	ck_assert_uint_eq(component->groups.count, 2);
	ck_assert_uint_eq(component->groups.items[0].id, 1);
	ck_assert_uint_eq(component->groups.items[1].id, 4343);
	ck_assert_uint_eq(component->users.count, 3);
	ck_assert_str_eq(component->users.items[1].name, "4242");
	ck_assert_uint_eq(component->users.items[1].id, 4242);
	ck_assert_str_eq(component->users.items[2].name, "daemon");
	ck_assert_uint_eq(component->users.items[2].id, 1);
	config_free(config);
}
END_TEST

// The sample of the interface, as far as this version has its keys.
START_TEST(comments_end_values)
{
	struct config *config =
		load_good("# one\n"
			  "   ; two, with blanks before it\n"
			  "\t\n"
			  "[tenure]      ; three\n"
			  "node = %H                       ; unique per replica; %H host name, %m machine id\n"
			  "[store];four\n"
			  "driver = postgresql             ; postgresql, mysql, sqlite, memory\n"
			  "conninfo = host=db1,db2 dbname=x user=a;b\t; postgresql: all of libpq's\n"
			  "schema =                        ; PostgreSQL schema that holds the tables\n"
			  "lease=2s\n"
			  "[component:x]\n");
	ck_assert_str_eq(config->node, "host-a");
	ck_assert_str_eq(config->store.driver, "postgresql");
	ck_assert_str_eq(config->store.conninfo, "host=db1,db2 dbname=x user=a;b");
	ck_assert_ptr_null(config->store.schema);
	ck_assert_int_eq(config->store.lease_ns, 2 * NS_PER_S);
	config_free(config);
}
END_TEST

static struct config *load_conninfo(const char *line)
{
	char text[CONFIG_LINE_BYTES + 256];
	snprintf(text, sizeof text, "[store]\ndriver = postgresql\nconninfo = %s\n[component:engine]\n", line);
	return load_good(text);
}

START_TEST(quoted_values_hold_anything)
{
	static const struct {
		const char *written;
		const char *meant;
	} cases[] = {
		{"\"host=db1 application_name='a ;b'\"", "host=db1 application_name='a ;b'"},
		{"\"host=db1 application_name='a ;b'\"  ; comment", "host=db1 application_name='a ;b'"},
		{"\" host=db1 \"", " host=db1 "},
		{"\"host='\"\"'\"", "host='\"'"},
		{"\"\"\"=1\"", "\"=1"},
		{"host='\"'", "host='\"'"},
		{"host=\"a b=\"", "host=\"a b=\""},
		{"postgresql://a@b/c?x=y;z#", "postgresql://a@b/c?x=y;z#"},
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct config *config = load_conninfo(cases[i].written);
		ck_assert_str_eq(config->store.conninfo, cases[i].meant);
		config_free(config);
	}
}
END_TEST

START_TEST(long_lines_are_whole)
{
	// inih alone would split all of these, at 199 bytes.
	static const size_t lengths[] = {150, 185, 186, 187, 188, 189, 190, 300, 1000, CONFIG_LINE_BYTES - 11};
	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		char value[CONFIG_LINE_BYTES];
		memset(value, 'x', lengths[i]);
		memcpy(value, "host=", 5);
		memcpy(value + lengths[i] - 21, " path=y z=[] lease=1s", 21);
		value[lengths[i]] = '\0';
		struct config *config = load_conninfo(value);
		ck_assert_str_eq(config->store.conninfo, value);
		ck_assert_int_eq(config->store.lease_ns, 10 * NS_PER_S);
		config_free(config);
	}
}
END_TEST

START_TEST(long_component_names_are_whole)
{
	// inih alone would cut both at 49 bytes, and take them for one.
	static const char one[] = "a23456789-b23456789-c23456789-d23456789-e23456789-f23456789-1234";
	static const char two[] = "a23456789-b23456789-c23456789-d23456789-e23456789-f23456789-1235";
	char text[512];
	snprintf(text, sizeof text, "[store]\ndriver = memory\n[component:%s]\ncooldown = 1s\n[component:%s]\n", one,
		two);
	struct config *config = load_good(text);
	ck_assert_uint_eq(config->component_count, 2);
	ck_assert_str_eq(config->components[0].name, one);
	ck_assert_str_eq(config->components[1].name, two);
	ck_assert_int_eq(config->components[0].cooldown_ns, 1 * NS_PER_S);
	ck_assert_int_eq(config->components[1].cooldown_ns, 5 * NS_PER_S);
	config_free(config);
}
END_TEST

START_TEST(other_systems_files_are_read)
{
	static const char *const texts[] = {
		"\xef\xbb\xbf[store]\ndriver = memory\n[component:engine]\n",
		"[store]\r\ndriver = memory\r\n\r\n[component:engine]\r\n",
		"[store]\ndriver = memory\n[component:engine]",
	};
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct config *config = load_good(texts[i]);
		ck_assert_str_eq(config->store.driver, "memory");
		ck_assert_str_eq(config->components[0].name, "engine");
		config_free(config);
	}
}
END_TEST

START_TEST(derived_times_follow_the_lease)
{
	static const struct {
		const char *lease;
		int64_t renew_ms, poll_ms, timeout_ms, grace_ms;
	} cases[] = {
		{"500ms", 100, 50, 100, 100},
		{"501ms", 100, 50, 100, 100},
		{"1s", 200, 100, 200, 200},
		{"10m", 120000, 60000, 120000, 120000},
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char text[256];
		snprintf(text, sizeof text, "[store]\ndriver = memory\nlease = %s\n[component:engine]\n",
			cases[i].lease);
		struct config *config = load_good(text);
		ck_assert_int_eq(config->store.renew_ns, cases[i].renew_ms * NS_PER_MS);
		ck_assert_int_eq(config->store.poll_ns, cases[i].poll_ms * NS_PER_MS);
		ck_assert_int_eq(config->store.timeout_ns, cases[i].timeout_ms * NS_PER_MS);
		ck_assert_int_eq(config->components[0].stop_grace_ns, cases[i].grace_ms * NS_PER_MS);
		config_free(config);
	}
}
END_TEST

START_TEST(a_poll_is_never_too_short_by_itself)
{
	struct config *config = load_good("[store]\ndriver = memory\nlease = 1s\nrenew = 60ms\n[component:engine]\n");
	ck_assert_int_eq(config->store.poll_ns, 50 * NS_PER_MS);
	config_free(config);
}
END_TEST

START_TEST(paths_expand_the_environment)
{
	setenv("TENURE_TEST_DIR", "/srv/here", 1);
	struct config *config =
		load_good("[tenure]\nruntime_dir = ${TENURE_TEST_DIR}/run\n"
			  "[store]\ndriver = sqlite\npath = ${TENURE_TEST_DIR}/${TENURE_TEST_DIR}$x.db\n"
			  "[component:engine]\n");
	ck_assert_str_eq(config->runtime_dir, "/srv/here/run");
	ck_assert_str_eq(config->store.path, "/srv/here//srv/here$x.db");
	config_free(config);
}
END_TEST

static void write_secret(const char *text, mode_t mode)
{
	write_file(secret_path(), text, strlen(text));
	ck_assert_int_eq(chmod(secret_path(), mode), 0);
}

START_TEST(the_password_comes_from_its_file)
{
	static const char text[] = "[store]\ndriver = postgresql\nconninfo = host=db1\n"
				   "password_file = ${CREDENTIALS_DIRECTORY}/secret\n[component:engine]\n";
	setenv("CREDENTIALS_DIRECTORY", test_directory(), 1);
	write_secret("hunter two\n", 0600);
	struct config *config = load_good(text);
	ck_assert_str_eq(config->store.password, "hunter two");
	ck_assert_str_eq(config->store.password_file, secret_path());
	config_free(config);

	// The mask of systemd's access list.
	write_secret("hunter2", 0440);
	config = load_good(text);
	ck_assert_str_eq(config->store.password, "hunter2");
	config_free(config);
}
END_TEST

// ---- dump ----

static char *dump(const struct config *config)
{
	char *text;
	size_t size;
	FILE *stream = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(stream);
	ck_assert_int_eq(config_dump(config, stream), 0);
	fclose(stream);
	return text;
}

static void check_round_trip(struct config *config)
{
	char *first = dump(config);
	config_free(config);
	struct config *again = load_good(first);
	char *second = dump(again);
	ck_assert_str_eq(first, second);
	config_free(again);
	free(first);
	free(second);
}

START_TEST(the_dump_is_the_same_configuration)
{
	setenv("CREDENTIALS_DIRECTORY", test_directory(), 1);
	write_secret("hunter2", 0600);
	check_round_trip(load_good(LEAST));
	check_round_trip(load_good(
		"[tenure]\nnode = %H-1\nruntime_dir = \"/tmp/a ;b\"\nsocket_mode = 0\n"
		"socket_group = root\nadmin_group = root\nlog_level = error\nurgent = yes\n"
		"[store]\ndriver = sqlite\npath = \"/x/\"\"y\"\" \"\nlease = 777ms\nhistory_count = 1\nhistory_age = "
		"36h\n"
		"[component:b]\nusers = root, 17\ngroups = root\ncandidate = no\npriority = 7\nprefer_after = 90s\n"
		"[component:a]\nstop_grace = 0s\nstart_timeout = 60m\n"));
	check_round_trip(
		load_good("[store]\ndriver = postgresql\nconninfo = \"host=db1 options='-c x=1 ;'\"\n"
			  "password_file = ${CREDENTIALS_DIRECTORY}/secret\nschema = s1\n[component:engine]\n"));
}
END_TEST

START_TEST(the_dump_says_what_was_meant)
{
	struct config *config =
		load_good("[tenure]\nsocket_group = root\n[store]\ndriver = sqlite\npath = /a \t\nlease = 5s\n"
			  "[component:engine]\nusers = root 17\n");
	char *text = dump(config);
	ck_assert_str_eq(text, "[tenure]\n"
			       "node = host-a\n"
			       "runtime_dir = /run/tenure\n"
			       "socket_mode = 0660\n"
			       "socket_group = root\n"
			       "log_level = info\n"
			       "urgent = no\n"
			       "\n"
			       "[store]\n"
			       "driver = sqlite\n"
			       "path = /a\n"
			       "lease = 5s\n"
			       "renew = 1s\n"
			       "poll = 500ms\n"
			       "timeout = 1s\n"
			       "history_count = 1000\n"
			       "history_age = 30d\n"
			       "\n"
			       "[component:engine]\n"
			       "stop_grace = 1s\n"
			       "start_timeout = 30s\n"
			       "cooldown = 5s\n"
			       "candidate = yes\n"
			       "priority = 0\n"
			       "prefer_after = 0s\n"
			       "users = root, 17\n");
	free(text);
	config_free(config);
}
END_TEST

START_TEST(the_dump_shows_no_secret)
{
	static const struct {
		const char *conninfo;
		const char *shown;
	} cases[] = {
		{"host=db1 password=hunter2 user=a", "host=db1 password=*** user=a"},
		{"password = 'hunter2 \\' hunter2'  host = db1", "password=*** host=db1"},
		{"sslpassword=hunter2", "sslpassword=***"},
		{"scram_client_key=hunter2", "scram_client_key=***"},
		{"password=hunter2\\ hunter2 host=x", "password=*** host=x"},
		{"host=a passfile=/b", "host=a passfile=/b"},
		{"postgresql://a:hunter2@db1/x", "postgresql://a:***@db1/x"},
		{"postgres://a:hunter2@hunter2@db1:5432,db2/x", "postgres://a:***@db1:5432,db2/x"},
		{"postgresql://a@db1/x?password=hunter2&user=b", "postgresql://a@db1/x?password=***&user=b"},
		{"postgresql:///x?user=b&p%61ssword=hunter2", "postgresql:///x?user=b&p%61ssword=***"},
		{"postgresql://db1:5432/x?user=b&sslpassword=hunter2",
			"postgresql://db1:5432/x?user=b&sslpassword=***"},
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char line[256];
		struct config *config = load_conninfo(cases[i].conninfo);
		ck_assert_str_eq(config->store.conninfo, cases[i].conninfo);
		char *text = dump(config);
		snprintf(line, sizeof line, "\nconninfo = %s\n", cases[i].shown);
		ck_assert_msg(strstr(text, line) != NULL, "%s is not in\n%s", line, text);
		ck_assert_ptr_null(strstr(text, "hunter2"));
		free(text);
		check_round_trip(config);
	}

	setenv("CREDENTIALS_DIRECTORY", test_directory(), 1);
	write_secret("hunter2", 0600);
	struct config *config = load_good("[store]\ndriver = postgresql\nconninfo = host=db1\n"
					  "password_file = ${CREDENTIALS_DIRECTORY}/secret\n[component:engine]\n");
	char *text = dump(config);
	ck_assert_ptr_nonnull(strstr(text, "/secret\n"));
	ck_assert_ptr_null(strstr(text, "hunter2"));
	free(text);
	config_free(config);
}
END_TEST

START_TEST(a_dump_that_cannot_be_written_is_an_error)
{
	FILE *full = fopen("/dev/full", "we");
	ck_assert_ptr_nonnull(full);
	struct config *config = load_good(LEAST);
	ck_assert_int_lt(config_dump(config, full), 0);
	config_free(config);
	fclose(full);
}
END_TEST

// ---- size ----

// Writes `count` components into memory for the caller to free.
static char *many_components(unsigned count)
{
	char *text;
	size_t size;
	FILE *stream = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(stream);
	fputs("[store]\ndriver = memory\n", stream);
	for (unsigned i = 0; i < count; i++)
		fprintf(stream, "[component:c%u]\ncooldown = %us\n", i, i % 60);
	fclose(stream);
	return text;
}

START_TEST(ten_thousand_components_are_quick)
{
	char *text = many_components(10000);
	const int64_t start = clock_now_ns();
	struct config *config = load_good(text);
	const int64_t taken = clock_now_ns() - start;
	ck_assert_uint_eq(config->component_count, 10000);
	ck_assert_str_eq(config->components[9999].name, "c9999");
	ck_assert_int_eq(config->components[59].cooldown_ns, 59 * NS_PER_S);
	ck_assert_int_lt(taken, NS_PER_S);
	config_free(config);
	free(text);
}
END_TEST

START_TEST(as_many_components_as_allowed)
{
	char *text = many_components(CONFIG_COMPONENTS_MAX);
	struct config *config = load_good(text);
	ck_assert_uint_eq(config->component_count, CONFIG_COMPONENTS_MAX);
	config_free(config);
	free(text);
}
END_TEST

START_TEST(a_group_has_one_lease_and_shares_the_default_grace)
{
	struct config *config = load_good("[store]\ndriver = memory\n[component:a]\n[component:b]\ngroup = g\n"
					  "[component:c]\ngroup = g\nstop_grace = 300ms\n[component:d]\ngroup = g\n");
	ck_assert_int_eq(config->components[0].stop_grace_ns, 2 * NS_PER_S);
	ck_assert_int_eq(config->components[1].stop_grace_ns, 666 * NS_PER_MS);
	ck_assert_int_eq(config->components[2].stop_grace_ns, 300 * NS_PER_MS);
	ck_assert_int_eq(config_group_grace(config, &config->components[3]), 1632 * NS_PER_MS);
	ck_assert_uint_eq(config_group_head(config, 0), 0);
	ck_assert_uint_eq(config_group_head(config, 3), 1);
	ck_assert_str_eq(config_lease_name(config, 0), "a");
	ck_assert_str_eq(config_lease_name(config, 1), "g");
	ck_assert_str_eq(config_lease_name(config, 2), "c"); // nobody's: the group's is the first one's
	config_free(config);
}
END_TEST

// S3: the group has one lease, so who is to lead it is said once.
START_TEST(a_group_shares_who_is_preferred)
{
	struct config *config = load_good("[store]\ndriver = memory\n[component:a]\n[component:b]\ngroup = g\n"
					  "[component:c]\ngroup = g\npriority = 5\nprefer_after = 1m\ncandidate = no\n"
					  "[component:d]\ngroup = g\npriority = 5\n[component:e]\ngroup = h\n");
	for (size_t i = 0; i < config->component_count; i++) {
		bool shares = i >= 1 && i <= 3;
		ck_assert_int_eq(config->components[i].priority, shares ? 5 : 0);
		ck_assert_int_eq(config->components[i].prefer_after_ns, shares ? 60 * NS_PER_S : 0);
		ck_assert(config->components[i].observes == shares);
	}
	config_free(config);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tests = tcase_create("config");
	tcase_add_checked_fixture(tests, make_test_directory, remove_test_directory);
	tcase_add_test(tests, what_is_left_out_has_its_default);
	tcase_add_test(tests, what_is_there_is_taken);
	tcase_add_test(tests, comments_end_values);
	tcase_add_test(tests, quoted_values_hold_anything);
	tcase_add_test(tests, long_lines_are_whole);
	tcase_add_test(tests, long_component_names_are_whole);
	tcase_add_test(tests, other_systems_files_are_read);
	tcase_add_test(tests, derived_times_follow_the_lease);
	tcase_add_test(tests, a_poll_is_never_too_short_by_itself);
	tcase_add_test(tests, paths_expand_the_environment);
	tcase_add_test(tests, the_password_comes_from_its_file);
	tcase_add_test(tests, the_dump_is_the_same_configuration);
	tcase_add_test(tests, the_dump_says_what_was_meant);
	tcase_add_test(tests, the_dump_shows_no_secret);
	tcase_add_test(tests, a_dump_that_cannot_be_written_is_an_error);
	tcase_add_test(tests, as_many_components_as_allowed);
	tcase_add_test(tests, a_group_has_one_lease_and_shares_the_default_grace);
	tcase_add_test(tests, a_group_shares_who_is_preferred);
	suite_add_tcase(suite, tests);
	TCase *measured = tcase_create("native");
	tcase_add_checked_fixture(measured, make_test_directory, remove_test_directory);
	tcase_set_tags(measured, "native");
	tcase_add_test(measured, ten_thousand_components_are_quick);
	suite_add_tcase(suite, measured);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
