// SPDX-License-Identifier: Apache-2.0
// One step after the other: what happened goes to the election, what it says is carried out.
#include "agent_internal.h"

#include "log.h"
#include "notify.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// In a lease's usual update: extended, and perhaps something else.
#define NOTES_USUAL 2
// A step that is later than this stood still: the process was stopped, the machine suspended.
#define STILL_NS NS_PER_MS
// What workers said meanwhile is read and served in as much time.
#define READ_NS (10 * NS_PER_MS)

static void supply_id(struct agent *agent)
{
	struct uuid id;
	if (!election_wants_id(&agent->election))
		return;
	int error = uuid_random(&id);
	// The kernel always has randomness once it has booted, and without an identity there is no leading.
	assert(error == 0);
	(void)error;
	election_supply_id(&agent->election, &id);
}

static void show_term(struct agent *agent, uint32_t lease)
{
	const struct election_token *token = &agent->leases[lease].token;
	const char *name = config_lease_name(agent->setup.config, agent->leases[lease].head);
	page_set_lease(agent->setup.runtime->page, (uint32_t)agent->slots[lease], page_lease_mark(name));
	page_set(agent->setup.runtime->page, (uint32_t)agent->slots[lease],
		&(struct page_term){
			.term = token->term,
			.deadline = token->deadline,
			.flags = (token->started ? PAGE_STARTED : 0U) | (token->revoked ? PAGE_REVOKED : 0U),
		});
}

// The page shows a session that can be resumed: one that was answered, or the one that was resumed itself.
static void show_session(struct agent *agent)
{
	const struct election *election = &agent->election;
	struct page *page = agent->setup.runtime->page;
	bool same = uuid_equal(&agent->shown.id, &election->session);
	bool live = election->session_state == SESSION_LIVE;
	bool over = election->session_state == SESSION_NONE || election->session_state == SESSION_CLOSING ||
		    election->session_state == SESSION_CLOSED;
	if ((over || !same) && !live && !uuid_is_none(&agent->shown.id)) {
		agent->shown = (struct page_session){0};
		page_set_session(page, NULL);
	}
	if (!live)
		return;
	int64_t valid_until = election->renewed_at + election->timing.lease_ns;
	if (same && strcmp(agent->shown.incarnation, election->server.text) == 0) {
		agent->shown.valid_until = valid_until;
		page_set_valid_until(page, valid_until);
		return;
	}
	agent->shown = (struct page_session){
		.id = election->session,
		.lease_ms = election->timing.lease_ns / NS_PER_MS,
		.valid_until = valid_until,
	};
	snprintf(agent->shown.node, sizeof agent->shown.node, "%s", agent->setup.config->node);
	snprintf(agent->shown.incarnation, sizeof agent->shown.incarnation, "%s", election->server.text);
	page_set_session(page, &agent->shown);
}

static void show_terms(struct agent *agent)
{
	for (size_t i = 0; i < agent->update.note_count; i++) {
		const struct election_note *note = &agent->update.notes[i];
		bool token = note->type == NOTE_GRANTED || note->type == NOTE_EXTENDED || note->type == NOTE_REVOKED ||
			     note->type == NOTE_STARTED || note->type == NOTE_CLEARED;
		if (token)
			show_term(agent, note->lease);
	}
}

static void count_state(struct agent *agent, const struct election_note *note)
{
	agent->leading += note->to == LEASE_LEADING;
	agent->leading -= note->from == LEASE_LEADING;
	if (note->from == LEASE_LEADING)
		server_tell_ended(agent->server, note->lease, note->reason);
	agent->status_changed = true;
}

// The answer to read_history().
static void take_history(struct agent *agent, enum election_result result, const struct exchange_reply *reply)
{
	agent->history.asking = false;
	if (result == RESULT_DONE && reply &&
		history_take(&agent->history, reply->past, reply->past_count, clock_now_ns()) < 0)
		log_error("history", log_text("problem", "out of memory"));
}

static void tell(struct agent *agent, const struct election_note *note, const struct exchange_reply *reply)
{
	struct server *server = agent->server;
	switch (note->type) {
	case NOTE_GRANTED:
		server_tell_granted(server, note->lease, note->term, note->deadline);
		break;
	case NOTE_EXTENDED:
		server_tell_extended(server, note->lease, note->term, note->deadline);
		break;
	case NOTE_REVOKED:
		server_tell_revoked(server, note->lease, note->term, note->deadline, note->reason);
		break;
	case NOTE_LEADER:
		server_tell_leader(server, note->lease);
		break;
	case NOTE_SEAT_VACANT:
		server_tell_vacant(server, note->lease);
		break;
	case NOTE_STATE:
		count_state(agent, note);
		break;
	case NOTE_STORE:
	case NOTE_PAUSED:
	case NOTE_DISPUTED:
		agent->status_changed = true;
		break;
	case NOTE_OPERATED:
		if (agent->history.asking)
			take_history(agent, note->result, reply);
		else
			server_tell_operated(server, note->result, reply);
		break;
	case NOTE_STARTED:
	case NOTE_CLEARED:
	case NOTE_SESSION:
	case NOTE_INCARNATION:
	default:
		break;
	}
}

static void count_note(struct agent *agent, const struct election_note *note)
{
	struct server_row row;
	metrics_note(&agent->metrics, note);
	bool led = note->type == NOTE_STATE || note->type == NOTE_LEADER;
	if (led && server_row(agent->server, note->lease, &row))
		metrics_row(&agent->metrics, note->lease, &row, agent->election.now);
}

static void ask_store(struct agent *agent)
{
	const struct election_update *update = &agent->update;
	if (update->abort)
		store_abort(agent->store, update->abort_number);
	if (!update->submit)
		return;
	int error = store_submit(agent->store, &update->request, update->request_deadline);
	if (error < 0) // it passes its deadline, as one does that is never answered
		log_error("store-submit", log_errno("error", error));
}

// The election itself ended the wait for an exchange.
static void give_up(struct agent *agent, int64_t took_ns)
{
	metrics_exchange(&agent->metrics, EXCHANGE_UNKNOWN, took_ns);
	snprintf(agent->store_text, sizeof agent->store_text, "no answer within the timeout of %" PRId64 " ms",
		agent->election.timing.timeout_ns / NS_PER_MS);
}

// Seldom everything changes at once: the pages of so many notes go back.
static void give_back_notes(const struct election_update *update, size_t lease_count)
{
	size_t kept = NOTES_USUAL * lease_count;
	if (update->note_count <= kept)
		return;
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t begin = ((uintptr_t)(update->notes + kept) + page - 1) / page * page;
	uintptr_t end = (uintptr_t)(update->notes + update->note_count) / page * page;
	if (begin < end)
		(void)madvise((void *)begin, end - begin, MADV_DONTNEED); // locked memory stays
}

static void forgive(struct agent *agent, int64_t now)
{
	int64_t due_at = election_deadline(&agent->election);
	if (due_at < now - STILL_NS)
		election_forgive(&agent->election, now - due_at, READ_NS);
}

static void step_once(struct agent *agent, struct election_event *event)
{
	struct election_update *update = &agent->update;
	int64_t sent_at = agent->election.sent_at;
	supply_id(agent);
	event->now = clock_now_ns();
	forgive(agent, event->now);
	election_step(&agent->election, event, update);
	if (update->abort)
		give_up(agent, event->now - sent_at);
	// A worker that is told looks at the page: it comes first. And a session that is lost is not to be resumed
	// once a term of it looks over there, though its worker was not told.
	show_session(agent);
	show_terms(agent);
	// Others may wait for a release; a worker, for its word.
	bool awaited = update->submit && update->request.release_count + update->request.claim_count > 0;
	if (awaited)
		ask_store(agent);
	server_answer(agent->server, update->answer);
	for (size_t i = 0; i < update->note_count; i++) {
		tell(agent, &update->notes[i], event->reply);
		journal_note(agent, &update->notes[i]);
		count_note(agent, &update->notes[i]);
	}
	give_back_notes(update, agent->election.lease_count);
	if (!awaited)
		ask_store(agent);
	agent->finished |= update->finished;
}

static void step(void *userdata, const struct election_event *event)
{
	struct agent *agent = userdata;
	struct election_event next = *event;
	assert(!agent->stepping);
	agent->stepping = true;
	do
		step_once(agent, &next);
	while (server_next_event(agent->server, &next));
	agent->stepping = false;
}

void agent_step(struct agent *agent, const struct election_event *event)
{
	step(agent, event);
}

static void on_timer(void *userdata)
{
	step(userdata, &(struct election_event){.type = ELECTION_TIME});
}

static void count_reply(struct agent *agent, const struct exchange_reply *reply)
{
	int64_t now = clock_now_ns();
	bool ok = reply->outcome == EXCHANGE_OK;
	metrics_exchange(&agent->metrics, reply->outcome, now - agent->election.sent_at);
	agent->metrics.renewals += ok && agent->election.sent_op == EXCHANGE_SESSION_RENEW && reply->session_alive;
	if (ok)
		agent->answered_at = now;
}

// The text of a reply counts where the election takes it; one that comes after its time is thrown away there, too.
static void take_reply(struct agent *agent, const struct exchange_reply *reply)
{
	const struct election *election = &agent->election;
	bool awaited = election->busy && election->number == reply->number;
	if (awaited)
		memcpy(agent->store_text, reply->text, sizeof agent->store_text);
	if (awaited && reply->outcome == EXCHANGE_OK)
		agent->store_text[0] = '\0';
	if (reply->outcome == EXCHANGE_OK && reply->text[0])
		log_warning("store", log_text("warning", reply->text));
	if (awaited)
		count_reply(agent, reply);
	if (awaited && reply->outcome == EXCHANGE_OK && election->sent_candidates)
		server_take_candidates(agent->server, reply);
	if (awaited && reply->row_count > 0)
		agent->reported_at = clock_now_ns();
	step(agent, &(struct election_event){.type = ELECTION_REPLY, .reply = reply});
}

static void on_store(void *userdata, int fd, unsigned flags)
{
	struct agent *agent = userdata;
	struct exchange_reply *reply;
	(void)fd;
	(void)flags;
	while (store_next_reply(agent->store, &reply)) {
		take_reply(agent, reply);
		store_reply_free(reply);
	}
	struct store_hint hint;
	if (store_take_hint(agent->store, &hint))
		step(agent, &(struct election_event){
				    .type = ELECTION_HINT, .freed = hint.freed, .freed_count = hint.freed_count});
}

static void tell_service_manager(struct agent *agent)
{
	if (!agent->status_changed)
		return;
	agent->status_changed = false;
	const struct election *election = &agent->election;
	notify_status("leading %" PRIu32 " of %" PRIu32 "%s%s, store %s%s%s", agent->leading, election->lease_count,
		election->paused ? ", paused through " : "", election->paused_by,
		election->answered ? server_outcome_name(election->outcome) : "starting",
		agent->store_text[0] ? ": " : "", agent->store_text);
}

// The watchdog is fed only here: the loop made a turn, and the election has done all that it had to do by now. Where
// its time came within this turn, the next one feeds.
static void feed_watchdog(struct agent *agent)
{
	int64_t now = clock_now_ns();
	if (agent->watchdog_interval_ns == INT64_MAX || now < agent->watchdog_at ||
		election_deadline(&agent->election) <= now)
		return;
	notify_watchdog();
	agent->watchdog_at = now + agent->watchdog_interval_ns;
}

// Somebody looks at the page of HTTP, which shows it.
static void read_history(struct agent *agent)
{
	static const struct election_operation operation = {
		.kind = OPERATION_HISTORY, .lease = EXCHANGE_EVERY_LEASE, .count = HISTORY_TERMS};
	struct history *history = &agent->history;
	int64_t now = clock_now_ns();
	bool due = history_is_due(history, now) && agent->election.operation.kind == OPERATION_NONE;
	history->wanted = false;
	if (!due)
		return;
	history->asked_at = now;
	history->asking = true;
	step(agent, &(struct election_event){.type = ELECTION_OPERATE, .operation = &operation});
}

static void on_turn(void *userdata)
{
	struct agent *agent = userdata;
	server_turn(agent->server);
	http_turn(agent->http);
	read_history(agent);
	tell_service_manager(agent);
	feed_watchdog(agent);
	int64_t at = election_deadline(&agent->election), http_at = http_deadline(agent->http);
	at = http_at < at ? http_at : at;
	loop_arm(agent->setup.loop, agent->watchdog_at < at ? agent->watchdog_at : at);
	if (!agent->finished)
		return;
	server_flush(agent->server);
	loop_stop(agent->setup.loop);
}

static int allocate(struct agent *agent)
{
	size_t count = agent->setup.config->component_count;
	agent->room = count;
	agent->update.notes = calloc(election_notes_needed(count), sizeof *agent->update.notes);
	agent->leases = calloc(count, sizeof *agent->leases);
	agent->releases = calloc(count, sizeof *agent->releases);
	agent->claims = calloc(count, sizeof *agent->claims);
	agent->offers = calloc(count, sizeof *agent->offers);
	agent->slots = calloc(count, sizeof *agent->slots);
	bool all = agent->update.notes && agent->leases && agent->releases && agent->claims && agent->offers &&
		   agent->slots;
	return all ? 0 : -ENOMEM;
}

struct election_lease_timing agent_lease_timing(const struct config_component *component)
{
	return (struct election_lease_timing){
		.stop_grace_ns = component->stop_grace_ns,
		.start_timeout_ns = component->start_timeout_ns,
		.cooldown_ns = component->cooldown_ns,
		.observes = component->observes,
		.priority = component->priority,
		.prefer_after_ns = component->prefer_after_ns,
	};
}

static int init_election(struct agent *agent, int64_t now)
{
	const struct config *config = agent->setup.config;
	struct election_timing timing = {
		.lease_ns = config->store.lease_ns,
		.renew_ns = config->store.renew_ns,
		.poll_ns = config->store.poll_ns,
		.timeout_ns = config->store.timeout_ns,
	};
	struct election_lease_timing *timings = calloc(config->component_count, sizeof *timings);
	if (!timings)
		return -ENOMEM;
	for (size_t i = 0; i < config->component_count; i++)
		timings[i] = agent_lease_timing(&config->components[i]);
	struct election_room room = agent_room(agent);
	election_init(&agent->election, &timing, timings, (uint32_t)config->component_count, &room, now);
	free(timings);
	agent_group(agent, config, 0);
	return 0;
}

void agent_take_slots(struct agent *agent, size_t first)
{
	const struct config *config = agent->setup.config;
	size_t without = 0;
	for (size_t i = first; i < config->component_count; i++) {
		agent->slots[i] = page_slot(agent->setup.runtime->page, config->components[i].name);
		without += agent->slots[i] < 0;
	}
	if (without > 0)
		log_warning("terms-page", log_uint("components_without_a_slot", without),
			log_text("does", "nobody joins them before tenured is stopped and started"));
}

void agent_group(struct agent *agent, const struct config *config, size_t first)
{
	for (size_t i = first; i < config->component_count; i++) {
		size_t head = config_group_head(config, i);
		if (head != i)
			election_group(&agent->election, (uint32_t)i, (uint32_t)head);
	}
}

static int open_store(struct agent *agent)
{
	const struct config *config = agent->setup.config;
	struct agent_names names;
	int error = agent_names_new(&names, config);
	if (error == 0)
		error = store_new(&agent->store, agent->setup.driver, agent->setup.store, names.names, names.homes,
			config->component_count);
	agent_names_done(&names);
	if (error < 0)
		return error;
	return loop_watch_new(
		agent->setup.loop, store_fd(agent->store), LOOP_READ, on_store, agent, &agent->store_watch);
}

static int open_server(struct agent *agent)
{
	return server_new(&agent->server, &(struct server_setup){
						  .loop = agent->setup.loop,
						  .config = agent->setup.config,
						  .election = &agent->election,
						  .slots = agent->slots,
						  .terms_path = agent->setup.runtime->terms_path,
						  .boot_id = agent->setup.runtime->boot_id,
						  .store_text = agent->store_text,
						  .reported_at = &agent->reported_at,
						  .step = step,
						  .userdata = agent,
						  .reload = agent->setup.reload,
						  .reload_userdata = agent->setup.reload_userdata,
					  });
}

static int open_http(struct agent *agent)
{
	return http_new(&agent->http, &(struct http_setup){
					      .loop = agent->setup.loop,
					      .config = agent->setup.config,
					      .config_path = agent->setup.config_path,
					      .election = &agent->election,
					      .server = agent->server,
					      .store_text = agent->store_text,
					      .metrics = &agent->metrics,
					      .history = &agent->history,
					      .answered_at = &agent->answered_at,
				      });
}

int agent_new(struct agent **ret, const struct agent_setup *setup)
{
	struct agent *agent = calloc(1, sizeof *agent);
	if (!agent)
		return -ENOMEM;
	agent->setup = *setup;
	agent->told_outcome = EXCHANGE_UNKNOWN;
	agent->watchdog_interval_ns = notify_watchdog_interval_ns();
	agent->watchdog_at = agent->watchdog_interval_ns == INT64_MAX ? INT64_MAX : 0;
	int64_t now = clock_now_ns();
	agent->reported_at = now;
	agent->metrics.started_ms = clock_wall_ms();
	int error = allocate(agent);
	if (error == 0)
		error = metrics_reserve(&agent->metrics, setup->config->component_count, now);
	if (error == 0)
		error = init_election(agent, now);
	if (error == 0)
		error = open_server(agent);
	if (error == 0)
		error = open_store(agent);
	if (error < 0) {
		log_error("start", log_text("problem", "cannot set up the election"), log_errno("error", error));
		agent_free(agent);
		return error;
	}
	agent_take_slots(agent, 0);
	agent_resume(agent, now);
	*ret = agent;
	return 0;
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	loop_on_timer(agent->setup.loop, NULL, NULL);
	loop_on_turn(agent->setup.loop, NULL, NULL);
	http_free(agent->http);
	server_free(agent->server);
	loop_watch_free(agent->store_watch);
	store_free(agent->store);
	metrics_done(&agent->metrics);
	history_done(&agent->history);
	free(agent->update.notes);
	free(agent->leases);
	free(agent->releases);
	free(agent->claims);
	free(agent->offers);
	free(agent->slots);
	free(agent);
}

int agent_start(struct agent *agent)
{
	int error = open_http(agent);
	if (error == 0)
		error = server_listen(agent->server, agent->setup.runtime->listen_fd);
	if (error < 0)
		return error;
	loop_on_timer(agent->setup.loop, on_timer, agent);
	loop_on_turn(agent->setup.loop, on_turn, agent);
	agent->status_changed = true;
	agent_configure_removed(agent);
	on_timer(agent);
	return 0;
}

void agent_shutdown(struct agent *agent)
{
	step(agent, &(struct election_event){.type = ELECTION_SHUTDOWN});
}

bool agent_is_finished(const struct agent *agent)
{
	return agent->finished;
}
