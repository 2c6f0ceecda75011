// SPDX-License-Identifier: Apache-2.0
// A world in virtual time: nodes with a daemon and workers each, one database between them, and everything that goes
// wrong. The daemons are the real core, the database is the store's model of its tables; the rest is played.
#ifndef TENURE_SIM_H
#define TENURE_SIM_H

#include <setjmp.h>

#include "election.h"
#include "queue.h"
#include "random.h"
#include "rules.h"
#include "tables.h"

#define NODES 5
#define NAMES 5
// Workers of one component on one node: the second one is a local standby.
#define SEATS 2
#define WORKERS (NODES * NAMES * SEATS)
#define EXCHANGES 512
#define INBOX_MAX 1024
#define WORKER_INBOX_MAX 64
#define SESSIONS 96
#define SESSIONS_AT_FIRST 12
// Those of the dead offer something too until they are swept, and many have died after a storm.
#define CANDIDATES (SESSIONS * NAMES)
#define OFFERS 512
#define SNAPSHOTS 512
#define TOKENS 10
#define NOTES (NAMES * ELECTION_NOTES_PER_LEASE + ELECTION_NOTES_MORE)

#define NEVER INT64_MAX
#define UNSIGNED_SECONDS(ns) ((double)(ns) / (double)NS_PER_S)

// ---- what goes wrong ----

enum fault {
	// To one exchange, by chance.
	FAULT_LOSE_REQUEST,
	FAULT_LOSE_REPLY,
	FAULT_LATE_REQUEST,
	FAULT_LATE_REPLY,
	FAULT_GAP,   // time passes between two of its statements
	FAULT_BREAK, // the connection breaks between two of its statements
	FAULT_BUSY,
	FAULT_DENIED,
	FAULT_UNAVAILABLE,
	FAULT_RECONNECT, // another connection than the last one's, for no reason
	// To one hint, one step of a daemon, one term of a worker, by chance.
	FAULT_LOSE_HINT,
	FAULT_CRASH_IN_STEP, // between the terms page and the worker, or between two notes
	FAULT_PAUSE_IN_STEP,
	FAULT_SLOW_STOP,
	FAULT_NEVER_STARTED,
	FAULT_MUTE, // heartbeats end
	FAULTS_BY_CHANCE,
	// To the world, every now and then, by weight.
	FAULT_PAUSE = FAULTS_BY_CHANCE,
	FAULT_CRASH,
	FAULT_CRASH_AMNESIA, // the terms page is lost, too
	FAULT_REBOOT,
	FAULT_SHUTDOWN,
	FAULT_CUT, // a node's way to the database
	FAULT_DB_RESTART,
	FAULT_DB_FAILOVER, // to a replica that lost the last seconds
	FAULT_DB_OUTAGE,
	FAULT_LOCK,           // a worker's transaction holds a lease's row
	FAULT_DELETE_SESSION, // by hand
	FAULT_WORKER_CRASH,
	FAULT_WORKER_PAUSE,
	FAULT_WORKER_YIELD,
	FAULT_EXPEL,   // its daemon hangs up on it
	FAULT_RESIGN,  // an operator wants another leader
	FAULT_OPERATE, // one asks for a transfer, a resignation, a pause or its end, at any daemon
	FAULT_RELOAD,  // a component goes from a daemon's configuration, or comes back with other timings
	FAULTS
};

enum kind {
	KIND_STORM,   // anything
	KIND_LIGHT,   // one or two exchanges in a row are lost, and nothing else (W9)
	KIND_PRECISE, // no delay anywhere, clocks as wrong as the margin allows, nodes cut off, workers slow to stop
	KIND_STALE,   // the database fails over again and again, nodes are cut off meanwhile
	KIND_LATE,    // statements are carried out long after their exchange was given up
	KIND_MIXED,   // every node has a lease of its own; nothing is lost by the database
	KIND_CLUSTER, // a database of several nodes that share an incarnation, lag behind, and certify what they commit
	KINDS
};

// What one run is like. Drawn from its seed.
struct profile {
	enum kind kind;
	uint32_t nodes;
	uint32_t names;
	int64_t lease_ns;     // the longest
	int64_t delay_min_ns; // of a message, when all is well
	int64_t delay_max_ns;
	int64_t longest_delay_ns; // when it is not
	int64_t longest_pause_ns;
	int64_t chaos_ns; // on average between two faults
	int64_t storm_ns; // how long faults go on
	uint32_t storms;
	bool hints;
	bool pooler; // a connection survives a restart of the server, and a fail-over
	bool standbys;
	bool heartbeats;
	uint32_t grouped;    // so many of the first components are one group; 0: none
	bool prefers;        // a better node gets the lease when it has lasted
	int32_t clock_error; // the largest, in 2^-20ths
	bool wrong_clocks;   // of servers, by days
	uint32_t chance[FAULTS];
	uint32_t weights; // the sum of those from FAULTS_BY_CHANCE on
};

// ---- the world ----

struct host {
	int64_t origin; // in true time
	int64_t base;   // what its clock showed then
	int32_t error;  // how much too fast it is, in 2^-20ths: no division in what is computed most often
	uint32_t boot;
};

struct link {
	uint32_t stamp; // 0: none
	uint32_t worker;
};

struct slot {
	uint64_t term;
	int64_t deadline;
	bool revoked;
	bool started;
};

struct page {
	struct uuid session;
	int64_t valid_until;
	struct slot slots[NAMES];
};

struct node {
	uint32_t index;
	struct host host;
	struct election_timing timing;
	struct election_lease_timing lease_timings[NAMES];
	bool removed[NAMES];      // from its configuration
	uint64_t added_in[NAMES]; // the term that was held when it came back
	// The daemon.
	bool alive;
	bool paused;
	bool stopping;
	uint32_t life;
	uint32_t first_link; // the links of this life come after
	int64_t awake_since;
	int64_t paused_at;
	int64_t heard_at[NAMES]; // who is in the seat, last: what waits to be read counts
	int64_t timer_at;        // true time
	struct election election;
	struct election_lease leases[NAMES];
	struct exchange_release releases[NAMES];
	struct exchange_claim claims[NAMES];
	struct exchange_offer offers[NAMES];
	struct election_update update;
	struct election_note notes[NOTES];
	size_t note_next;
	bool carrying_out; // stopped in the middle of an update
	bool half_done;    // between the terms page and the worker
	bool session_lost; // the reply of this step said so
	uint32_t vacant;   // seats that became vacant in this step
	uint32_t inbox_count;
	struct link seats[NAMES];
	bool expelled[NAMES]; // the one in the seat is neither told nor heard any more, until its end is closed
	struct link waiting[NAMES][SEATS * 4];
	uint32_t waiting_count[NAMES];
	// Its way to the database.
	uint64_t connection;
	uint32_t epoch;  // of the server that the connection was made to
	int64_t lag_ns;  // KIND_CLUSTER: of that server, behind what was committed elsewhere
	int64_t seen_to; // what was committed by then is known there
	bool connected;
	uint32_t exchange; // the one that is out
	int64_t cut_from, cut_until;
	bool cut_refuses;
	uint32_t losses_left; // KIND_LIGHT
	uint32_t writes;      // rows that its statements changed
	// What survives it.
	struct page page;
	struct event inbox[INBOX_MAX];
};

enum link_state { LINK_NONE, LINK_JOINING, LINK_JOINED };
enum work { WORK_NONE, WORK_STARTING, WORK_WORKING, WORK_STOPPING };

struct worker {
	uint32_t index, node, lease;
	bool exists;
	bool alive;
	bool paused;
	uint32_t life;
	uint32_t link;
	// The daemon hung up. It is kept open while there is work, for its end would say that the work has ended.
	uint32_t old_link;
	enum link_state link_state;
	int64_t sent_at; // the last word to the daemon arrives then: a connection keeps the order
	int64_t told_at;
	enum work work;
	uint64_t term;
	int64_t deadline; // as far as it can know
	uint32_t task;
	int64_t heartbeat_ns;
	bool mute;
	uint32_t inbox_count;
	struct event inbox[WORKER_INBOX_MAX];
};

enum word { WORD_JOIN, WORD_STARTED, WORD_ALIVE, WORD_STOPPED, WORD_YIELD, WORD_GONE };
enum told { TOLD_WELCOME, TOLD_STALE, TOLD_GRANTED, TOLD_REVOKED, TOLD_CLOSED };

struct exchange {
	uint32_t index, node, life;
	uint64_t connection;
	uint32_t epoch; // of the server that the connection goes to
	bool aborted;
	bool doomed; // its statements die with the connection
	bool sent_any;
	// Its fate.
	uint32_t statements; // that it has, a bit each
	uint32_t stage, last_stage, gap_stage;
	int64_t gap_ns, reply_ns;
	bool lose_reply;
	enum exchange_outcome outcome;
	struct exchange_request request;
	struct incarnation first_seen;
	struct exchange_reply reply;
	struct exchange_release releases[NAMES];
	struct exchange_claim claims[NAMES];
	struct exchange_offer offers[NAMES];
	struct exchange_ask ask;
	struct exchange_candidate candidates[CANDIDATES];
	struct exchange_offerer offerers[SESSIONS];
	struct exchange_stray sweeps[EXCHANGE_STRAYS];
	struct exchange_grant grants[NAMES];
	struct exchange_row rows[NAMES];
};

enum outage { OUTAGE_NONE, OUTAGE_SILENT, OUTAGE_REFUSED, OUTAGE_DENIED, OUTAGE_BUSY };

struct database {
	struct tables *tables;
	uint32_t epoch;
	int64_t skew_ns; // of its clock, where generations are numbered by it
	int64_t skew_us; // of the same clock, where people read it
	enum outage outage;
	int64_t outage_until;
	uint32_t locks[NAMES];
	uint64_t locked_term[NAMES];
	// What replicas may have got.
	uint32_t snapshot_count, snapshot_next;
	int64_t snapshot_at[SNAPSHOTS];
	struct tables *snapshots[SNAPSHOTS];
	// What a node of a cluster sees, and what its statement made of it.
	struct tables *view, *changed;
};

// A term as somebody may rely on it.
struct token {
	uint64_t term; // 0: no token
	uint32_t node, boot, worker;
	struct uuid session;
	int64_t deadline;
	int64_t grace_ns;
	uint32_t life; // of the daemon that told it last
	bool told;
	bool revoked;
	bool ended;
	bool disturbed; // its session was deleted by hand: two leaders are the operator's doing
};

// When a session first offered to lead something.
struct first_offer {
	struct uuid session;
	uint32_t lease;
	int64_t at;
};

struct judge {
	struct token tokens[NAMES][TOKENS];
	uint64_t highest[NAMES];
	struct uuid deleted[128]; // sessions deleted by hand, the last ones: those whose terms may still be valid
	uint32_t deleted_next;
	uint32_t hurry_node[NAMES];        // who is to be that leader; NODES: anybody
	struct first_offer offers[OFFERS]; // the last ones
	uint32_t offers_next;
	uint64_t hurry_from[NAMES]; // the term that was led when a new leader became due
	const char *no_end;         // the requirement that lets no term end at present, or NULL
};

#define COUNTERS (16 + FAULTS)
struct stats {
	union {
		struct {
			uint64_t runs, simulated_ns, grants, revocations, extensions, exchanges, events;
			uint64_t restarts, failovers, stale_failovers, resumes, resumed_terms, calms, hurries;
			uint64_t faults[FAULTS];
		};
		uint64_t counters[COUNTERS]; // all of them, to be added up
	};
};

#define TRACE_LINES 400
#define TRACE_WIDTH 240
struct trace {
	bool on;
	bool to_output;
	uint64_t count;
	char lines[TRACE_LINES][TRACE_WIDTH];
};

struct violation {
	char invariant[16];
	char text[512];
};

struct sim {
	uint64_t seed;
	int64_t now; // true time
	struct random random;
	struct profile profile;
	struct queue queue;
	struct node nodes[NODES];
	struct worker workers[WORKERS];
	uint32_t worker_count;
	uint32_t links;
	uint32_t identities;
	struct exchange exchanges[EXCHANGES];
	uint32_t exchange_free[EXCHANGES];
	uint32_t exchange_count;
	struct database database;
	struct judge judge;
	// The script.
	bool calm;
	uint32_t stage;
	uint32_t storms_left;
	uint32_t hurries_left;
	int64_t faults_until; // what a fault set going has come to rest by then
	uint32_t writes_before[NODES];
	uint64_t grants_before;
	bool ended;
	struct stats stats;
	struct trace trace;
	struct violation violation;
	jmp_buf out;
};

// Words about what happens, kept while the trace is on.
#define TRACE(sim, ...) \
	do { \
		if ((sim)->trace.on) \
			trace_line(sim, __VA_ARGS__); \
	} while (0)

// ---- main.c ----
void trace_line(struct sim *sim, const char *who, uint32_t index, const char *format, ...) PRINTF_LIKE(4, 5);
// Ends the run.
_Noreturn void violate(struct sim *sim, const char *invariant, const char *format, ...) PRINTF_LIKE(3, 4);

// Whose row the component's lease is.
static inline uint32_t head_of(const struct sim *sim, uint32_t lease)
{
	return lease < sim->profile.grouped ? 0 : lease;
}

// ---- world.c ----
// Runs the world of `seed` to its end; false where something was violated.
bool world_run(struct sim *sim, uint64_t seed);
int64_t host_clock(const struct host *host, int64_t now);
// The first instant at which the host's clock shows `clock`.
int64_t host_true(const struct host *host, int64_t clock);
void host_boot(struct sim *sim, struct node *n);
int64_t world_delay(struct sim *sim);
void world_add(struct sim *sim, int64_t at, enum event_kind kind, uint32_t index, uint32_t stamp);
// A fault's consequences may last until `at`.
void world_expect_rest(struct sim *sim, int64_t at);
bool world_chance(struct sim *sim, enum fault fault);
// The node cannot reach the database at that instant.
static inline bool world_is_cut(const struct node *n, int64_t at)
{
	return n->cut_from <= at && at < n->cut_until;
}

// ---- profile.c ----
void profile_draw(struct sim *sim);
void profile_draw_timing(struct sim *sim, struct node *n);
// A component's own timings, as they may be with the node's.
struct election_lease_timing profile_draw_lease_timing(struct sim *sim, const struct election_timing *timing);
const char *fault_name(enum fault fault);
const char *kind_name(enum kind kind);
void profile_print(const struct sim *sim);

// ---- database.c ----
void database_init(struct sim *sim);
const char *node_name(uint32_t node);
void database_restart(struct sim *sim);
void database_fail_over(struct sim *sim, int64_t lost_ns);
void database_lock(struct sim *sim, uint32_t lease, int64_t for_ns);
void database_unlock(struct sim *sim, uint32_t lease, uint32_t stamp);
void exchange_submit(struct sim *sim, struct node *n);
void exchange_abort(struct sim *sim, struct node *n);
void exchange_statement(struct sim *sim, struct exchange *x);
// Its reply has arrived, or is never going to.
void exchange_free(struct sim *sim, struct exchange *x);

// ---- cluster.c ----
static inline bool is_cluster(const struct sim *sim)
{
	return sim->profile.kind == KIND_CLUSTER;
}
// To some node of the cluster.
void cluster_connect(struct sim *sim, struct node *n);
// The tables as that node sees them, for one statement to read, or to change before it is certified.
struct tables *cluster_view(struct sim *sim, struct node *n, bool changes);
// What the statement changed is true for all from now on; false where it was not up to date, and nothing is changed.
bool cluster_certify(struct sim *sim, struct node *n);

// ---- agent.c ----
void agent_start(struct sim *sim, struct node *n);
void agent_crash(struct sim *sim, struct node *n, bool amnesia);
void agent_pause(struct sim *sim, struct node *n, int64_t for_ns);
void agent_continue(struct sim *sim, struct node *n);
void agent_shut_down(struct sim *sim, struct node *n);
void agent_expel(struct sim *sim, struct node *n, uint32_t lease);
// Asks the daemon for something that concerns the whole fleet.
void agent_operate(struct sim *sim, struct node *n, enum election_operation_kind kind, uint32_t lease, uint32_t target);
void agent_resign(struct sim *sim, struct node *n, uint32_t lease);
// The component leaves the node's configuration, or comes back.
void agent_reload(struct sim *sim, struct node *n, uint32_t lease);
void agent_timer(struct sim *sim, struct node *n);
void agent_event(struct sim *sim, struct node *n, const struct event *event);

// ---- worker.c ----
void worker_start(struct sim *sim, struct worker *w);
void worker_crash(struct sim *sim, struct worker *w, int64_t down_ns);
void worker_pause(struct sim *sim, struct worker *w, int64_t for_ns);
void worker_wake(struct sim *sim, struct worker *w);
void worker_yield(struct sim *sim, struct worker *w);
void worker_find_daemon(struct sim *sim, struct worker *w);
void worker_tell(struct sim *sim, const struct link *link, enum told told, uint64_t term, int64_t deadline);
void worker_event(struct sim *sim, struct worker *w, const struct event *event);

// ---- chaos.c ----
void chaos_happen(struct sim *sim);
void chaos_next(struct sim *sim);
void chaos_end(struct sim *sim);
void script_start(struct sim *sim);
void script_next(struct sim *sim);

// ---- judge.c ----
void judge_init(struct sim *sim);
void judge_granted(struct sim *sim, struct node *n, uint32_t lease, const struct election_note *note);
void judge_told(struct sim *sim, struct node *n, uint32_t lease, uint64_t term);
void judge_extended(struct sim *sim, struct node *n, uint32_t lease, const struct election_note *note);
void judge_revoked(struct sim *sim, struct node *n, uint32_t lease, const struct election_note *note);
void judge_stalled(struct sim *sim, const struct node *n, uint32_t lease);
void judge_heard_revoked(struct sim *sim, const struct worker *w, int64_t deadline);
// The stop_grace of the node's terms is another one.
void judge_graced(struct sim *sim, const struct node *n, uint32_t lease);
void judge_rejoined(struct sim *sim, struct node *n, uint32_t lease);
void judge_ended(struct sim *sim, const struct worker *w);
void judge_request(struct sim *sim, const struct node *n, const struct exchange_request *request);
void judge_released(struct sim *sim, uint32_t head, uint64_t term, uint64_t wanted);
void judge_session_lost(struct sim *sim, const struct node *n);
void judge_disturbed(struct sim *sim, const struct uuid *session);
void judge_watch(struct sim *sim, const struct event *event);
void judge_hurry(struct sim *sim, uint32_t lease, int64_t within_ns);
// And it is to be that node.
void judge_transfer(struct sim *sim, uint32_t lease, uint32_t node, int64_t within_ns);
// The row's offers, as they were written.
void judge_offers(struct sim *sim, const struct exchange_request *request);
void judge_hurried(struct sim *sim, const struct event *event);
void judge_finish(struct sim *sim, const struct event *event);
void judge_leaders(struct sim *sim);
bool judge_leads_any(struct sim *sim, const struct node *n);
// The worker that leads and was not told otherwise, or NULL.
struct worker *judge_leader(struct sim *sim, uint32_t lease);

#endif
