// SPDX-License-Identifier: Apache-2.0
// How long exchanges take, by the PostgreSQL driver itself; beside them plain statements that write as many rows.
//
//   time_exchange CONNINFO LEASES ROUNDS   prints "NAME NANOSECONDS" for each
#include "clock.h"
#include "driver.h"

#include <postgresql/libpq-fe.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#define TIMEOUT_NS (120 * NS_PER_S)
#define LEASE_MS 600000

static uint32_t lease_count;
static struct store_names names;
static struct store_config config;
static struct exchange_reply reply;
static struct exchange_grant *grants;
static struct exchange_row *rows;
static struct exchange_claim *claims;
static struct exchange_release *releases;
static struct incarnation server;
static struct uuid me;

static void die(const char *what)
{
	fprintf(stderr, "time_exchange: %s\n", what);
	exit(EXIT_FAILURE);
}

static void *room(size_t size)
{
	void *memory = calloc(lease_count, size);
	if (!memory)
		die("no memory");
	return memory;
}

static void name_leases(void)
{
	char(*texts)[NAME_BYTES + 1] = room(sizeof *texts);
	const char **name = room(sizeof *name);
	for (uint32_t i = 0; i < lease_count; i++) {
		snprintf(texts[i], sizeof texts[i], "component-number-%u", i);
		name[i] = texts[i];
	}
	names = (struct store_names){.name = name, .count = lease_count};
}

// Carries it out, and says what it took where it has a name.
static void exchange(struct store_link *link, const char *name, struct exchange_request request)
{
	static int never = -1;
	static uint64_t number;
	if (never < 0)
		never = eventfd(0, EFD_CLOEXEC);
	request.number = ++number;
	request.session = me;
	request.lease_ms = LEASE_MS;
	request.incarnation = server;
	reply = (struct exchange_reply){.number = number, .outcome = EXCHANGE_UNKNOWN, .grants = grants, .rows = rows};
	struct store_answer answer = {.reply = &reply, .grants = grants, .rows = rows};
	int64_t begun_at = clock_now_ns();
	struct store_call call = {&request, begun_at + TIMEOUT_NS, never};
	store_postgresql.exchange(link, &call, &answer);
	int64_t took = clock_now_ns() - begun_at;
	store_free_offers(&answer);
	if (reply.outcome != EXCHANGE_OK)
		die(reply.text);
	if (name)
		printf("%s %lld\n", name, (long long)took);
}

static void release_all(struct store_link *link)
{
	for (uint32_t i = 0; i < lease_count; i++)
		releases[i] = (struct exchange_release){i, rows[i].term, "resigned"};
	exchange(link, "release", (struct exchange_request){.releases = releases, .release_count = lease_count});
}

static void claim_all(struct store_link *link, const char *name)
{
	exchange(link, NULL, (struct exchange_request){.report = true});
	for (uint32_t i = 0; i < lease_count; i++)
		claims[i] = (struct exchange_claim){.lease = i,
			.missing = !rows[i].exists,
			.holder = rows[i].holder,
			.holder_seq = rows[i].holder_alive ? rows[i].holder_seq : -1,
			.term = rows[i].term};
	exchange(link, name, (struct exchange_request){.claims = claims, .claim_count = lease_count});
	if (reply.grant_count != lease_count)
		die("not every claim was granted");
}

// Another session, which finds all that this one holds.
static void take_over(struct store_link *link)
{
	if (uuid_random(&me) < 0)
		die("no random bytes");
	exchange(link, NULL, (struct exchange_request){.session_op = EXCHANGE_SESSION_CREATE});
	claim_all(link, "takeover");
	exchange(link, NULL, (struct exchange_request){.report = true});
}

static void sql(PGconn *connection, const char *name, const char *text)
{
	int64_t begun_at = clock_now_ns();
	PGresult *result = PQexec(connection, text);
	int64_t took = clock_now_ns() - begun_at;
	ExecStatusType status = PQresultStatus(result);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die(PQerrorMessage(connection));
	PQclear(result);
	if (name)
		printf("%s %lld\n", name, (long long)took);
}

static PGconn *open_connection(void)
{
	PGconn *connection = PQconnectdb(config.conninfo);
	if (PQstatus(connection) != CONNECTION_OK)
		die(PQerrorMessage(connection));
	return connection;
}

// All rows changed long ago. The index leads to none of before, which would be looked at, and plans are made anew.
static void poll_unchanged(struct store_link *link, unsigned rounds)
{
	PGconn *connection = open_connection();
	sql(connection, NULL, "UPDATE tenure_lease SET changed_at = changed_at - interval '1 day'");
	sql(connection, NULL, "VACUUM tenure_lease");
	PQfinish(connection);
	exchange(link, NULL, (struct exchange_request){.report = true});
	for (unsigned i = 0; i < rounds; i++)
		exchange(link, "poll", (struct exchange_request){.report = true});
}

static void time_driver(unsigned rounds)
{
	struct store_link *link;
	if (store_postgresql.open(&link, &config, &names) < 0 || uuid_random(&me) < 0)
		die("no link");
	exchange(link, NULL, (struct exchange_request){.session_op = EXCHANGE_SESSION_CREATE});
	server = reply.server;
	claim_all(link, "first");
	for (unsigned i = 0; i < rounds; i++) {
		exchange(link, "renew", (struct exchange_request){.session_op = EXCHANGE_SESSION_RENEW});
		exchange(link, "poll-new", (struct exchange_request){.report = true});
		release_all(link);
		claim_all(link, "claim");
		take_over(link);
	}
	poll_unchanged(link, rounds);
	store_postgresql.close(link);
}

static void time_floor(unsigned rounds)
{
	char text[256];
	PGconn *connection = open_connection();
	sql(connection, NULL, "DROP TABLE IF EXISTS plain");
	sql(connection, NULL,
		"CREATE TABLE plain (name text PRIMARY KEY, holder uuid, term bigint)"
		" WITH (fillfactor = 50)");
	snprintf(text, sizeof text,
		"INSERT INTO plain SELECT 'component-number-' || n, NULL, 0 FROM generate_series(1, %u) n",
		lease_count);
	sql(connection, NULL, text);
	for (unsigned i = 0; i < rounds; i++) {
		sql(connection, "plain-select", "SELECT * FROM plain");
		sql(connection, "plain-update", "UPDATE plain SET holder = gen_random_uuid(), term = term + 1");
		sql(connection, "plain-one", "UPDATE plain SET term = term + 1 WHERE name = 'component-number-1'");
	}
	PQfinish(connection);
}

int main(int argc, char **argv)
{
	char text[EXCHANGE_TEXT_SIZE];
	if (argc != 4)
		die("usage: time_exchange CONNINFO LEASES ROUNDS");
	lease_count = (uint32_t)strtoul(argv[2], NULL, 10);
	unsigned rounds = (unsigned)strtoul(argv[3], NULL, 10);
	config = (struct store_config){.node = "host-a",
		.timeout_ns = TIMEOUT_NS,
		.history_count = 100,
		.history_ms = INT64_C(7) * 86400 * 1000,
		.conninfo = argv[1]};
	if (store_postgresql.init_schema(&config, text) < 0)
		die(text);
	name_leases();
	grants = room(sizeof *grants);
	rows = room(sizeof *rows);
	claims = room(sizeof *claims);
	releases = room(sizeof *releases);
	time_driver(rounds);
	time_floor(rounds);
	return EXIT_SUCCESS;
}
