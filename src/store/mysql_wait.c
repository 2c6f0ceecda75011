// SPDX-License-Identifier: Apache-2.0
// The MySQL driver's waiter.
//
// The databases have no NOTIFY. In its place, each daemon has a second connection with a thread, the waiter, on which
// runs nothing but a statement that waits, and says in its text for which database. Who changed a lease looks such
// texts up in the list of statements, which without privileges shows those of the same user, and interrupts what it
// finds with KILL QUERY. It waits for a lock that the daemon's own first connection holds: the name means nothing, and
// nobody else wants it. (A SLEEP does not do: MariaDB has one mutex for all of them, and a KILL QUERY that meets
// another's end stalls for seconds.)
//
// It is a hint, as LISTEN is (rule 13): where it does not work, because the daemons have different users, sit on
// different nodes or behind a pooler, a change is seen by the next poll. It costs the server a connection a daemon, two
// statements a minute, and a look at the list of statements for each change of a lease. A number that was used again
// since it was looked up could only be that of another connection of the same user, and costs it one statement.
#include "mysql_link.h"

#include "clock.h"
#include "mysql_sql.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_S 30
// How much longer the answer may take.
#define WAIT_MORE_S 10
#define WAIT_START "SELECT GET_LOCK("
// The server allows 256 characters for the name of a column.
#define WAIT_MARK_SIZE 240
// Before it is tried again.
#define WAIT_RETRY_MS 5000
// A wait that ended by itself sooner would turn into a busy loop.
#define WAIT_LEAST_NS NS_PER_S

struct waiter {
	pthread_t thread;
	const struct store_link *link; // its configuration
	int wake_fd;                   // to the thread: look at the rest
	int hint_fd;                   // to the store: something was announced
	pthread_mutex_t lock;
	// Under the lock:
	const struct host *host;   // NULL: not known yet
	char mark[WAIT_MARK_SIZE]; // what the statement ends with
	char text[WAIT_TEXT_SIZE]; // the statement
	int fd;                    // -1: none
	unsigned long id;          // of the connection
	bool closing;
};

static void raise_event(int fd)
{
	// It fails only where the counter is full, and then it is readable as well.
	(void)eventfd_write(fd, 1);
}

// Makes the socket known to who may shut it down; false where it is not wanted
// any more.
static bool waiter_attach(struct waiter *waiter, MYSQL *connection, const struct host *host)
{
	pthread_mutex_lock(&waiter->lock);
	bool wanted = !waiter->closing && waiter->host == host;
	if (wanted) {
		waiter->fd = my_socket_of(connection);
		waiter->id = mysql_thread_id(connection);
	}
	pthread_mutex_unlock(&waiter->lock);
	return wanted;
}

static void waiter_detach(struct waiter *waiter)
{
	pthread_mutex_lock(&waiter->lock);
	waiter->fd = -1;
	waiter->id = 0;
	pthread_mutex_unlock(&waiter->lock);
}

static bool wait_send(MYSQL *connection, const char *text)
{
	return mysql_send_query(connection, text, strlen(text)) == 0;
}

// Whether it was interrupted, which is an error or NULL; and whether there is a
// connection still.
static bool wait_receive(MYSQL *connection, bool *ret_connected)
{
	bool failed = mysql_read_query_result(connection) != 0;
	MYSQL_RES *result = failed ? NULL : mysql_store_result(connection);
	MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
	bool interrupted = failed ? mysql_errno(connection) == INTERRUPTED : row && !row[0];
	mysql_free_result(result);
	*ret_connected = !failed || interrupted;
	return interrupted;
}

// Until the connection ends, which is worth a look as well. It waits again
// before it tells, or what is announced while the leases are being looked at
// would be missed.
static void wait_loop(struct waiter *waiter, MYSQL *connection, const char *text)
{
	bool goes_on = wait_send(connection, text);
	while (goes_on) {
		int64_t begun_at = clock_now_ns();
		bool interrupted = wait_receive(connection, &goes_on);
		goes_on = goes_on && (interrupted || clock_now_ns() - begun_at >= WAIT_LEAST_NS) &&
			  wait_send(connection, text);
		if (interrupted || !goes_on)
			raise_event(waiter->hint_fd);
	}
}

static void wait_on(struct waiter *waiter, const struct host *host, const char *text)
{
	MYSQL *connection = my_connect_host(waiter->link, host, (WAIT_S + WAIT_MORE_S) * NS_PER_S);
	if (!connection)
		return;
	if (mysql_errno(connection) == 0 && waiter_attach(waiter, connection, host))
		wait_loop(waiter, connection, text);
	waiter_detach(waiter);
	mysql_close(connection);
}

static void *waiter_run(void *argument)
{
	struct waiter *waiter = argument;
	mysql_thread_init();
	pthread_mutex_lock(&waiter->lock);
	while (!waiter->closing) {
		const struct host *host = waiter->host;
		char text[WAIT_TEXT_SIZE];
		memcpy(text, waiter->text, sizeof text);
		pthread_mutex_unlock(&waiter->lock);
		if (host)
			wait_on(waiter, host, text);
		struct pollfd wake = {.fd = waiter->wake_fd, .events = POLLIN};
		eventfd_t count;
		if (poll(&wake, 1, host ? WAIT_RETRY_MS : -1) > 0)
			(void)eventfd_read(waiter->wake_fd, &count);
		pthread_mutex_lock(&waiter->lock);
	}
	pthread_mutex_unlock(&waiter->lock);
	mysql_thread_end();
	return NULL;
}

// Under the lock.
static void waiter_interrupt(const struct waiter *waiter)
{
	if (waiter->fd >= 0)
		shutdown(waiter->fd, SHUT_RDWR);
	raise_event(waiter->wake_fd);
}

// It waits at the server that the exchanges go to, for changes of the database
// of that name, while the connection of that number lives.
void my_waiter_follow(struct waiter *waiter, const struct host *host, unsigned long connection, const char *database)
{
	char text[WAIT_TEXT_SIZE], mark[WAIT_MARK_SIZE] = "AS 'a tenured waits for a change of ";
	size_t used = strlen(mark);
	// In hexadecimal, since a name can contain whatever ends a text; as much of
	// it as there is room for.
	for (; *database && used + 4 < sizeof mark; database++)
		used += (size_t)snprintf(mark + used, 3, "%02x", (unsigned)(unsigned char)*database);
	snprintf(mark + used, sizeof mark - used, "'");
	snprintf(text, sizeof text, WAIT_START "'" WAIT_LOCK "', %d) %s", connection, WAIT_S, mark);
	pthread_mutex_lock(&waiter->lock);
	if (waiter->host != host || strcmp(waiter->text, text) != 0 || waiter->fd < 0) {
		waiter->host = host;
		memcpy(waiter->mark, mark, sizeof mark);
		memcpy(waiter->text, text, sizeof text);
		waiter_interrupt(waiter);
	}
	pthread_mutex_unlock(&waiter->lock);
}

int my_waiter_new(struct waiter **ret, const struct store_link *link)
{
	struct waiter *waiter = calloc(1, sizeof *waiter);
	if (!waiter)
		return -ENOMEM;
	waiter->link = link;
	waiter->fd = -1;
	pthread_mutex_init(&waiter->lock, NULL);
	waiter->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	waiter->hint_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int error = waiter->wake_fd < 0 || waiter->hint_fd < 0 ? -errno : 0;
	if (error == 0)
		error = store_start_thread(&waiter->thread, waiter_run, waiter);
	if (error == 0) {
		*ret = waiter;
		return 0;
	}
	if (waiter->wake_fd >= 0)
		close(waiter->wake_fd);
	if (waiter->hint_fd >= 0)
		close(waiter->hint_fd);
	pthread_mutex_destroy(&waiter->lock);
	free(waiter);
	return error;
}

void my_waiter_free(struct waiter *waiter)
{
	if (!waiter)
		return;
	pthread_mutex_lock(&waiter->lock);
	waiter->closing = true;
	waiter_interrupt(waiter);
	pthread_mutex_unlock(&waiter->lock);
	pthread_join(waiter->thread, NULL);
	pthread_mutex_destroy(&waiter->lock);
	close(waiter->wake_fd);
	close(waiter->hint_fd);
	free(waiter);
}

bool my_is_galera(const struct exchange_reply *reply)
{
	return strncmp(reply->server.text, GALERA, strlen(GALERA)) == 0;
}

// Whether what others announce is not heard: nobody waits, or they may sit at other nodes.
bool my_is_deaf(const struct store_link *link, const struct exchange_reply *reply)
{
	pthread_mutex_lock(&link->waiter->lock);
	bool waits = link->waiter->fd >= 0;
	pthread_mutex_unlock(&link->waiter->lock);
	return !waits || my_is_galera(reply);
}

// Who else waits, to be interrupted by my_announce(). The last statement, since it
// is for others.
void my_put_waiters(struct store_link *link)
{
	pthread_mutex_lock(&link->waiter->lock);
	my_put_statement(link, WAITERS,
		"SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE "
		"'" WAIT_START "%' AND RIGHT(INFO, ");
	my_put_number(link, (int64_t)strlen(link->waiter->mark));
	my_put(link, ") = ");
	my_put_text(link, link->waiter->mark);
	my_put(link, " AND ID <> ");
	my_put_number(link, (int64_t)link->waiter->id);
	pthread_mutex_unlock(&link->waiter->lock);
}

// Sends and does not wait: nobody's exchange depends on it. One that went away
// meanwhile ends the packet.
void my_announce(struct store_link *link, struct store_answer *answer)
{
	if (link->waiter_count == 0 || !my_packet_new(link, answer))
		return;
	for (size_t i = 0; i < link->waiter_count; i++)
		fprintf(link->out, "%sKILL QUERY %lu", i ? ";" : "", link->waiters[i]);
	if (fclose(link->out) == 0 && mysql_send_query(link->connection, link->text, link->text_size) == 0)
		link->owed = true;
	else
		link->broken = true;
	free(link->text);
}

int my_hint_fd(struct store_link *link)
{
	return link->waiter->hint_fd;
}

bool my_take_hint(struct store_link *link, struct store_hint *hint)
{
	(void)hint;
	eventfd_t count;
	return eventfd_read(link->waiter->hint_fd, &count) == 0;
}
