// SPDX-License-Identifier: Apache-2.0
#include "runtime.h"

#include "log.h"
#include "notify.h"
#include "words.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY_MODE 0755
#define BACKLOG 512
// Slots beyond those needed now, so that a page need not be replaced as soon as a component is added.
#define SPARE_SLOTS 128
#define HOLDER_BYTES 64
// A daemon that was killed a moment ago may still be on its way out.
#define LOCK_TRIES 50
#define LOCK_PAUSE_NS (10 * 1000 * 1000)

static int complain(int error, const char *path, const char *problem)
{
	log_error("runtime", log_text("path", path), log_text("problem", problem), log_errno("error", error));
	return error;
}

static int make_paths(struct runtime *runtime, const char *directory)
{
	int made = 0;
	runtime->directory = strdup(directory);
	made += asprintf(&runtime->socket_path, "%s/" WIRE_SOCKET_NAME, directory) >= 0;
	made += asprintf(&runtime->terms_path, "%s/" WIRE_TERMS_NAME, directory) >= 0;
	if (!runtime->directory || made < 2)
		return complain(-ENOMEM, directory, "out of memory");
	if (strlen(runtime->socket_path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return complain(-ENAMETOOLONG, runtime->socket_path,
			"a socket's path has at most 107 bytes; choose a shorter runtime_dir");
	return 0;
}

// Whoever may write to a directory above could put another one in the place of ours, but for a sticky bit; who owns it
// could in any case.
static int check_parent(const char *path)
{
	struct stat status;
	if (stat(path, &status) < 0)
		return complain(-errno, path, "cannot look at it");
	if (status.st_uid != 0 && status.st_uid != geteuid())
		return complain(-EPERM, path,
			"its owner could replace the runtime_dir in it; it has to be root's or the daemon's own");
	bool group = (status.st_mode & S_IWGRP) && status.st_gid != 0 && status.st_gid != getegid();
	if ((group || (status.st_mode & S_IWOTH)) && !(status.st_mode & S_ISVTX))
		return complain(-EPERM, path,
			"others could replace the runtime_dir in it; chmod go-w it, or make it sticky (chmod +t)");
	return 0;
}

// Also where it says something else than the path, as /var/run does.
static int check_parents(const char *path, bool resolved)
{
	char parent[PATH_MAX];
	snprintf(parent, sizeof parent, "%s", path);
	for (char *slash = strrchr(parent, '/'); slash; slash = strrchr(parent, '/')) {
		*slash = '\0';
		int error = check_parent(slash == parent ? "/" : parent);
		if (error < 0)
			return error;
	}
	if (resolved)
		return 0;
	if (!realpath(path, parent))
		return complain(-errno, path, "cannot look at it");
	return check_parents(parent, true);
}

// Whoever else may write here could replace the socket, the page and the lock.
static int check_directory(const struct runtime *runtime)
{
	struct stat status;
	if (fstat(runtime->directory_fd, &status) < 0)
		return complain(-errno, runtime->directory, "cannot look at it");
	if (status.st_uid != geteuid())
		return complain(-EPERM, runtime->directory, "the directory belongs to another user");
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return complain(-EPERM, runtime->directory, "others may write to the directory; chmod go-w it");
	return check_parents(runtime->directory, false);
}

static int open_directory(struct runtime *runtime)
{
	bool made = mkdir(runtime->directory, DIRECTORY_MODE) == 0;
	if (!made && errno != EEXIST)
		return complain(-errno, runtime->directory, "cannot make the directory; does its parent exist?");
	runtime->directory_fd = open(runtime->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (runtime->directory_fd < 0)
		return complain(
			-errno, runtime->directory, "not a directory of ours (a symbolic link is not followed)");
	if (made && fchmod(runtime->directory_fd, DIRECTORY_MODE) < 0)
		return complain(-errno, runtime->directory, "cannot set its mode");
	return check_directory(runtime);
}

static int complain_of_holder(const struct runtime *runtime)
{
	char holder[HOLDER_BYTES] = "";
	ssize_t size = pread(runtime->lock_fd, holder, sizeof holder - 1, 0);
	holder[size > 0 ? size : 0] = '\0';
	holder[strcspn(holder, "\n")] = '\0';
	log_error("runtime", log_text("path", runtime->directory),
		log_text("problem", "another tenured has this runtime_dir; stop it, or give each its own"),
		log_text("pid", holder));
	return -EBUSY;
}

static int try_lock(int fd)
{
	int result = flock(fd, LOCK_EX | LOCK_NB);
	for (int tries = 1; result < 0 && errno == EWOULDBLOCK && tries < LOCK_TRIES; tries++) {
		nanosleep(&(struct timespec){.tv_nsec = LOCK_PAUSE_NS}, NULL);
		result = flock(fd, LOCK_EX | LOCK_NB);
	}
	return result;
}

// What was put there while others could write to the directory: another file's name that is not to be overwritten, or
// a lock that they could hold for ever.
static int check_lock(const struct runtime *runtime)
{
	struct stat status;
	if (fstat(runtime->lock_fd, &status) < 0)
		return complain(-errno, runtime->directory, "cannot look at the lock file in it");
	if (!S_ISREG(status.st_mode) || status.st_nlink != 1)
		return complain(-EPERM, runtime->directory,
			"the lock in it is no regular file of one name (no hard link); remove it");
	if (status.st_uid != geteuid() || (status.st_mode & (S_IRWXG | S_IRWXO)))
		return complain(-EPERM, runtime->directory, "others have a right to the lock file in it; remove it");
	return 0;
}

static int take_lock(struct runtime *runtime)
{
	runtime->lock_fd = openat(
		runtime->directory_fd, RUNTIME_LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (runtime->lock_fd < 0)
		return complain(-errno, runtime->directory, "cannot open the lock file in it");
	int error = check_lock(runtime);
	if (error < 0)
		return error;
	if (try_lock(runtime->lock_fd) < 0)
		return errno == EWOULDBLOCK ? complain_of_holder(runtime)
					    : complain(-errno, runtime->directory, "cannot lock the lock file in it");
	// For the message above only.
	char holder[HOLDER_BYTES];
	int size = snprintf(holder, sizeof holder, "%d\n", (int)getpid());
	if (ftruncate(runtime->lock_fd, 0) < 0 || pwrite(runtime->lock_fd, holder, (size_t)size, 0) != size)
		return complain(-errno, runtime->directory, "cannot write the lock file in it");
	return 0;
}

static int open_page(struct runtime *runtime, size_t component_count)
{
	char why[PAGE_WHY_SIZE] = "";
	size_t slots = component_count + SPARE_SLOTS;
	if (slots > PAGE_SLOTS_MAX)
		slots = PAGE_SLOTS_MAX;
	int kept =
		page_open(&runtime->page, runtime->terms_path, runtime->boot_id, (uint32_t)slots, clock_now_ns(), why);
	if (kept < 0)
		return complain(kept, runtime->terms_path, why);
	if (kept == 0)
		log_info("terms-page", log_text("path", runtime->terms_path), log_text("fresh", why));
	return 0;
}

int runtime_open(struct runtime *ret, const char *directory, size_t component_count)
{
	struct runtime runtime = {.directory_fd = -1, .lock_fd = -1, .listen_fd = -1};
	int error = clock_boot_id(runtime.boot_id);
	if (error < 0)
		return complain(error, "/proc/sys/kernel/random/boot_id", "cannot read the boot id; is /proc mounted?");
	error = make_paths(&runtime, directory);
	if (error == 0)
		error = open_directory(&runtime);
	if (error == 0)
		error = take_lock(&runtime);
	if (error == 0)
		error = open_page(&runtime, component_count);
	if (error < 0) {
		runtime_close(&runtime);
		return error;
	}
	*ret = runtime;
	return 0;
}

// The socket is born closed to others and is opened to them only when it has its group.
static int bind_socket(const struct runtime *runtime, int fd, mode_t mode, gid_t gid)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s", runtime->socket_path);
	if (unlinkat(runtime->directory_fd, WIRE_SOCKET_NAME, 0) < 0 && errno != ENOENT)
		return complain(-errno, runtime->socket_path, "cannot remove the old socket");
	mode_t before = umask(0177);
	int result = bind(fd, (const struct sockaddr *)&address, sizeof address);
	int error = result < 0 ? -errno : 0;
	umask(before);
	if (error < 0)
		return complain(error, runtime->socket_path, "cannot bind the socket");
	if (gid != (gid_t)-1 &&
		fchownat(runtime->directory_fd, WIRE_SOCKET_NAME, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return complain(-errno, runtime->socket_path, "cannot give the socket to socket_group");
	if (fchmodat(runtime->directory_fd, WIRE_SOCKET_NAME, mode, 0) < 0)
		return complain(-errno, runtime->socket_path, "cannot set socket_mode");
	if (listen(fd, BACKLOG) < 0)
		return complain(-errno, runtime->socket_path, "cannot listen");
	return 0;
}

// Its mode and group are the socket unit's to say.
static int inherit_socket(struct runtime *runtime, int fd)
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof address, type_size = sizeof(int);
	int type = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) < 0 || type != SOCK_STREAM ||
		getsockname(fd, (struct sockaddr *)&address, &size) < 0 || address.sun_family != AF_UNIX ||
		strncmp(address.sun_path, runtime->socket_path, sizeof address.sun_path) != 0)
		return complain(-ENOTSOCK, runtime->socket_path,
			"the socket unit passes another socket; it needs ListenStream= with this path");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return complain(-errno, runtime->socket_path, "cannot use the socket unit's socket");
	runtime->listen_fd = fd;
	runtime->inherited = true;
	return 0;
}

int runtime_listen(struct runtime *runtime, mode_t mode, gid_t gid)
{
	int inherited = notify_listen_fd();
	if (inherited >= 0)
		return inherit_socket(runtime, inherited);
	if (inherited != -ENOENT)
		return complain(inherited, runtime->socket_path, "the socket unit passes several sockets; only one");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return complain(-errno, runtime->socket_path, "cannot make a socket");
	int error = bind_socket(runtime, fd, mode, gid);
	if (error < 0) {
		close(fd);
		return error;
	}
	runtime->listen_fd = fd;
	return 0;
}

static void close_if_open(int fd)
{
	if (fd >= 0)
		close(fd);
}

void runtime_close(struct runtime *runtime)
{
	page_free(runtime->page);
	if (runtime->listen_fd >= 0 && !runtime->inherited)
		unlinkat(runtime->directory_fd, WIRE_SOCKET_NAME, 0);
	close_if_open(runtime->listen_fd);
	close_if_open(runtime->lock_fd);
	close_if_open(runtime->directory_fd);
	free(runtime->directory);
	free(runtime->socket_path);
	free(runtime->terms_path);
	*runtime = (struct runtime){.directory_fd = -1, .lock_fd = -1, .listen_fd = -1};
}
