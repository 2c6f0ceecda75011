// SPDX-License-Identifier: Apache-2.0
// The runtime directory: one daemon each, its lock, its terms page, its socket.
#ifndef TENURE_RUNTIME_H
#define TENURE_RUNTIME_H

#include "base.h"
#include "clock.h"
#include "page.h"

#include <sys/types.h>

#define RUNTIME_LOCK_NAME "lock"

struct runtime {
	char *directory;
	char *socket_path;
	char *terms_path;
	int directory_fd;
	int lock_fd;
	int listen_fd;  // -1 until runtime_listen()
	bool inherited; // the socket is systemd's, and stays
	char boot_id[BOOT_ID_SIZE];
	struct page *page;
};

// Makes the directory where it is missing (its parent has to be there), locks it, and opens the terms page with
// room for `component_count` components. 0 or -errno after a line in the log: -EBUSY: another daemon has it.
int runtime_open(struct runtime *ret, const char *directory, size_t component_count) MUST_CHECK;
// The socket: systemd's, where it brought one, else its own in place of one that a killed daemon left. `gid` is
// (gid_t)-1 where the group is the daemon's own. Call it while there is one thread: the umask is the process's.
int runtime_listen(struct runtime *runtime, mode_t mode, gid_t gid) MUST_CHECK;
// Removes the daemon's own socket; the page stays for the next daemon and for workers that look at it.
void runtime_close(struct runtime *runtime);

#endif
