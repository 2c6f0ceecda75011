// SPDX-License-Identifier: Apache-2.0
// The MySQL driver's connection: which server, how it is reached, and what its errors mean.
#include "mysql_link.h"

#include "clock.h"
#include "mysql_sql.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>

#define PORT_MAX 65535
#define MIN_MARIADB 100600
#define MIN_MYSQL 80013
// A password of fewer characters would be found in any text.
#define SECRET_BYTES 4
#define OPTION_GROUP "tenure"

// ---- errors ----

#define ADVICE_INIT "run tenurectl init"
#define ADVICE_GRANT \
	"grant SELECT, INSERT, UPDATE and DELETE on the tenure tables to the " \
	"daemon's user"
#define ADVICE_LOGIN \
	"check the user and the password in the configuration, and the server's " \
	"accounts"
#define ADVICE_PRIMARY "name the writable primary in host"
#define ADVICE_DATABASE \
	"create the database or name another one; tenurectl init creates that of " \
	"schema"
#define ADVICE_TLS "check tls, tls_ca and the server's certificate"

// By the numbers that both vendors give them (R7); the client library's own
// begin at 2000.
static const struct error_class error_classes[] = {
	{1205, EXCHANGE_BUSY, false, NULL},             // lock time-out
	{1213, EXCHANGE_BUSY, false, NULL},             // deadlock; on Galera, a conflict at certification
	{1020, EXCHANGE_BUSY, false, NULL},             // the row changed since it was read
	{1317, EXCHANGE_BUSY, false, NULL},             // interrupted
	{1969, EXCHANGE_BUSY, false, NULL},             // MariaDB's max_statement_time
	{3024, EXCHANGE_BUSY, false, NULL},             // MySQL's max_execution_time
	{3572, EXCHANGE_BUSY, false, NULL},             // a lock that NOWAIT did not get
	{1290, EXCHANGE_DENIED, true, ADVICE_PRIMARY},  // --read-only and the like
	{1792, EXCHANGE_DENIED, true, ADVICE_PRIMARY},  // read-only transaction
	{1836, EXCHANGE_DENIED, true, ADVICE_PRIMARY},  // read-only mode
	{1044, EXCHANGE_DENIED, true, ADVICE_GRANT},    // database
	{1142, EXCHANGE_DENIED, false, ADVICE_GRANT},   // table
	{1143, EXCHANGE_DENIED, false, ADVICE_GRANT},   // column
	{1045, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // user or password
	{1698, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // the same without a password
	{1130, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // from this host
	{1251, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // by this client's way of authentication
	{1862, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // expired password
	{4151, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // locked account
	{3118, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // the same, MySQL's
	{3159, EXCHANGE_DENIED, true, ADVICE_TLS},      // the server wants TLS
	{2026, EXCHANGE_DENIED, true, ADVICE_TLS},      // TLS failed
	{2059, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // no plugin for it
	{2061, EXCHANGE_DENIED, true, ADVICE_LOGIN},    // a password that would go in the clear
	{1049, EXCHANGE_DENIED, true, ADVICE_DATABASE}, // no such database
	{1046, EXCHANGE_DENIED, true, "set database"},  // none selected
	{1146, EXCHANGE_DENIED, false, ADVICE_INIT},    // no such table
	{1054, EXCHANGE_DENIED, false, ADVICE_INIT},    // no such column
	{1114, EXCHANGE_DENIED, false, "make room on the server's disk"},
	{1021, EXCHANGE_DENIED, false, "make room on the server's disk"},
	{1665, EXCHANGE_DENIED, true, "set binlog_format to ROW or MIXED"},
	{1064, EXCHANGE_DENIED, true, "MariaDB 10.6 or MySQL 8.0.13 is needed"},
	{1040, EXCHANGE_UNAVAILABLE, true, "raise max_connections or lower the number of clients"},
	{1203, EXCHANGE_UNAVAILABLE, true, "raise max_user_connections or lower the number of clients"},
	{1226, EXCHANGE_UNAVAILABLE, true, "raise the account's limits"},
	{1047, EXCHANGE_UNAVAILABLE, true, NULL}, // a Galera node without its cluster
	{1053, EXCHANGE_UNAVAILABLE, true, NULL}, // shutting down
	{1927, EXCHANGE_UNAVAILABLE, true, NULL}, // killed
	{4031, EXCHANGE_UNAVAILABLE, true, NULL}, // idle for too long
	{2002, EXCHANGE_UNAVAILABLE, true, NULL}, // no such socket
	{2003, EXCHANGE_UNAVAILABLE, true, NULL}, // refused
	{2005, EXCHANGE_UNAVAILABLE, true, NULL}, // unknown host
};

const struct error_class *my_classify(unsigned code)
{
	static const struct error_class other = {
		0, EXCHANGE_DENIED, true, "this was not expected: look at the server's log"};
	static const struct error_class lost = {0, EXCHANGE_UNKNOWN, true, NULL};
	for (size_t i = 0; i < COUNT_OF(error_classes); i++)
		if (error_classes[i].code == code)
			return &error_classes[i];
	return code >= CLIENT_ERRORS && code < CLIENT_ERRORS_END ? &lost : &other;
}

static void hide(char *text, const char *secret)
{
	if (!secret || strlen(secret) < SECRET_BYTES)
		return;
	for (char *found = strstr(text, secret); found; found = strstr(found, secret))
		memset(found, '*', strlen(secret));
}

// The first failure of an exchange is the one that is told. False, for `return
// my_fail(…)`.
bool my_fail(struct store_link *link, struct store_answer *answer, const struct error_class *class, const char *message)
{
	link->broken |= class->drop;
	if (link->failed)
		return false;
	link->failed = true;
	// What was answered before may have been a write.
	bool unsure = link->committed || (class->outcome == EXCHANGE_UNAVAILABLE && link->wrote);
	const char *host = link->host_count > 1 ? link->hosts[link->next_host].name : NULL;
	char *text = NULL;
	if (asprintf(&text, "MySQL: %s%s%s%s%s", host ? host : "", host ? ": " : "", message, class->advice ? ": " : "",
		    class->advice ? class->advice : "") < 0)
		text = NULL;
	if (text)
		hide(text, link->config->password);
	store_answer_fail(answer, unsure ? EXCHANGE_UNKNOWN : class->outcome, "%s", text ? text : "MySQL: no memory");
	free(text);
	return false;
}

bool my_fail_by_connection(struct store_link *link, struct store_answer *answer, enum kind kind)
{
	unsigned code = mysql_errno(link->connection);
	const struct error_class *class = my_classify(code);
	// What is for people has nobody wait (rule 14): see change().
	link->held = kind == PAST && code == LOCK_TIMEOUT;
	// Nor has what is said again a lease later.
	bool later = kind == OFFERED && (code == LOCK_TIMEOUT || code == DEADLOCK);
	if (link->held || later)
		return false;
	// Only a transaction that the server itself gave up is known not to have been
	// committed.
	if (kind == COMMIT && code != DEADLOCK)
		link->committed = true;
	bool lost = class->outcome == EXCHANGE_UNKNOWN;
	return my_fail(link, answer, class,
		lost && watch_socket(link->watch, -1) ? "no answer within the timeout" : mysql_error(link->connection));
}

// ---- connecting ----

int my_socket_of(MYSQL *connection)
{
#ifdef MARIADB_CLIENT
	return mysql_get_socket(connection);
#else
	return connection->net.fd;
#endif
}

// Verified unless it is off: both vendors' libraries would be content with
// less.
static void set_tls(MYSQL *connection, const struct store_config *config)
{
	bool verify = !is_given(config->tls) || strcmp(config->tls, "off") != 0;
	bool local = is_given(config->socket);
	if (is_given(config->tls_ca))
		mysql_options(connection, MYSQL_OPT_SSL_CA, config->tls_ca);
#ifdef MARIADB_CLIENT
	my_bool on = (my_bool)(verify && !local);
	mysql_options(connection, MYSQL_OPT_SSL_ENFORCE, &on);
	mysql_options(connection, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &on);
#else
	unsigned mode = verify && !local ? SSL_MODE_VERIFY_IDENTITY : SSL_MODE_DISABLED;
	mysql_options(connection, MYSQL_OPT_SSL_MODE, &mode);
#endif
}

// The library's own time-outs are in whole seconds: a second line, behind the
// watch.
static void set_options(MYSQL *connection, const struct store_link *link, int64_t timeout_ns)
{
	const struct store_config *config = link->config;
	unsigned seconds = (unsigned)((timeout_ns + NS_PER_S - 1) / NS_PER_S);
	int64_t share_ns = config->timeout_ns / (int64_t)link->host_count;
	unsigned connect_seconds = (unsigned)((share_ns + NS_PER_S - 1) / NS_PER_S);
	unsigned protocol = is_given(config->socket) ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	unsigned no = 0;
	mysql_options(connection, MYSQL_OPT_CONNECT_TIMEOUT, &connect_seconds);
	mysql_options(connection, MYSQL_OPT_READ_TIMEOUT, &seconds);
	mysql_options(connection, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	mysql_options(connection, MYSQL_OPT_LOCAL_INFILE, &no);
	mysql_options(connection, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	mysql_options4(connection, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "tenured");
	if (is_given(config->socket) || is_given(config->host))
		mysql_options(connection, MYSQL_OPT_PROTOCOL, &protocol);
	set_tls(connection, config);
	if (is_given(config->defaults_file)) {
		mysql_options(connection, MYSQL_READ_DEFAULT_FILE, config->defaults_file);
		mysql_options(connection, MYSQL_READ_DEFAULT_GROUP, OPTION_GROUP);
	}
}

// NULL where there is no memory. Where it failed, mysql_errno() says so.
MYSQL *my_connect_host(const struct store_link *link, const struct host *host, int64_t timeout_ns)
{
	const struct store_config *config = link->config;
	const unsigned long flags = CLIENT_FOUND_ROWS | CLIENT_MULTI_STATEMENTS;
	MYSQL *connection = mysql_init(NULL);
	if (!connection)
		return NULL;
	set_options(connection, link, timeout_ns);
	// What an error leaves behind is the caller's to look at and to close.
	mysql_real_connect(connection, host->name, config->user, config->password, config->database, host->port,
		config->socket, flags);
	return connection;
}

void my_disconnect(struct store_link *link)
{
	if (!link->connection)
		return;
	watch_socket(link->watch, -1);
	mysql_close(link->connection);
	link->connection = NULL;
	link->owed = false;
	link->in_transaction = false;
}

static bool check_server(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class too_old = {0, EXCHANGE_DENIED, true, NULL};
	unsigned long version = mysql_get_server_version(link->connection);
	link->mariadb = strstr(mysql_get_server_info(link->connection), "MariaDB") != NULL;
	if (version >= (link->mariadb ? MIN_MARIADB : MIN_MYSQL))
		return true;
	return my_fail(link, answer, &too_old, "the server is too old: MariaDB 10.6 or MySQL 8.0.13 is needed");
}

bool my_connect_one(struct store_link *link, struct store_answer *answer)
{
	static const struct error_class no_memory = {0, EXCHANGE_UNAVAILABLE, true, NULL};
	link->connection = my_connect_host(link, &link->hosts[link->next_host], link->config->timeout_ns + NS_PER_S);
	if (!link->connection)
		return my_fail(link, answer, &no_memory, "no memory for a connection");
	if (mysql_errno(link->connection) != 0)
		return my_fail_by_connection(link, answer, WRITE);
	watch_socket(link->watch, my_socket_of(link->connection));
	return check_server(link, answer);
}

// Limits that end a statement on the server before the exchange's deadline; and
// a connection, where a transaction is not gone on with (MariaDB), or nothing
// is said for two leases.
static void put_settings(struct store_link *link, int64_t lease_ms)
{
	int64_t timeout_ms = link->config->timeout_ns / NS_PER_MS;
	int64_t lock_s = timeout_ms / 2000, idle_s = 2 * (lease_ms + 999) / 1000 + 1;
	my_put_statement(link, WRITE, "SET SESSION autocommit = 1, sql_mode = 'STRICT_TRANS_TABLES',");
	my_put(link, " innodb_lock_wait_timeout = ");
	my_put_number(link, lock_s > 0 ? lock_s : 1);
	my_put(link, ", wait_timeout = ");
	my_put_number(link, idle_s);
	if (link->mariadb) {
		fprintf(link->out,
			", max_statement_time = %.3f, idle_transaction_timeout = ", (double)timeout_ms * 0.75 / 1000);
		my_put_number(link, (timeout_ms + 999) / 1000);
	} else {
		my_put(link, ", max_execution_time = ");
		my_put_number(link, timeout_ms * 3 / 4);
	}
	my_put_statement(link, WRITE, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
}

static bool look(struct store_link *link, struct store_answer *answer)
{
	if (!my_packet_new(link, answer))
		return false;
	put_settings(link, link->call->request->lease_ms);
	my_put_statement(link, LOOK, sql_look);
	for (size_t i = 0; i < COUNT_OF(sql_try); i++)
		my_put_statement(link, TRY, sql_try[i]);
	my_put_statement(link, LOOK_DATABASE, "SELECT COALESCE(");
	if (is_given(link->config->schema))
		my_put_text(link, link->config->schema);
	else
		my_put(link, "NULL");
	my_put(link, ", DATABASE())");
	return my_round_trip(link, answer);
}

// The lock first: without it, the waiter gets it, and gives up, and there is a
// hint less.
static bool start_waiting(struct store_link *link, struct store_answer *answer)
{
	char sql[WAIT_TEXT_SIZE];
	unsigned long id = mysql_thread_id(link->connection);
	snprintf(sql, sizeof sql, "DO GET_LOCK('" WAIT_LOCK "', 0)", id);
	bool failed = mysql_query(link->connection, sql) != 0;
	if (failed && mysql_errno(link->connection) >= CLIENT_ERRORS)
		return my_fail_by_connection(link, answer, WRITE);
	if (!failed)
		my_waiter_follow(link->waiter, &link->hosts[link->next_host], id, link->database);
	return true;
}

bool my_is_time_left(const struct store_link *link)
{
	struct pollfd abort = {.fd = link->call->abort_fd, .events = POLLIN};
	return poll(&abort, 1, 0) == 0 && clock_now_ns() < link->call->deadline_at;
}

static void add_text(char text[static EXCHANGE_TEXT_SIZE], const char *more)
{
	size_t used = strlen(text);
	if (snprintf(text + used, EXCHANGE_TEXT_SIZE - used, "%s%s", used ? "; " : "", more) < 0)
		text[used] = '\0';
}

// Of hosts that could not be used. One that is busy is there, and soon usable; one that is away may be the primary, and
// that the others say no means nothing then.
static enum exchange_outcome add_outcome(enum exchange_outcome all, enum exchange_outcome host)
{
	if (host == EXCHANGE_BUSY || all == EXCHANGE_BUSY)
		return EXCHANGE_BUSY;
	return host == EXCHANGE_DENIED ? all : EXCHANGE_UNAVAILABLE;
}

// Each host once, until one is the writable primary (W25). Nothing of the
// exchange was sent yet.
bool my_connect_any(struct store_link *link, struct store_answer *answer)
{
	char told[EXCHANGE_TEXT_SIZE] = "";
	enum exchange_outcome outcome = EXCHANGE_DENIED;
	for (size_t tries = 0; tries < link->host_count && (tries == 0 || my_is_time_left(link)); tries++) {
		link->failed = false;
		link->broken = false;
		if (my_connect_one(link, answer) && look(link, answer) && start_waiting(link, answer)) {
			link->connections++;
			link->wrote = false;
			return true;
		}
		my_disconnect(link);
		add_text(told, answer->reply->text);
		outcome = add_outcome(outcome, answer->reply->outcome);
		answer->reply->server.text[0] = '\0';
		link->next_host = (link->next_host + 1) % link->host_count;
	}
	link->failed = true;
	store_answer_fail(answer, outcome, "%s", told);
	return false;
}

// ---- what is configured ----

static bool port_in(const char *text, unsigned *ret)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || port == 0 || port > PORT_MAX)
		return false;
	*ret = (unsigned)port;
	return true;
}

// NAME, NAME:PORT, [ADDRESS]:PORT, or an address with more than one colon.
// Takes the text apart.
static bool host_in(char *text, unsigned port, struct host *ret)
{
	char *end = text + strlen(text), *colon = strchr(text, ':');
	if (text[0] == '[') {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		colon = end[1] ? end + 1 : NULL;
	} else if (colon && strchr(colon + 1, ':')) {
		colon = NULL;
	} else if (colon) {
		end = colon;
	}
	if (colon && !port_in(colon + 1, &port))
		return false;
	*end = '\0';
	*ret = (struct host){.name = text, .port = port};
	return text[0] && !strpbrk(text, " \t@/");
}

// Fills `hosts`, as many as there are commas and one; false where one is none.
static bool hosts_in(char *text, unsigned port, struct host *hosts)
{
	for (; text; hosts++) {
		char *next = strchr(text, ',');
		if (next)
			*next++ = '\0';
		text += strspn(text, " ");
		for (size_t length = strlen(text); length && text[length - 1] == ' '; length--)
			text[length - 1] = '\0';
		if (!host_in(text, port, hosts))
			return false;
		text = next;
	}
	return true;
}

// What the configuration says of hosts. -EINVAL and a text, or -ENOMEM.
int my_set_hosts(struct store_link *link, const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	unsigned port = 0;
	link->host_count = 1;
	for (const char *c = is_given(config->host) ? config->host : ""; *c; c++)
		link->host_count += *c == ',';
	link->hosts = calloc(link->host_count, sizeof *link->hosts);
	link->host_text = strdup(is_given(config->host) ? config->host : "");
	if (!link->hosts || !link->host_text) {
		store_text(ret_text, "no memory");
		return -ENOMEM;
	}
	if (is_given(config->port) && !port_in(config->port, &port)) {
		store_text(ret_text, "port: a number from 1 to %d", PORT_MAX);
		return -EINVAL;
	}
	if (is_given(config->host) && !hosts_in(link->host_text, port, link->hosts)) {
		store_text(ret_text, "host: names or addresses with commas between them, "
				     "each with its :PORT or none");
		return -EINVAL;
	}
	if (!is_given(config->host))
		link->hosts[0].port = port;
	return 0;
}

void my_free_hosts(struct store_link *link)
{
	free(link->hosts);
	free(link->host_text);
}

static int check_words(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	if (!is_given(config->host) && !is_given(config->socket) && !is_given(config->defaults_file))
		store_text(ret_text, "driver mysql needs host, socket or defaults_file");
	else if (is_given(config->host) && is_given(config->socket))
		store_text(ret_text, "host and socket are two ways to the server: leave one of them out");
	else if (is_given(config->socket) && config->socket[0] != '/')
		store_text(ret_text, "socket: the absolute path of the server's socket");
	else if (is_given(config->tls) && strcmp(config->tls, "verify") != 0 && strcmp(config->tls, "off") != 0)
		store_text(ret_text, "tls: verify or off");
	else if (is_given(config->tls_ca) && is_given(config->tls) && strcmp(config->tls, "off") == 0)
		store_text(ret_text, "tls_ca is of no use with tls = off: leave one of them out");
	else if (is_given(config->schema) && strlen(config->schema) > DATABASE_NAME_BYTES)
		store_text(ret_text, "schema: %d bytes at most", DATABASE_NAME_BYTES);
	else if (!is_given(config->schema) && !is_given(config->database) && !is_given(config->defaults_file))
		store_text(ret_text, "driver mysql needs database, or schema");
	else
		return 0;
	return -EINVAL;
}

int my_check(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	struct store_link link = {.config = config};
	int error = check_words(config, ret_text);
	if (error < 0)
		return error;
	error = my_set_hosts(&link, config, ret_text);
	my_free_hosts(&link);
	return error;
}

// A quoted name and a dot; empty where none is given. NULL where memory ran
// out.
char *my_quote_schema(const char *name)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	if (is_given(name))
		fputc('`', out);
	for (const char *c = is_given(name) ? name : ""; *c; c++)
		fputs(*c == '`' ? "``" : (char[]){*c, '\0'}, out);
	if (is_given(name))
		fputs("`.", out);
	bool failed = ferror(out);
	if (fclose(out) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}
