// SPDX-License-Identifier: Apache-2.0
// What is logged of the election: one line a transition (W26).
#include "agent_internal.h"

#include "log.h"

static enum log_level lease_level(const struct election_note *note)
{
	// Tried and refused is what candidates do all day; what comes of it is told.
	bool tries = note->to == LEASE_CLAIMING || (note->from == LEASE_CLAIMING && note->to == LEASE_CANDIDATE);
	return tries ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
}

static void journal_lease(const struct agent *agent, const struct election_note *note)
{
	// The rest of its group goes on without it.
	bool begins = note->to == LEASE_CANDIDATE || note->to == LEASE_CLAIMING || note->to == LEASE_LEADING;
	if (agent->setup.config->components[note->lease].removed && begins)
		return;
	const char *reason = note->reason == REASON_NONE ? NULL : election_reason_name(note->reason);
	log_write(lease_level(note), "lease",
		LOG_FIELDS(log_text("component", agent_component(agent, note->lease)),
			log_text("from", lease_state_name(note->from)), log_text("to", lease_state_name(note->to)),
			log_uint("term", note->term), log_text("reason", reason)));
}

static void log_session(enum log_level level, const char *state, const struct uuid *session)
{
	char id[UUID_TEXT_SIZE];
	uuid_format(session, id);
	log_write(level, "session", LOG_FIELDS(log_text("state", state), log_text("id", id)));
}

// One step may lose a session and create the next: the notes do not say, the id does.
static void journal_session(struct agent *agent)
{
	const struct election *election = &agent->election;
	bool over = election->session_state == SESSION_NONE || !uuid_equal(&election->session, &agent->told_session);
	if (over && !uuid_is_none(&agent->told_session))
		log_session(LOG_LEVEL_WARNING, "lost", &agent->told_session);
	if (over)
		agent->told_session = (struct uuid){{0}};
	if (election->session_state == SESSION_NONE || (!over && election->session_state == agent->told_session_state))
		return;
	log_session(LOG_LEVEL_INFO, session_state_name(election->session_state), &election->session);
	agent->told_session = election->session;
	agent->told_session_state = election->session_state;
}

// R7: contention is normal and quiet, a lost connection is a warning, what will not heal by itself an error.
static void journal_store(struct agent *agent, const struct election_note *note)
{
	static const enum log_level levels[] = {
		[EXCHANGE_OK] = LOG_LEVEL_INFO,
		[EXCHANGE_BUSY] = LOG_LEVEL_DEBUG,
		[EXCHANGE_UNAVAILABLE] = LOG_LEVEL_WARNING,
		[EXCHANGE_DENIED] = LOG_LEVEL_ERROR,
		[EXCHANGE_UNKNOWN] = LOG_LEVEL_WARNING,
	};
	bool quiet =
		note->outcome == EXCHANGE_BUSY || (note->outcome == EXCHANGE_OK && agent->told_outcome == EXCHANGE_OK);
	log_write(quiet ? LOG_LEVEL_DEBUG : levels[note->outcome], "store",
		LOG_FIELDS(log_text("outcome", server_outcome_name(note->outcome)),
			log_text("error", agent->store_text[0] ? agent->store_text : NULL)));
	if (!quiet)
		agent->told_outcome = note->outcome;
}

static void journal_leader(const struct agent *agent, const struct election_note *note)
{
	const struct exchange_row *row = &election_head(&agent->election, note->lease)->row;
	log_debug("leader", log_text("component", agent_component(agent, note->lease)),
		log_text("node", uuid_is_none(&row->holder) ? "" : row->node), log_uint("term", note->term));
}

static void journal_incarnation(const struct agent *agent)
{
	const struct election *election = &agent->election;
	bool believed = !election->doubted;
	log_write(believed ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "incarnation",
		LOG_FIELDS(log_text("server", election->server.text),
			log_text("believed", believed ? NULL : election->believed.text),
			log_text("does", believed ? NULL : "claims nothing for a lease")));
}

static void journal_paused(const struct agent *agent)
{
	const struct election *election = &agent->election;
	if (election->paused)
		log_warning("paused", log_text("through", election->paused_by),
			log_text("does", "leaders stay, nobody is elected"));
	else
		log_info("pause-ended", log_text("does", "elects again"));
}

static void journal_disputed(const struct agent *agent, const struct election_note *note)
{
	const char *node = agent->election.leases[note->lease].disputed_by;
	const char *lease = config_lease_name(agent->setup.config, note->lease);
	if (node[0] != '\0')
		log_warning("disputed", log_text("lease", lease), log_text("by", node),
			log_text("error", "a component of it is in another group there"),
			log_text("does", "does not claim it"));
	else
		log_info("dispute-ended", log_text("lease", lease));
}

void journal_note(struct agent *agent, const struct election_note *note)
{
	switch (note->type) {
	case NOTE_STATE:
		journal_lease(agent, note);
		break;
	case NOTE_SESSION:
		journal_session(agent);
		break;
	case NOTE_STORE:
		journal_store(agent, note);
		break;
	case NOTE_INCARNATION:
		journal_incarnation(agent);
		break;
	case NOTE_LEADER:
		journal_leader(agent, note);
		break;
	case NOTE_PAUSED:
		journal_paused(agent);
		break;
	case NOTE_DISPUTED:
		journal_disputed(agent, note);
		break;
	case NOTE_GRANTED:
	case NOTE_EXTENDED:
	case NOTE_REVOKED:
	case NOTE_STARTED:
	case NOTE_CLEARED:
	case NOTE_SEAT_VACANT:
	case NOTE_OPERATED: // the server knows who asked
	default:
		break;
	}
}
