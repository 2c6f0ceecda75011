// SPDX-License-Identifier: Apache-2.0
// Bad configurations: each is refused with its file, line and key and what is allowed (R3, W24).
#include "config.h"
#include "config_files.h"

#include <check.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STORE "[store]\ndriver = memory\n"
#define ENGINE "[component:engine]\n"
#define SQLITE "[store]\ndriver = sqlite\npath = /x.db\n"
#define PG "[store]\ndriver = postgresql\nconninfo = host=db1\n"

static struct config_errors errors;

static int load(const char *path)
{
	struct config *untouched = (struct config *)&errors;
	struct config *config = untouched;
	errors = (struct config_errors){0};
	const int result = config_load(path, &test_env, &config, &errors);
	ck_assert_ptr_eq(config, untouched);
	ck_assert_int_lt(result, 0);
	return result;
}

static int load_text(const char *text, size_t size)
{
	write_file(test_config_path(), text, size);
	return load(test_config_path());
}

// The lines of the errors' text, one at a time.
static bool has_line(const char *start, const char *const fragments[])
{
	char *copy = strdup(errors.text);
	bool found = false;
	char *rest;
	for (char *line = strtok_r(copy, "\n", &rest); line != NULL && !found; line = strtok_r(NULL, "\n", &rest)) {
		found = strncmp(line, start, strlen(start)) == 0;
		for (size_t i = 0; i < 3 && fragments[i] != NULL; i++)
			found = found && strstr(line, fragments[i]) != NULL;
	}
	free(copy);
	return found;
}

struct bad {
	const char *text;
	unsigned line; // 0: the message names none
	const char *where;
	const char *says[3];
	unsigned count; // of errors; 0: one
	size_t size;    // 0: strlen()
};

#define X100 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct bad bads[] = {
	// Keys and sections.
	{STORE "leese = 2s\n" ENGINE, 3, "[store] leese",
		.says = {"unknown key", "did you mean lease?", "driver, conninfo"}},
	{STORE "zzz = 2s\n" ENGINE, 3, "[store] zzz", .says = {"unknown key; allowed here: driver"}},
	{"[tenure]\nlease = 2s\n" STORE ENGINE, 2, "[tenure] lease", .says = {"unknown key", "node, runtime_dir"}},
	{STORE ENGINE "precedence = 1\n", 4, "[component:engine] precedence",
		.says = {"unknown key", "stop_grace, start_timeout"}},
	{STORE ENGINE "Users = root\n", 4, "[component:engine] Users", .says = {"did you mean users?"}},
	{STORE "[htpp]\nlisten = x\n" ENGINE, 3, "", .says = {"unknown section [htpp]", "[tenure], [store], [http]"}},
	{STORE "[http]\nlisten = x\n" ENGINE, 4, "[http] listen", .says = {"\"x\" is no place", "HOST:PORT"}},
	{STORE "[http]\nlisten = x:0\n" ENGINE, 4, "[http] listen", .says = {"1 to 65535"}},
	{STORE "[http]\nlisten = x:65536\n" ENGINE, 4, "[http] listen", .says = {"1 to 65535"}},
	{STORE "[http]\nlisten = x:99999999999999999999\n" ENGINE, 4, "[http] listen", .says = {"1 to 65535"}},
	{STORE "[http]\nlisten = x:80x\n" ENGINE, 4, "[http] listen", .says = {"1 to 65535"}},
	{STORE "[http]\nlisten = :9464\n" ENGINE, 4, "[http] listen", .says = {"HOST:PORT"}},
	{STORE "[http]\nlisten = ::1:9464\n" ENGINE, 4, "[http] listen", .says = {"[ADDRESS]:PORT"}},
	{STORE "[http]\nlisten = []:9464\n" ENGINE, 4, "[http] listen", .says = {"[ADDRESS]:PORT"}},
	{STORE "[http]\nlisten = /" X100 X100 "\n" ENGINE, 4, "[http] listen", .says = {"at most 107 bytes"}},
	{STORE "[http]\nlisten = /a\nport = 80\n" ENGINE, 5, "[http] port", .says = {"allowed here: listen"}},
	{STORE "[Component:x]\n" ENGINE, 3, "", .says = {"unknown section [Component:x]"}},
	{STORE "[]\n" ENGINE, 3, "", .says = {"unknown section []"}},
	{STORE "[component:]\n", 3, "", .says = {"[component:] is no name", "1 to 64 letters"}},
	{STORE "[component:a b]\n", 3, "", .says = {"[component:a b] is no name"}},
	{STORE "[component:" X100 "]\n", 3, "", .says = {"is no name of a component"}},
	{STORE ENGINE "[component:engine\n", 4, "", .says = {"does not end with ]"}},
	{STORE ENGINE "[component:b] x\n", 4, "", .says = {"does not end with ]"}},
	{STORE ENGINE ENGINE, 4, "[component:engine]", .says = {"second time", "line 3"}},
	{STORE ENGINE "[store]\n", 4, "[store]", .says = {"second time", "line 1"}},
	{STORE "lease = 2s\nlease = 2s\n" ENGINE, 4, "[store] lease", .says = {"second time", "line 3"}},
	{STORE "lease = x\nlease = 2s\n" ENGINE, 4, "[store] lease", .says = {"second time", "line 3"}, .count = 2},
	{"driver = memory\n[store]\n" ENGINE, 1, "driver", .says = {"before the first section"}, .count = 2},
	{STORE ENGINE "whatever\n", 4, "[component:engine]", .says = {"neither a [section] nor key = value"}},
	{STORE "lease: 2s\n" ENGINE, 3, "[store]", .says = {"neither a [section] nor key = value"}},
	{STORE "lease : x = 2s\n" ENGINE, 3, "[store]", .says = {"is no key"}},
	{STORE " = 2s\n" ENGINE, 3, "[store]", .says = {"begins with a blank"}},
	{STORE "= 2s\n" ENGINE, 3, "[store]", .says = {"is no key"}},
	{STORE "le ase = 2s\n" ENGINE, 3, "[store]", .says = {"is no key"}},
	{STORE X100 " = 2s\n" ENGINE, 3, "[store]", .says = {"is no key"}},

	// Lines.
	{STORE " lease = 2s\n" ENGINE, 3, "[store]", .says = {"begins with a blank", "does not go on"}},
	{STORE "lease = 2s\n\tm\n" ENGINE, 4, "[store]", .says = {"begins with a blank"}},
	{STORE "\t[component:x]\n" ENGINE, 3, "[store]", .says = {"begins with a blank"}},
	{STORE "lease = 2s\0\n" ENGINE, 3, "[store]", .says = {"a NUL byte"},
		.size = sizeof(STORE "lease = 2s\0\n" ENGINE) - 1},
	{STORE "\0", 3, "[store]", .says = {"a NUL byte"}, .size = sizeof(STORE)},
	{STORE "; \0\n" ENGINE, 3, "[store]", .says = {"a NUL byte"}, .size = sizeof(STORE "; \0\n" ENGINE) - 1},
	{STORE "lease = 2\x1bs\n" ENGINE, 3, "[store]", .says = {"a control character"}},
	{STORE "lease = 2s\rrenew = 1s\n" ENGINE, 3, "[store]", .says = {"a control character"}},
	{"\xff\xfe[\0s\0t\0", 1, "", .says = {"a NUL byte"}, .count = 2, .size = 8},

	// Quotes and comments.
	{SQLITE "[tenure]\nruntime_dir = \"/x\n" ENGINE, 5, "[tenure] runtime_dir",
		.says = {"double quote without its second"}},
	{SQLITE "[tenure]\nruntime_dir = \"/x\" y\n" ENGINE, 5, "[tenure] runtime_dir",
		.says = {"after the closing double quote"}},
	{"[store]\ndriver = postgresql\nconninfo = password='a ;b' host=x\n" ENGINE, 3, "[store] conninfo",
		.says = {"could end at the \" ;\" or go on", "double quotes"}},
	{"[store]\ndriver = postgresql\nconninfo = password=a\\ ;b host=x\n" ENGINE, 3, "[store] conninfo",
		.says = {"or go on"}},
	{STORE "lease = 2s # two\n" ENGINE, 3, "[store] lease", .says = {"no duration", "ms, s, m, h or d"}},

	// Durations.
	{STORE "lease = 2\n" ENGINE, 3, "[store] lease", .says = {"2 has no unit; write 2s"}},
	{STORE "lease = 1.5s\n" ENGINE, 3, "[store] lease", .says = {"\"1.5s\" is no duration"}},
	{STORE "lease = -2s\n" ENGINE, 3, "[store] lease", .says = {"is no duration"}},
	{STORE "lease = 2h\n" ENGINE, 3, "[store] lease", .says = {"out of range; 500ms to 10m"}},
	{STORE "lease = 9999999d\n" ENGINE, 3, "[store] lease", .says = {"out of range; 500ms to 10m"}},
	{STORE "lease = 2w\n" ENGINE, 3, "[store] lease", .says = {"is no duration"}},
	{STORE "lease = 2 s\n" ENGINE, 3, "[store] lease", .says = {"is no duration"}},
	{STORE "lease = s\n" ENGINE, 3, "[store] lease", .says = {"is no duration"}},
	{STORE "lease =\n" ENGINE, 3, "[store] lease", .says = {"is no duration"}},
	{STORE "lease = 99999999999999999999s\n" ENGINE, 3, "[store] lease", .says = {"is no duration"}},
	{STORE "lease = 9999999m\n" ENGINE, 3, "[store] lease", .says = {"out of range; 500ms to 10m"}},
	{STORE "lease = 499ms\n" ENGINE, 3, "[store] lease", .says = {"out of range; 500ms to 10m"}},
	{STORE "lease = 600001ms\n" ENGINE, 3, "[store] lease", .says = {"out of range"}},
	{STORE "poll = 49ms\n" ENGINE, 3, "[store] poll", .says = {"out of range; 50ms to"}},
	{STORE "renew = 9ms\n" ENGINE, 3, "[store] renew", .says = {"out of range; 10ms to"}},
	{STORE "timeout = 0s\n" ENGINE, 3, "[store] timeout", .says = {"out of range; 10ms to"}},
	{STORE ENGINE "start_timeout = 99ms\n", 4, "[component:engine] start_timeout",
		.says = {"out of range; 100ms to 1h"}},
	{STORE ENGINE "cooldown = 61m\n", 4, "[component:engine] cooldown", .says = {"out of range; 0s to 1h"}},

	// Durations against each other (W24).
	{STORE "renew = 10s\n" ENGINE, 3, "[store] renew", .says = {"10s is not shorter than lease = 10s"}},
	{STORE "lease = 1s\nrenew = 3s\n" ENGINE, 4, "[store] renew", .says = {"3s is not shorter than lease = 1s"}},
	{STORE "timeout = 8s\n" ENGINE, 3, "[store] timeout", .says = {"renew + timeout = 2s + 8s", "lease = 10s"}},
	{STORE "poll = 11s\n" ENGINE, 3, "[store] poll", .says = {"11s is longer than lease = 10s"}},
	{STORE ENGINE "stop_grace = 6s\n", 4, "[component:engine] stop_grace",
		.says = {"renew + timeout + stop_grace = 2s + 2s + 6s", "lease = 10s"}},
	{STORE ENGINE "[component:b]\nstop_grace = 2001ms\n", 5, "[component:b] stop_grace",
		.says = {"3 renewals with renew = 2s and timeout = 2s do not fit", "10s - 2001ms"}},
	{STORE "timeout = 3s\n" ENGINE, 4, "[component:engine] stop_grace", .says = {"3 renewals", "timeout = 3s"}},
	{STORE "renew = 1s\ntimeout = 2400ms\n" ENGINE, 5, "[component:engine] stop_grace",
		.says = {"3 renewals", "timeout = 2400ms"}},
	{STORE "renew = 3s\ntimeout = 1s\n" ENGINE, 5, "[component:engine] stop_grace",
		.says = {"3 renewals", "renew = 3s"}},

	// [tenure].
	{"[tenure]\nnode = a b\n" STORE ENGINE, 2, "[tenure] node",
		.says = {"\"a b\" is no name of a node", "1 to 64"}},
	{"[tenure]\nnode =\n" STORE ENGINE, 2, "[tenure] node", .says = {"is no name of a node"}},
	{"[tenure]\nnode = " X100 "\n" STORE ENGINE, 2, "[tenure] node", .says = {"is no name of a node"}},
	{"[tenure]\nnode = %h\n" STORE ENGINE, 2, "[tenure] node", .says = {"%H is the host name"}},
	{"[tenure]\nnode = a%\n" STORE ENGINE, 2, "[tenure] node", .says = {"%H is the host name"}},
	{"[tenure]\nnode = a%%\n" STORE ENGINE, 2, "[tenure] node", .says = {"\"a%\" is no name"}},
	{"[tenure]\nruntime_dir = run\n" STORE ENGINE, 2, "[tenure] runtime_dir",
		.says = {"\"run\" is no absolute path"}},
	{"[tenure]\nruntime_dir = \n" STORE ENGINE, 2, "[tenure] runtime_dir", .says = {"is no absolute path"}},
	{"[tenure]\nruntime_dir = /" X100 "\n" STORE ENGINE, 2, "[tenure] runtime_dir",
		.says = {"too long", "94 bytes"}},
	{"[tenure]\nruntime_dir = ${NOT_SET_AT_ALL}/x\n" STORE ENGINE, 2, "[tenure] runtime_dir",
		.says = {"NOT_SET_AT_ALL is not set"}},
	{"[tenure]\nruntime_dir = /${x\n" STORE ENGINE, 2, "[tenure] runtime_dir", .says = {"without its \"}\""}},
	{"[tenure]\nsocket_mode = 0999\n" STORE ENGINE, 2, "[tenure] socket_mode",
		.says = {"octal number from 0 to 0777"}},
	{"[tenure]\nsocket_mode = 1777\n" STORE ENGINE, 2, "[tenure] socket_mode",
		.says = {"octal number from 0 to 0777"}},
	{"[tenure]\nsocket_mode =\n" STORE ENGINE, 2, "[tenure] socket_mode", .says = {"octal number"}},
	{"[tenure]\nsocket_group = no-such-group\n" STORE ENGINE, 2, "[tenure] socket_group",
		.says = {"no group \"no-such-group\""}},
	{"[tenure]\nsocket_group = 4294967295\n" STORE ENGINE, 2, "[tenure] socket_group", .says = {"no group"}},
	{"[tenure]\nurgent = very\n" STORE ENGINE, 2, "[tenure] urgent", .says = {"\"very\"", "yes or no"}},
	{"[tenure]\nlog_level = loud\n" STORE ENGINE, 2, "[tenure] log_level",
		.says = {"error, warning, info or debug"}},

	// [store].
	{"[tenure]\n" ENGINE, 0, "[store] driver", .says = {"is missing", "postgresql, mysql, sqlite, memory"}},
	{"[store]\n" ENGINE, 1, "[store] driver", .says = {"is missing", "postgresql, mysql, sqlite, memory"}},
	{"[store]\ndriver = oracle\n" ENGINE, 2, "[store] driver",
		.says = {"\"oracle\"", "one of postgresql, mysql, sqlite, memory"}},
	{"[store]\ndriver = sql\n" ENGINE, 2, "[store] driver", .says = {"no driver \"sql\""}},
	{"[store]\ndriver =\n" ENGINE, 2, "[store] driver", .says = {"no driver \"\""}},
	{"[store]\ndriver = sqlite\n" ENGINE, 2, "[store] path", .says = {"is missing", "driver sqlite"}},
	{"[store]\ndriver = postgresql\n" ENGINE, 2, "[store] conninfo", .says = {"is missing", "driver postgresql"}},
	{SQLITE "conninfo = host=x\n" ENGINE, 4, "[store] conninfo",
		.says = {"of driver postgresql, but driver = sqlite"}},
	{SQLITE "schema = x\n" ENGINE, 4, "[store] schema", .says = {"of driver postgresql"}},
	{PG "path = /x\n" ENGINE, 4, "[store] path", .says = {"of driver sqlite, but driver = postgresql"}},
	{STORE "path = /x\n" ENGINE, 3, "[store] path", .says = {"of driver sqlite, but driver = memory"}},
	{SQLITE "path = x\n" ENGINE, 4, "[store] path", .says = {"second time"}},
	{"[store]\ndriver = sqlite\npath = x\n" ENGINE, 3, "[store] path", .says = {"is no absolute path"}},
	{PG "schema = a.b\n" ENGINE, 4, "[store] schema", .says = {"is no name of a schema"}},
	{PG "schema = 1a\n" ENGINE, 4, "[store] schema", .says = {"is no name of a schema"}},
	{"[store]\ndriver = postgresql\nconninfo = host=x hunter2\n" ENGINE, 3, "[store] conninfo",
		.says = {"without its \"=\""}},
	{"[store]\ndriver = postgresql\nconninfo = host='hunter2\n" ENGINE, 3, "[store] conninfo",
		.says = {"single quote"}},
	{PG "password_file = /does/not/exist\n" ENGINE, 4, "[store] password_file", .says = {"No such file"}},
	{PG "password_file = /dev/null\n" ENGINE, 4, "[store] password_file", .says = {"no regular file"}},

	// [component:NAME].
	{STORE, 0, "", .says = {"nothing to elect", "[component:NAME]"}},
	{STORE ENGINE "group = a b\n", 4, "[component:engine] group", .says = {"is no name"}},
	{STORE ENGINE "group = counter\n[component:counter]\n", 4, "[component:engine] group",
		.says = {"counter is the name of a component"}},
	{STORE ENGINE "group = g\nstop_grace = 1s\n[component:counter]\ngroup = g\nstop_grace = 1500ms\n", 5,
		"[component:engine] stop_grace", .says = {"its whole group", "10s - 2500ms"}, .count = 2},
	{STORE ENGINE "users =\n", 4, "[component:engine] users", .says = {"no name"}},
	{STORE ENGINE "users = ,\n", 4, "[component:engine] users", .says = {"no name"}},
	{STORE ENGINE "users = root, no-such-user\n", 4, "[component:engine] users",
		.says = {"no user \"no-such-user\""}},
	{STORE ENGINE "groups =\n", 4, "[component:engine] groups", .says = {"no name; names of groups"}},
	{STORE ENGINE "groups = no-such-group\n", 4, "[component:engine] groups",
		.says = {"no group \"no-such-group\""}},
	{"[tenure]\nadmin_group = no-such-group\n" STORE ENGINE, 2, "[tenure] admin_group", .says = {"no group"}},
	{STORE ENGINE "candidate = maybe\n", 4, "[component:engine] candidate", .says = {"\"maybe\"", "yes or no"}},
	{STORE ENGINE "priority = high\n", 4, "[component:engine] priority", .says = {"no whole number"}},
	{STORE ENGINE "priority = --1\n", 4, "[component:engine] priority", .says = {"no whole number"}},
	{STORE ENGINE "priority = 99999999999\n", 4, "[component:engine] priority", .says = {"no whole number"}},
	{STORE ENGINE "priority = 1000001\n", 4, "[component:engine] priority",
		.says = {"out of range; -1000000 to 1000000"}},
	{STORE ENGINE "priority = -1000001\n", 4, "[component:engine] priority", .says = {"out of range"}},
	{STORE ENGINE "prefer_after = 25h\n", 4, "[component:engine] prefer_after", .says = {"out of range; 0s to 1d"}},
	{STORE "history_count = -1\n" ENGINE, 3, "[store] history_count", .says = {"out of range; 0 to 1000000"}},
	{STORE "history_count = 1s\n" ENGINE, 3, "[store] history_count", .says = {"no whole number"}},
	{STORE "history_age = 59s\n" ENGINE, 3, "[store] history_age", .says = {"out of range; 1m to 3650d"}},
	{STORE ENGINE "group = g\npriority = 1\n[component:counter]\ngroup = g\npriority = 2\n", 8,
		"[component:counter] priority", .says = {"another one than at line 5", "group g"}},
	{STORE ENGINE "group = g\ncandidate = no\n[component:counter]\ngroup = g\ncandidate = yes\n", 8,
		"[component:counter] candidate", .says = {"another one than at line 5"}},
	{"", 0, "[store] driver", .says = {"is missing"}},
};

START_TEST(a_bad_configuration_is_refused)
{
	const struct bad *bad = &bads[_i];
	char start[256];
	const int result = load_text(bad->text, bad->size > 0 ? bad->size : strlen(bad->text));
	ck_assert_int_eq(result, -EINVAL);
	if (bad->line > 0)
		snprintf(start, sizeof start, "%s:%u: %s", test_config_path(), bad->line, bad->where);
	else
		snprintf(start, sizeof start, "%s: %s", test_config_path(), bad->where);
	ck_assert_msg(has_line(start, bad->says), "not \"%s … %s\":\n%s", start, bad->says[0], errors.text);
	ck_assert_msg(errors.count == (bad->count > 0 ? bad->count : 1), "%u errors:\n%s", errors.count, errors.text);
	ck_assert_ptr_null(strstr(errors.text, "hunter2"));
}
END_TEST

static void check_refused(const char *path, int error, const char *fragment)
{
	char start[256];
	ck_assert_int_eq(load(path), error);
	snprintf(start, sizeof start, "%s: cannot be read: ", path);
	ck_assert_msg(has_line(start, (const char *const[]){fragment, NULL}), "%s", errors.text);
	ck_assert_uint_eq(errors.count, 1);
}

START_TEST(what_is_no_file_is_refused)
{
	check_refused(test_directory(), -EISDIR, "Is a directory");
	check_refused("/does/not/exist", -ENOENT, "No such file");
	check_refused("/proc/self/mem", -EIO, "Input/output error");
}
END_TEST

START_TEST(a_file_without_an_end_is_refused)
{
	ck_assert_int_eq(load("/dev/zero"), -EINVAL);
	ck_assert_msg(has_line("/dev/zero:1:", (const char *const[]){"the file is too long", NULL}), "%s", errors.text);
}
END_TEST

// Root may read anything, so another user tries.
START_TEST(an_unreadable_file_is_refused)
{
	const struct passwd *nobody = getpwnam("nobody");
	ck_assert_ptr_nonnull(nobody);
	write_file(test_config_path(), STORE ENGINE, sizeof(STORE ENGINE) - 1);
	ck_assert_int_eq(chmod(test_config_path(), 0), 0);
	ck_assert_int_eq(chmod(test_directory(), 0755), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(nobody->pw_uid), 0);
	check_refused(test_config_path(), -EACCES, "Permission denied");
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(the_longest_line_and_one_byte_more)
{
	static const char start[] = "[store]\ndriver = sqlite\npath = /";
	const size_t taken = strlen("path = /");
	for (size_t extra = 0; extra < 2; extra++) {
		char text[2 * CONFIG_LINE_BYTES];
		const size_t fill = CONFIG_LINE_BYTES - taken + extra;
		memcpy(text, start, sizeof start);
		memset(text + strlen(start), 'x', fill);
		snprintf(text + strlen(start) + fill, sizeof text - strlen(start) - fill, "\n" ENGINE);
		if (extra == 0) {
			struct config *config = load_good(text);
			ck_assert_uint_eq(strlen(config->store.path), fill + 1);
			config_free(config);
			continue;
		}
		char line[256];
		load_text(text, strlen(text));
		snprintf(line, sizeof line, "%s:3: [store]: ", test_config_path());
		ck_assert_msg(has_line(line, (const char *const[]){"too long", "4096", NULL}), "%s", errors.text);
	}
}
END_TEST

static void check_password_file(const char *text, size_t size, mode_t mode, const char *fragment)
{
	char conf[512], line[256];
	write_file(secret_path(), text, size);
	ck_assert_int_eq(chmod(secret_path(), mode), 0);
	snprintf(conf, sizeof conf, PG "password_file = %s\n" ENGINE, secret_path());
	load_text(conf, strlen(conf));
	snprintf(line, sizeof line, "%s:4: [store] password_file: ", test_config_path());
	ck_assert_msg(has_line(line, (const char *const[]){fragment, NULL}), "%s is not in %s", fragment, errors.text);
	ck_assert_uint_eq(errors.count, 1);
	ck_assert_ptr_null(strstr(errors.text, "hunter2"));
}

START_TEST(a_password_that_others_can_read_is_refused)
{
	static const mode_t modes[] = {0640, 0660, 0604, 0602, 0620, 0644, 0610};
	unsetenv("CREDENTIALS_DIRECTORY");
	for (size_t i = 0; i < COUNT_OF(modes); i++)
		check_password_file("hunter2\n", 8, modes[i], "lets others at it");
	setenv("CREDENTIALS_DIRECTORY", test_directory(), 1);
	check_password_file("hunter2\n", 8, 0444, "lets others at it");
}
END_TEST

START_TEST(a_password_of_another_user_is_refused)
{
	char conf[512];
	if (geteuid() != 0)
		return;
	write_file(secret_path(), "hunter2\n", 8);
	ck_assert_int_eq(chmod(secret_path(), 0600), 0);
	ck_assert_int_eq(chown(secret_path(), 12345, (gid_t)-1), 0);
	snprintf(conf, sizeof conf, PG "password_file = %s\n" ENGINE, secret_path());
	load_text(conf, strlen(conf));
	ck_assert_msg(strstr(errors.text, "belongs to another user") != NULL, "%s", errors.text);
	ck_assert_int_eq(unlink(secret_path()), 0);
}
END_TEST

START_TEST(a_file_without_a_password_is_refused)
{
	static char big[CONFIG_PASSWORD_BYTES + 2];
	memset(big, 'x', sizeof big);
	check_password_file("", 0, 0600, "does not hold a password");
	check_password_file("\n", 1, 0600, "does not hold a password");
	check_password_file("hunter2\nhunter2\n", 16, 0600, "does not hold a password");
	check_password_file("hunter2\0x", 9, 0600, "does not hold a password");
	check_password_file(big, CONFIG_PASSWORD_BYTES + 1, 0600, "1 to 1024 bytes");
	check_password_file(big, CONFIG_PASSWORD_BYTES + 2, 0600, "1 to 1024 bytes");
}
END_TEST

START_TEST(a_password_in_two_places_is_refused)
{
	char conf[512], line[256];
	write_file(secret_path(), "hunter2\n", 8);
	ck_assert_int_eq(chmod(secret_path(), 0600), 0);
	snprintf(conf, sizeof conf,
		"[store]\ndriver = postgresql\nconninfo = host=a password=hunter2\npassword_file = %s\n" ENGINE,
		secret_path());
	load_text(conf, strlen(conf));
	snprintf(line, sizeof line, "%s:4: [store] password_file: ", test_config_path());
	ck_assert_msg(has_line(line, (const char *const[]){"line 3", NULL}), "%s", errors.text);
	ck_assert_ptr_null(strstr(errors.text, "hunter2"));
}
END_TEST

// Whether it is refused at that line of what is written to the configuration's path, as others may read a secret.
static bool is_open_to_others(const char *conf, mode_t mode, const char *where)
{
	char line[256];
	write_file(test_config_path(), conf, strlen(conf));
	ck_assert_int_eq(chmod(test_config_path(), mode), 0);
	struct config *config = NULL;
	errors = (struct config_errors){0};
	if (config_load(test_config_path(), &test_env, &config, &errors) == 0) {
		config_free(config);
		return false;
	}
	snprintf(line, sizeof line, "%s:3: [store] %s: ", test_config_path(), where);
	ck_assert_msg(
		has_line(line, (const char *const[]){"holds a password", "lets others at", NULL}), "%s", errors.text);
	ck_assert_uint_eq(errors.count, 1);
	ck_assert_ptr_null(strstr(errors.text, "hunter2"));
	return true;
}

START_TEST(a_password_in_conninfo_is_for_the_owner)
{
	static const char secret[] = "[store]\ndriver = postgresql\nconninfo = host=a password=hunter2\n" ENGINE;
	static const char plain[] = "[store]\ndriver = postgresql\nconninfo = host=a\n" ENGINE;
	ck_assert(is_open_to_others(secret, 0644, "conninfo"));
	ck_assert(is_open_to_others(secret, 0602, "conninfo"));
	ck_assert(!is_open_to_others(secret, 0640, "conninfo"));
	ck_assert(!is_open_to_others(plain, 0644, "conninfo"));
}
END_TEST

START_TEST(a_password_in_an_option_file_is_for_the_owner)
{
	static const char secret[] = "[client]\nuser = a\n password=hunter2\n", plain[] = "[client]\nuser = a\n";
	char conf[512];
	snprintf(conf, sizeof conf, "[store]\ndriver = mysql\ndefaults_file = %s\n" ENGINE, secret_path());
	write_file(secret_path(), secret, strlen(secret));
	ck_assert_int_eq(chmod(secret_path(), 0644), 0);
	ck_assert(is_open_to_others(conf, 0644, "defaults_file"));
	ck_assert_int_eq(chmod(secret_path(), 0640), 0);
	ck_assert(!is_open_to_others(conf, 0644, "defaults_file"));
	write_file(secret_path(), plain, strlen(plain));
	ck_assert_int_eq(chmod(secret_path(), 0644), 0);
	ck_assert(!is_open_to_others(conf, 0644, "defaults_file"));
	ck_assert_int_eq(unlink(secret_path()), 0);
	load_text(conf, strlen(conf));
	ck_assert_msg(strstr(errors.text, "cannot be opened: No such file") != NULL, "%s", errors.text);
}
END_TEST

static void append(char *text, size_t size, const char *more)
{
	const size_t length = strlen(text);
	ck_assert_uint_lt(length + strlen(more), size);
	snprintf(text + length, size - length, "%s", more);
}

START_TEST(all_errors_are_told_up_to_a_limit)
{
	char text[4096] = STORE;
	for (int i = 0; i < 30; i++)
		append(text, sizeof text, "bad\n");
	load_text(text, strlen(text));
	char line[256];
	snprintf(line, sizeof line, "%s:%d: ", test_config_path(), 2 + CONFIG_ERRORS_MAX);
	ck_assert_ptr_nonnull(strstr(errors.text, line));
	snprintf(line, sizeof line, "%s:%d: ", test_config_path(), 3 + CONFIG_ERRORS_MAX);
	ck_assert_ptr_null(strstr(errors.text, line));
	ck_assert_ptr_nonnull(strstr(errors.text, ": and 10 errors more\n"));
	ck_assert_uint_eq(errors.count, 30);
}
END_TEST

START_TEST(errors_never_run_over)
{
	// The longest path and the longest texts.
	static char path[4000];
	memset(path, '/', sizeof path - 1);
	memcpy(path + sizeof path - 1 - strlen(test_config_path()), test_config_path(), strlen(test_config_path()));
	char text[8192] = STORE;
	for (int i = 0; i < 30; i++)
		append(text, sizeof text, "[" X100 X100 "]\n");
	write_file(test_config_path(), text, strlen(text));
	load(path);
	ck_assert_uint_lt(errors.used, sizeof errors.text);
	ck_assert_uint_eq(strlen(errors.text), errors.used);
}
END_TEST

START_TEST(one_component_too_many_is_refused)
{
	char *text;
	size_t size;
	FILE *stream = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(stream);
	fputs(STORE, stream);
	for (int i = 0; i <= CONFIG_COMPONENTS_MAX; i++)
		fprintf(stream, "[component:c%d]\n", i);
	fclose(stream);
	load_text(text, size);
	free(text);
	char line[256];
	snprintf(line, sizeof line, "%s:%d: [component:c%d]: is one too many; at most 16384", test_config_path(),
		CONFIG_COMPONENTS_MAX + 3, CONFIG_COMPONENTS_MAX);
	ck_assert_msg(strstr(errors.text, line) != NULL, "%s", errors.text);
	ck_assert_uint_eq(errors.count, 1);
}
END_TEST

START_TEST(too_many_users_are_refused)
{
	char text[1024] = STORE ENGINE "users = 0";
	for (int i = 1; i <= CONFIG_USERS_MAX; i++)
		append(text, sizeof text, ",1");
	load_text(text, strlen(text));
	ck_assert_ptr_nonnull(strstr(errors.text, ":4: [component:engine] users: more than 64 users\n"));
}
END_TEST

static int refuse_store(const struct config *config, char *ret_text, size_t size)
{
	ck_assert_str_eq(config->store.driver, "sqlite");
	snprintf(ret_text, size, "not on a Monday");
	return -EINVAL;
}

START_TEST(the_driver_has_a_say)
{
	struct config_env env = test_env;
	struct config *config = NULL;
	env.check_store = refuse_store;
	errors = (struct config_errors){0};
	write_file(test_config_path(), SQLITE ENGINE, sizeof(SQLITE ENGINE) - 1);
	ck_assert_int_eq(config_load(test_config_path(), &env, &config, &errors), -EINVAL);
	ck_assert_ptr_nonnull(strstr(errors.text, ":2: [store] driver: not on a Monday\n"));
}
END_TEST

START_TEST(a_host_name_that_is_no_node_name_is_refused)
{
	struct config_env env = test_env;
	struct config *config = NULL;
	env.host = "a host";
	errors = (struct config_errors){0};
	write_file(test_config_path(), STORE ENGINE, sizeof(STORE ENGINE) - 1);
	ck_assert_int_eq(config_load(test_config_path(), &env, &config, &errors), -EINVAL);
	ck_assert_ptr_nonnull(strstr(errors.text, ": [tenure] node: is not there, and its default %H does not do"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config-bad");
	TCase *tests = tcase_create("config-bad");
	tcase_add_checked_fixture(tests, make_test_directory, remove_test_directory);
	tcase_add_loop_test(tests, a_bad_configuration_is_refused, 0, COUNT_OF(bads));
	tcase_add_test(tests, what_is_no_file_is_refused);
	tcase_add_test(tests, a_file_without_an_end_is_refused);
	tcase_add_test(tests, an_unreadable_file_is_refused);
	tcase_add_test(tests, the_longest_line_and_one_byte_more);
	tcase_add_test(tests, a_password_that_others_can_read_is_refused);
	tcase_add_test(tests, a_password_of_another_user_is_refused);
	tcase_add_test(tests, a_file_without_a_password_is_refused);
	tcase_add_test(tests, a_password_in_two_places_is_refused);
	tcase_add_test(tests, a_password_in_conninfo_is_for_the_owner);
	tcase_add_test(tests, a_password_in_an_option_file_is_for_the_owner);
	tcase_add_test(tests, all_errors_are_told_up_to_a_limit);
	tcase_add_test(tests, errors_never_run_over);
	tcase_add_test(tests, one_component_too_many_is_refused);
	tcase_add_test(tests, too_many_users_are_refused);
	tcase_add_test(tests, the_driver_has_a_say);
	tcase_add_test(tests, a_host_name_that_is_no_node_name_is_refused);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
