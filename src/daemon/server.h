// SPDX-License-Identifier: Apache-2.0
// The socket server: connections, the worker and observer protocol, who sits in which seat and who waits for it.
//
// It decides nothing about leadership. What a worker says becomes an event for the election; what the election says
// comes back through the server_tell_…() functions, called by whoever steps it.
#ifndef TENURE_SERVER_H
#define TENURE_SERVER_H

#include "config.h"
#include "election.h"
#include "loop.h"
#include "reload.h"

// Limits on what a peer controls.
#define SERVER_CLIENTS 16384
#define SERVER_OTHER_DESCRIPTORS 128 // the daemon's that are no connections of these: of HTTP, of the database, files
#define SERVER_JOINS 4096            // of one connection
#define SERVER_OUTPUT_BYTES (1024 * 1024)          // not yet taken by one connection
#define SERVER_ALL_OUTPUT_BYTES (32 * 1024 * 1024) // by all; beyond that each may have SERVER_OUTPUT_LOW
#define SERVER_KERNEL_BYTES (16 * 1024)            // nor yet taken, and kept by the kernel, which doubles it
#define SERVER_REQUESTS 16                         // of one connection in one turn of the loop
#define SERVER_TURN_NS NS_PER_MS                   // of one turn of the loop, for all connections together
#define SERVER_MESSAGE_BYTES 128                   // of what a worker says of itself; more is cut off
// The most of a component that are told; the database holds as many as it likes.
#define SERVER_CANDIDATES 16

// The least and the most that a worker may promise to be heard in.
#define SERVER_HEARTBEAT_MS_MIN 10
#define SERVER_HEARTBEAT_MS_MAX (10 * 60 * 1000)
#define SERVER_COOLDOWN_MS_MAX (24 * 60 * 60 * 1000)

struct server_limits {
	size_t clients;
	size_t joins;
	size_t output_bytes;
	size_t all_output_bytes;
	unsigned requests;
	int64_t turn_ns;
};

// Steps the election, calls server_answer() and then server_tell_…(), and then takes server_next_event() until there
// is none. Never called while it runs.
typedef void server_step_fn(void *userdata, const struct election_event *event);

// Reads the configuration again and applies it, or says in the report why not. May step.
typedef int server_reload_fn(void *userdata, struct reload_report *report);

// What is pointed to outlives the server.
struct server_setup {
	struct loop *loop;
	const struct config *config;
	const struct election *election; // a lease for each of the configuration's components, in order
	const int *slots;                // of the terms page, -1 where a component has none
	const char *terms_path;
	const char *boot_id;
	const char *store_text;     // what is wrong with the store, or ""
	const int64_t *reported_at; // when the rows were last seen
	server_step_fn *step;
	void *userdata;
	server_reload_fn *reload; // NULL: there is nothing to reload
	void *reload_userdata;
	struct server_limits limits; // 0: the default
};

struct server;

int server_new(struct server **ret, const struct server_setup *setup) MUST_CHECK;
// Closes every connection; steps nothing. Takes NULL.
void server_free(struct server *server);

// Accepts on `fd`, which listens, does not block and stays the caller's.
int server_listen(struct server *server, int fd) MUST_CHECK;

// To be called in each turn of the loop (loop_on_turn): carries requests out, sends, drops who is gone.
void server_turn(struct server *server);
// Before the end: sends what has to wait for no turn any more.
void server_flush(struct server *server);

// More components (S4): makes room for as many, and then goes by another configuration that begins with those of the
// last one, and by slots to match.
int server_reserve(struct server *server, size_t component_count) MUST_CHECK;
void server_configure(struct server *server, const struct config *config, const int *slots);

// What the event that is being stepped got: before the rest of the update is carried out.
void server_answer(struct server *server, enum election_answer answer);
// These tell the worker in the seat, if there is one.
void server_tell_granted(struct server *server, uint32_t lease, uint64_t term, int64_t deadline);
void server_tell_extended(struct server *server, uint32_t lease, uint64_t term, int64_t deadline);
void server_tell_revoked(
	struct server *server, uint32_t lease, uint64_t term, int64_t deadline, enum election_reason reason);
// This tells everybody who watches.
void server_tell_leader(struct server *server, uint32_t lease);
// The next worker that waits is to ask for the seat.
void server_tell_vacant(struct server *server, uint32_t lease);

// The term that was led here ended, or begins to.
void server_tell_ended(struct server *server, uint32_t lease, enum election_reason reason);
// The operation that was going on came to this; `reply` is what the step was about, if it was about one.
void server_tell_operated(struct server *server, enum election_result result, const struct exchange_reply *reply);
// A reply that tells what sessions offer.
void server_take_candidates(struct server *server, const struct exchange_reply *reply);

// What follows from an update that was carried out: a worker that waited asks for its seat, one that was dropped is
// gone. To be stepped like any event; all but its time is filled in.
bool server_next_event(struct server *server, struct election_event *ret);

// What is known of a component, for everybody who asks (W20). Good until the next step.
struct server_row {
	const char *component;
	const char *role;
	const char *leader; // the node; "": nobody, as far as is known
	uint64_t term;
	int64_t since_ms;
	bool valid; // the term may be relied on here and now, as the terms page says
	int64_t ttl_ns;
	const char *worker;
	uint32_t workers;
	const char *store;
	const char *error;
	const char *node; // this one
	const char *group;
	const char *paused;  // the node through which the fleet was paused; "": it is not
	const char *reason;  // why the last term that was led here ended; "": none was
	const char *message; // what the worker says of itself
};

// Another node, which would lead something.
struct server_other {
	int64_t seen_at;  // its session was renewed then, by our clock as far as the database's can be translated
	uint32_t offerer; // in the reply that told
	char node[NAME_BYTES + 1];
};

struct server_candidate {
	const struct server_other *other;
	int32_t priority;
};

// Whether it is known to have a leader. What a row says of this node outlives the term where the database cannot be
// reached.
static inline bool server_row_led(const struct server_row *row)
{
	return row->valid || (row->leader[0] != '\0' && strcmp(row->leader, row->node) != 0);
}

// False where there is nothing to be seen of the lease: its component was removed.
bool server_row(const struct server *server, uint32_t lease, struct server_row *ret);
// The freshest first, as of the last exchange that told; good until the next one. Not to be read if `*ret_count` is 0.
const struct server_candidate *server_candidates(const struct server *server, uint32_t lease, size_t *ret_count);
size_t server_client_count(const struct server *server);
// -ENOENT where there is no such component.
int server_find_component(const struct server *server, const char *name, uint32_t *ret) MUST_CHECK;

// For the log and for status.
const char *server_outcome_name(enum exchange_outcome outcome);

#endif
