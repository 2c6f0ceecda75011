// SPDX-License-Identifier: Apache-2.0
#include "metrics.h"

#include "array.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define US(n) ((n)*NS_PER_US)

static const int64_t bucket_ns[METRICS_BUCKETS] = {US(500), US(1000), US(2500), US(5000), US(10000), US(25000),
	US(50000), US(100000), US(250000), US(500000), US(1000000), US(2500000), US(5000000), US(10000000)};

// ---- counting ----

int metrics_reserve(struct metrics *metrics, size_t lease_count, int64_t now)
{
	if (lease_count <= metrics->lease_count)
		return 0;
	if (array_grow(&metrics->leases, lease_count, sizeof *metrics->leases) < 0)
		return -ENOMEM;
	for (size_t i = metrics->lease_count; i < lease_count; i++)
		metrics->leases[i] = (struct metrics_lease){.leaderless_since = now};
	metrics->lease_count = lease_count;
	return 0;
}

void metrics_done(struct metrics *metrics)
{
	free(metrics->leases);
	*metrics = (struct metrics){0};
}

void metrics_note(struct metrics *metrics, const struct election_note *note)
{
	metrics->incarnations += note->type == NOTE_INCARNATION;
	if (note->type != NOTE_STATE)
		return;
	struct metrics_lease *lease = &metrics->leases[note->lease];
	lease->begun += note->to == LEASE_LEADING;
	if (note->from == LEASE_LEADING && note->to != LEASE_LEADING)
		lease->ended[note->reason]++;
}

static int64_t leaderless_ns(const struct metrics_lease *lease, int64_t now)
{
	return lease->leaderless_ns + (lease->leaderless_since != 0 ? now - lease->leaderless_since : 0);
}

void metrics_row(struct metrics *metrics, uint32_t lease, const struct server_row *row, int64_t now)
{
	struct metrics_lease *counted = &metrics->leases[lease];
	bool led = server_row_led(row);
	if (led == (counted->leaderless_since == 0))
		return;
	counted->leaderless_ns = leaderless_ns(counted, now);
	counted->leaderless_since = led ? 0 : now;
}

void metrics_exchange(struct metrics *metrics, enum exchange_outcome outcome, int64_t took_ns)
{
	metrics->exchanges[outcome]++;
	metrics->exchange_ns += took_ns;
	for (size_t i = 0; i < METRICS_BUCKETS; i++) {
		if (took_ns > bucket_ns[i])
			continue;
		metrics->buckets[i]++;
		return;
	}
}

// ---- printing ----

struct print {
	const struct metrics *metrics;
	const struct server *server;
	const struct election *election;
	int64_t now;
	FILE *out;
};

static void put_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_seconds(FILE *out, int64_t ns)
{
	fprintf(out, " %" PRId64 ".%09" PRId64 "\n", ns / NS_PER_S, ns % NS_PER_S);
}

static void put_one(const struct print *print, const char *name, const char *type, const char *help, uint64_t value)
{
	put_head(print->out, name, type, help);
	fprintf(print->out, "%s %" PRIu64 "\n", name, value);
}

enum family_of {
	OF_LEADER,
	OF_LEADER_KNOWN,
	OF_TERM,
	OF_VALID,
	OF_BEGUN,
	OF_LEADERLESS,
	OF_WORKERS,
};

// A value a component.
struct family {
	enum family_of of;
	const char *name;
	const char *type;
	const char *help;
	bool seconds;
};

// clang-format off
static const struct family families[] = {
	{OF_LEADER, "tenure_leader", "gauge", "1 where a term of the component may be relied on here and now.", false},
	{OF_LEADER_KNOWN, "tenure_leader_known", "gauge", "1 where this daemon knows of a leader on any node.", false},
	{OF_TERM, "tenure_term", "gauge", "The component's latest term, as far as this daemon knows.", false},
	{OF_VALID, "tenure_valid_seconds", "gauge", "How long the term here may be relied on without a renewal.", true},
	{OF_BEGUN, "tenure_terms_begun_total", "counter", "Terms that began here.", false},
	{OF_LEADERLESS, "tenure_leaderless_seconds_total", "counter",
	 "Time in which this daemon knew of no leader.", true},
	{OF_WORKERS, "tenure_workers", "gauge", "Workers that are joined here, those that wait included.", false},
};
// clang-format on

static int64_t value_of(
	const struct family *family, const struct server_row *row, const struct metrics_lease *lease, int64_t now)
{
	switch (family->of) {
	case OF_LEADER:
		return row->valid;
	case OF_LEADER_KNOWN:
		return server_row_led(row);
	case OF_TERM:
		return (int64_t)row->term;
	case OF_VALID:
		return row->ttl_ns;
	case OF_BEGUN:
		return (int64_t)lease->begun;
	case OF_LEADERLESS:
		return leaderless_ns(lease, now);
	case OF_WORKERS:
	default:
		return row->workers;
	}
}

static void put_family(const struct print *print, const struct family *family)
{
	struct server_row row;
	put_head(print->out, family->name, family->type, family->help);
	for (uint32_t i = 0; i < print->election->lease_count; i++) {
		if (!server_row(print->server, i, &row))
			continue;
		int64_t value = value_of(family, &row, &print->metrics->leases[i], print->now);
		fprintf(print->out, "%s{component=\"%s\"}", family->name, row.component);
		if (family->seconds)
			put_seconds(print->out, value);
		else
			fprintf(print->out, " %" PRId64 "\n", value);
	}
}

// Those that did not happen as well: what appears with a 1 never rose.
static void put_ended(const struct print *print)
{
	struct server_row row;
	put_head(print->out, "tenure_terms_ended_total", "counter", "Terms that ended here, by reason.");
	for (uint32_t i = 0; i < print->election->lease_count; i++) {
		if (!server_row(print->server, i, &row))
			continue;
		for (int reason = REASON_NONE + 1; reason < REASON_COUNT; reason++)
			fprintf(print->out, "tenure_terms_ended_total{component=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
				row.component, election_reason_name((enum election_reason)reason),
				print->metrics->leases[i].ended[reason]);
	}
}

static void put_exchanges(const struct print *print)
{
	const struct metrics *metrics = print->metrics;
	uint64_t count = 0, below = 0;
	put_head(print->out, "tenure_exchanges_total", "counter", "Exchanges with the store, by outcome.");
	for (size_t i = 0; i < COUNT_OF(metrics->exchanges); i++) {
		fprintf(print->out, "tenure_exchanges_total{outcome=\"%s\"} %" PRIu64 "\n",
			server_outcome_name((enum exchange_outcome)i), metrics->exchanges[i]);
		count += metrics->exchanges[i];
	}
	put_head(
		print->out, "tenure_exchange_duration_seconds", "histogram", "How long exchanges with the store took.");
	for (size_t i = 0; i < METRICS_BUCKETS; i++) {
		below += metrics->buckets[i];
		fprintf(print->out, "tenure_exchange_duration_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
			(double)bucket_ns[i] / (double)NS_PER_S, below);
	}
	fprintf(print->out, "tenure_exchange_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", count);
	fputs("tenure_exchange_duration_seconds_sum", print->out);
	put_seconds(print->out, metrics->exchange_ns);
	fprintf(print->out, "tenure_exchange_duration_seconds_count %" PRIu64 "\n", count);
}

static void put_daemon(const struct print *print)
{
	const struct metrics *metrics = print->metrics;
	const struct election *election = print->election;
	bool answers = election->answered && (election->outcome == EXCHANGE_OK || election->outcome == EXCHANGE_BUSY);
	put_one(print, "tenure_store_connected", "gauge", "1 where the last exchange was answered.", answers);
	put_one(print, "tenure_paused", "gauge", "1 where the fleet is paused: nobody new is elected.",
		election->paused);
	put_one(print, "tenure_renewals_total", "counter", "Renewals of this daemon's session.", metrics->renewals);
	put_one(print, "tenure_incarnation_changes_total", "counter",
		"How often the store turned out to be another server, or another life of it.",
		metrics->incarnations > 0 ? metrics->incarnations - 1 : 0);
	put_one(print, "tenure_clients", "gauge", "Connections to the daemon's socket.",
		server_client_count(print->server));
	put_head(print->out, "tenure_build_info", "gauge", "1; the version is a label.");
	fputs("tenure_build_info{version=\"" TENURE_VERSION "\"} 1\n", print->out);
	put_head(print->out, "process_start_time_seconds", "gauge", "When the daemon started, in Unix time.");
	fputs("process_start_time_seconds", print->out);
	put_seconds(print->out, metrics->started_ms * NS_PER_MS);
}

void metrics_print(const struct metrics *metrics, const struct server *server, const struct election *election,
	int64_t now, FILE *out)
{
	const struct print print = {metrics, server, election, now, out};
	for (size_t i = 0; i < COUNT_OF(families); i++)
		put_family(&print, &families[i]);
	put_ended(&print);
	put_exchanges(&print);
	put_daemon(&print);
}
