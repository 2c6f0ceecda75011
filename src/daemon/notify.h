// SPDX-License-Identifier: Apache-2.0
// What systemd is told: the datagrams of sd_notify(3) and the watchdog's interval, without its library.
#ifndef TENURE_NOTIFY_H
#define TENURE_NOTIFY_H

#include "base.h"

// Longer states are refused, longer status texts are cut.
#define NOTIFY_STATE_BYTES 1024

// Each returns 1 where the message went out, 0 where nobody listens ($NOTIFY_SOCKET is not set), or -errno: a
// warning's worth, no more. None of them blocks.
int notify_ready(void);
int notify_reloading(void);
int notify_stopping(void);
int notify_watchdog(void);
// One line for people.
int notify_status(const char *format, ...) PRINTF_LIKE(1, 2);
// Any lines of the protocol, such as "READY=1\nSTATUS=…".
int notify_send(const char *state);

// The one listening socket that systemd's tenured.socket brought. -ENOENT: none; -E2BIG: several.
int notify_listen_fd(void) MUST_CHECK;

// Half of the interval in which systemd wants notify_watchdog(), or INT64_MAX where it wants none of this process.
int64_t notify_watchdog_interval_ns(void);

#endif
