// SPDX-License-Identifier: Apache-2.0
#include "mirror.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sql.h"

// What is one name on every database, fits into its column, and is one word of a line.
static int is_name(const char *name)
{
	for (const char *at = name; *at; at++)
		if (*at <= ' ' || *at > '~' || (*at >= 'A' && *at <= 'Z'))
			return 0;
	return strlen(name) <= MIRROR_NAME_MAX;
}

// The first line of the file; below 0 where there is none, or one that no database would take.
static int read_text(const char *directory, const char *name, char text[MIRROR_TEXT_SIZE])
{
	char path[4096];
	if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
		return -ENAMETOOLONG;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t size = read(fd, text, MIRROR_TEXT_SIZE - 1);
	close(fd);
	if (size < 0)
		return -EIO;
	text[size] = '\0';
	text[strcspn(text, "\n")] = '\0';
	for (const char *at = text; *at; at++)
		if (*at < ' ' || *at > '~')
			return -EINVAL;
	return 0;
}

static int insert(struct mirror *m, const char *name, char *text)
{
	const char *values[MIRROR_VALUES_MAX + 1];
	char term[24];
	int count = m->derive(name, text, values);
	if (count == 0)
		return 0;
	snprintf(term, sizeof term, "%llu", (unsigned long long)m->term);
	values[count] = term;
	return sql_do(m->sql, m->insert, values, count + 1);
}

// Looks at the file as it is now, however old the news of it.
static int put(struct mirror *m, const char *name)
{
	char text[MIRROR_TEXT_SIZE];
	if (!is_name(name))
		return 0;
	if (sql_do(m->sql, m->remove, &name, 1) < 0)
		return -1;
	return read_text(m->directory, name, text) < 0 ? 0 : insert(m, name, text);
}

static int put_all(struct mirror *m)
{
	const struct dirent *entry;
	int status = 0;
	DIR *directory = opendir(m->directory);
	if (!directory || sql_do(m->sql, m->clear, NULL, 0) < 0)
		status = -1;
	while (status == 0 && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			status = put(m, entry->d_name);
	if (directory)
		closedir(directory);
	return status;
}

// One fenced transaction: of an older term than the lease's nothing is written, whatever we believe (W6).
static int store(struct mirror *m, const char *const names[], int count)
{
	int status = sql_begin(m->sql, m->lease, m->term);
	if (status == 0 && count == 0)
		status = put_all(m);
	for (int i = 0; status == 0 && i < count; i++)
		status = put(m, names[i]);
	return status == 0 ? sql_commit(m->sql) : status;
}

static void tell(struct mirror *m, const char *name)
{
	char line[FEED_LINE_SIZE], text[MIRROR_TEXT_SIZE];
	const char *values[MIRROR_VALUES_MAX + 1];
	if (!is_name(name))
		return;
	int there = read_text(m->directory, name, text) == 0 && m->derive(name, text, values) > 0;
	snprintf(line, sizeof line, "%s %s\n", there ? "put" : "gone", name);
	feed_send(&m->feed, line);
}

static void on_changed(struct watch *watch, const char *const names[], int count)
{
	struct mirror *m = (struct mirror *)((char *)watch - offsetof(struct mirror, watch));
	if (!worker_valid(&m->work))
		return; // the end of the term is about to be told
	if (store(m, names, count) < 0) {
		worker_failed(&m->work);
		return;
	}
	if (count == 0)
		feed_restart(&m->feed);
	for (int i = 0; i < count; i++)
		tell(m, names[i]);
}

static void stop(struct work *work)
{
	struct mirror *m = (struct mirror *)work;
	feed_stop(&m->feed);
	watch_stop(&m->watch);
	sql_close(m->sql);
}

// The watch comes before the list: what changes meanwhile is heard of. Subscribers come when the table is complete.
static int start(struct work *work, const char *lease, uint64_t term)
{
	struct mirror *m = (struct mirror *)work;
	m->lease = lease;
	m->term = term;
	m->sql = sql_open(m->database);
	if (!m->sql)
		return -1;
	m->watch.changed = on_changed;
	int error = watch_start(&m->watch, work->loop, m->directory);
	if (error < 0)
		goto no_watch;
	if (store(m, NULL, 0) < 0)
		goto no_table;
	error = feed_start(&m->feed, work->loop, m->events);
	if (error == 0)
		return 0;
no_table:
	watch_stop(&m->watch);
no_watch:
	if (error < 0)
		fprintf(stderr, "%s, %s: %s\n", m->directory, m->events, strerror(-error));
	sql_close(m->sql);
	return -1;
}

int mirror_main(struct mirror *m, const char *component, int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s DATABASE DIRECTORY SOCKETS\n", component);
		return 2;
	}
	m->database = argv[1];
	m->directory = argv[2];
	if (snprintf(m->events, sizeof m->events, "%s/%s.events", argv[3], component) >= (int)sizeof m->events) {
		fprintf(stderr, "%s: too long: %s\n", component, argv[3]);
		return 2;
	}
	m->work.start = start;
	m->work.stop = stop;
	m->work.loop = ev_default_loop(0);
	return worker_run(&m->work, component);
}
