// SPDX-License-Identifier: Apache-2.0
// The runtime directory: whose it may be, one daemon each, the socket's mode, and what a killed daemon left.
#include "log.h"
#include "runtime.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/test_runtime.XXXXXX";
static char path[64];

static void set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(strcpy(top, "/tmp/test_runtime.XXXXXX")));
	snprintf(path, sizeof path, "%s/run", top);
}

static int remove_one(const char *name, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(name);
}

static void tear_down(void)
{
	ck_assert_int_eq(nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static const char *in_directory(const char *name)
{
	static char text[128];
	snprintf(text, sizeof text, "%s/%s", path, name);
	return text;
}

static int open_it(void)
{
	struct runtime runtime;
	int error = runtime_open(&runtime, path, 3);
	if (error == 0)
		runtime_close(&runtime);
	return error;
}

static mode_t mode_of(const char *name)
{
	struct stat status;
	ck_assert_int_eq(lstat(name, &status), 0);
	return status.st_mode & 07777;
}

static int try_to_connect(const char *socket_path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
	int error = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : -errno;
	close(fd);
	return error;
}

START_TEST(it_is_made_and_left)
{
	struct runtime runtime;
	mode_t before = umask(0077);
	ck_assert_int_eq(runtime_open(&runtime, path, 3), 0);
	ck_assert_uint_eq(mode_of(path), 0755);
	ck_assert_uint_eq(mode_of(runtime.terms_path), 0644);
	ck_assert_uint_ge(page_slot_count(runtime.page), 3);
	ck_assert_int_eq(runtime_listen(&runtime, 0660, (gid_t)-1), 0);
	ck_assert_uint_eq(mode_of(runtime.socket_path), 0660);
	ck_assert_uint_eq(umask(before), 0077); // as it was
	ck_assert_int_eq(try_to_connect(runtime.socket_path), 0);
	runtime_close(&runtime);
	ck_assert_int_lt(access(in_directory("tenured.sock"), F_OK), 0);
	ck_assert_int_eq(access(in_directory("terms"), F_OK), 0);
	ck_assert_int_eq(open_it(), 0);
}
END_TEST

START_TEST(the_socket_gets_its_group)
{
	struct runtime runtime;
	struct stat status;
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(runtime_open(&runtime, path, 3), 0);
	ck_assert_int_eq(runtime_listen(&runtime, 0600, 12345), 0);
	ck_assert_int_eq(lstat(runtime.socket_path, &status), 0);
	ck_assert_uint_eq(status.st_gid, 12345);
	runtime_close(&runtime);
}
END_TEST

START_TEST(one_daemon_each)
{
	struct runtime first;
	ck_assert_int_eq(runtime_open(&first, path, 3), 0);
	ck_assert_int_eq(runtime_listen(&first, 0600, (gid_t)-1), 0);
	ck_assert_int_eq(open_it(), -EBUSY);
	ck_assert_int_eq(try_to_connect(first.socket_path), 0); // the second did no harm
	runtime_close(&first);
	ck_assert_int_eq(open_it(), 0);
}
END_TEST

START_TEST(a_killed_daemons_socket_is_replaced)
{
	struct runtime runtime;
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		bool there = runtime_open(&runtime, path, 3) == 0 && runtime_listen(&runtime, 0600, (gid_t)-1) == 0;
		_exit(there ? 0 : 1);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(try_to_connect(in_directory("tenured.sock")), -ECONNREFUSED);
	ck_assert_int_eq(runtime_open(&runtime, path, 3), 0);
	ck_assert_int_eq(runtime_listen(&runtime, 0600, (gid_t)-1), 0);
	ck_assert_int_eq(try_to_connect(runtime.socket_path), 0);
	runtime_close(&runtime);
}
END_TEST

START_TEST(links_are_not_followed)
{
	char real[64];
	snprintf(real, sizeof real, "%s/real", top);
	ck_assert_int_eq(mkdir(real, 0755), 0);
	ck_assert_int_eq(symlink(real, path), 0);
	ck_assert_int_eq(open_it(), -ENOTDIR);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(symlink("/dev/null", in_directory("lock")), 0);
	ck_assert_int_eq(open_it(), -ELOOP);
	ck_assert_int_eq(unlink(in_directory("lock")), 0);
	ck_assert_int_eq(symlink(real, in_directory("terms")), 0);
	ck_assert_int_eq(open_it(), -ELOOP);
}
END_TEST

static void make_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

static off_t size_of(const char *name)
{
	struct stat status;
	ck_assert_int_eq(lstat(name, &status), 0);
	return status.st_size;
}

START_TEST(other_files_names_are_refused)
{
	static const char *const names[] = {"lock", "terms"};
	char real[64];
	snprintf(real, sizeof real, "%s/real", top);
	make_file(real, "precious", 0600);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(link(real, in_directory(names[i])), 0);
		ck_assert_int_eq(open_it(), -EPERM);
		ck_assert_int_eq(size_of(real), 8);
		ck_assert_int_eq(unlink(in_directory(names[i])), 0);
	}
	ck_assert_int_eq(unlink(in_directory("lock")), 0);
	ck_assert_int_eq(mkfifo(in_directory("lock"), 0600), 0);
	ck_assert_int_eq(open_it(), -EPERM);
	ck_assert_int_eq(unlink(in_directory("lock")), 0);
	ck_assert_int_eq(open_it(), 0);
}
END_TEST

START_TEST(a_socket_that_is_a_link_is_replaced)
{
	struct runtime runtime;
	char real[64];
	snprintf(real, sizeof real, "%s/real", top);
	make_file(real, "precious", 0600);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(symlink(real, in_directory("tenured.sock")), 0);
	ck_assert_int_eq(symlink(real, in_directory("terms.new")), 0);
	ck_assert_int_eq(runtime_open(&runtime, path, 3), 0);
	ck_assert_int_eq(runtime_listen(&runtime, 0660, (gid_t)-1), 0);
	ck_assert_uint_eq(mode_of(real), 0600);
	ck_assert_int_eq(size_of(real), 8);
	ck_assert_int_eq(try_to_connect(runtime.socket_path), 0);
	runtime_close(&runtime);
}
END_TEST

// Whoever can open the lock file can hold the lock, and the daemon could not start.
START_TEST(nobody_else_may_lock)
{
	ck_assert_int_eq(mkdir(path, 0755), 0);
	for (mode_t mode = 0604; mode <= 0640; mode += 0034) {
		make_file(in_directory("lock"), "", mode);
		ck_assert_int_eq(open_it(), -EPERM);
	}
	make_file(in_directory("lock"), "", 0600);
	ck_assert_int_eq(open_it(), 0);
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(chown(in_directory("lock"), 12345, (gid_t)-1), 0);
	ck_assert_int_eq(open_it(), -EPERM);
}
END_TEST

START_TEST(nobody_else_may_replace_it)
{
	ck_assert_int_eq(chmod(top, 0777), 0);
	ck_assert_int_eq(open_it(), -EPERM);
	ck_assert_int_eq(chmod(top, 01777), 0);
	ck_assert_int_eq(open_it(), 0);
	ck_assert_int_eq(chmod(top, 0775), 0);
	ck_assert_int_eq(open_it(), 0); // a group of our own
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(chown(top, (uid_t)-1, 12345), 0);
	ck_assert_int_eq(open_it(), -EPERM);
	ck_assert_int_eq(chmod(top, 0755), 0);
	ck_assert_int_eq(open_it(), 0);
	ck_assert_int_eq(chown(top, 12345, (gid_t)-1), 0);
	ck_assert_int_eq(chmod(top, 01755), 0);
	ck_assert_int_eq(open_it(), -EPERM);
	ck_assert_int_eq(chown(top, 0, (gid_t)-1), 0);
}
END_TEST

// Not by the path that was given, nor by what that leads to.
START_TEST(nobody_else_may_replace_what_a_link_leads_to)
{
	char open_to_all[sizeof top + 8], inner[sizeof top + 16], link[sizeof top + 8];
	snprintf(open_to_all, sizeof open_to_all, "%s/open", top);
	snprintf(inner, sizeof inner, "%s/open/inner", top);
	snprintf(link, sizeof link, "%s/link", top);
	ck_assert_int_eq(mkdir(open_to_all, 0755), 0);
	ck_assert_int_eq(mkdir(inner, 0755), 0);
	ck_assert_int_eq(symlink(inner, link), 0);
	snprintf(path, sizeof path, "%s/link/run", top);
	ck_assert_int_eq(open_it(), 0);
	ck_assert_int_eq(chmod(open_to_all, 0777), 0);
	ck_assert_int_eq(open_it(), -EPERM);
}
END_TEST

START_TEST(nobody_else_may_write_there)
{
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(chmod(path, 0775), 0);
	ck_assert_int_eq(open_it(), -EPERM);
	ck_assert_int_eq(chmod(path, 01777), 0);
	ck_assert_int_eq(open_it(), -EPERM);
	ck_assert_int_eq(chmod(path, 0750), 0);
	ck_assert_int_eq(open_it(), 0);
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(chown(path, 12345, (gid_t)-1), 0);
	ck_assert_int_eq(open_it(), -EPERM);
}
END_TEST

START_TEST(what_cannot_be_is_said)
{
	snprintf(path, sizeof path, "%s/no/run", top);
	ck_assert_int_eq(open_it(), -ENOENT);
	snprintf(path, sizeof path, "%s/file", top);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(open_it(), -ENOTDIR);
}
END_TEST

START_TEST(a_socket_has_a_short_path)
{
	struct runtime runtime;
	char deep[128];
	snprintf(deep, sizeof deep, "%s/%080d", top, 7);
	ck_assert_int_eq(runtime_open(&runtime, deep, 3), -ENAMETOOLONG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runtime");
	TCase *tests = tcase_create("directory");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, it_is_made_and_left);
	tcase_add_test(tests, the_socket_gets_its_group);
	tcase_add_test(tests, one_daemon_each);
	tcase_add_test(tests, a_killed_daemons_socket_is_replaced);
	tcase_add_test(tests, links_are_not_followed);
	tcase_add_test(tests, other_files_names_are_refused);
	tcase_add_test(tests, a_socket_that_is_a_link_is_replaced);
	tcase_add_test(tests, nobody_else_may_lock);
	tcase_add_test(tests, nobody_else_may_replace_it);
	tcase_add_test(tests, nobody_else_may_replace_what_a_link_leads_to);
	tcase_add_test(tests, nobody_else_may_write_there);
	tcase_add_test(tests, what_cannot_be_is_said);
	tcase_add_test(tests, a_socket_has_a_short_path);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
