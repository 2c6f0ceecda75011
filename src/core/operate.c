// SPDX-License-Identifier: Apache-2.0
// What operators ask for (S2), and who is preferred (S3): what this session offers, what it is asked, what it asks.
#include "election_internal.h"

#include "rules.h"

// ---- what is offered ----

// Whether this daemon would lead it: there is a worker of every component, and nothing keeps it away.
static bool is_offered(const struct election *e, uint32_t head)
{
	const unsigned no_worker = 1U << SEAT_VACANT | 1U << SEAT_OVERDUE | 1U << SEAT_AWAY_REVOKED;
	bool any = false;
	if (e->stopping || e->now < e->leases[head].cooldown_until)
		return false;
	FOR_MEMBERS (e, i, head) {
		const struct election_lease *l = &e->leases[i];
		if (l->removed)
			continue;
		if ((no_worker & 1U << l->seat) || l->timing.observes)
			return false;
		any = true;
	}
	return any;
}

// What the session's row says others go by: it is written as soon as it is wrong. One that ends says so with what it
// releases, and then the row goes.
void review_offers(struct election *e)
{
	for (uint32_t i = 0; !e->stopping && i < e->lease_count; i++)
		e->publish |= is_head(e, i) && e->leases[i].offered != is_offered(e, i);
}

// A cool-down that ends makes an offer of it again, and nothing else would.
int64_t offer_at(const struct election *e, const struct election_lease *l)
{
	bool waits = l->state == LEASE_CANDIDATE || l->state == LEASE_RELEASING;
	return waits && e->now < l->cooldown_until ? l->cooldown_until : ELECTION_NEVER;
}

void add_offers(struct election *e, struct exchange_request *request)
{
	for (uint32_t i = 0; i < e->lease_count; i++) {
		struct election_lease *l = &e->leases[i];
		l->offered = is_head(e, i) && is_offered(e, i);
		if (l->offered)
			e->offers[request->offer_count++] =
				(struct exchange_offer){.lease = i, .priority = l->timing.priority};
	}
	request->publish = true;
	e->publish_at = e->now + e->timing.lease_ns;
}

// ---- who is preferred ----

// A session that was not renewed for longer than waiting daemons need is nobody to count on. The age is the server's
// word: it decides who is preferred, never who leads.
static bool is_live(const struct exchange_offerer *o)
{
	return o->age_us <= 4 * span_ns(o->lease_ms) / NS_PER_US;
}

// The server's clock may make the dead look alive: who is to be preferred has to be seen renewing (S3).
static struct election_rival look_at_rival(const struct election *e, const struct election_rival *last,
	const struct exchange_reply *reply, uint32_t candidate)
{
	const struct exchange_candidate *c = &reply->candidates[candidate];
	const struct exchange_offerer *o = exchange_offerer_of(reply, c);
	bool known = uuid_equal(&o->session, &last->session);
	struct election_rival rival = {
		.session = o->session,
		.priority = c->priority,
		.since = known ? last->since : e->now,
		.seq = o->seq,
		.renewed_at = known ? last->renewed_at : 0,
		.lease_ns = span_ns(o->lease_ms),
	};
	if (known && o->seq != last->seq)
		rival.renewed_at = e->now;
	return rival;
}

// Of several that are as good the one that was known stays, or none of them would ever last.
static void take_candidate(struct election *e, const struct exchange_reply *reply, const struct exchange_candidate *c)
{
	struct election_lease *l = &e->leases[c->lease];
	const struct exchange_candidate *best =
		l->next_rival == ELECTION_NO_ONE ? NULL : &reply->candidates[l->next_rival];
	const struct exchange_offerer *o = exchange_offerer_of(reply, c);
	bool known = uuid_equal(&o->session, &l->rival.session);
	bool better = !best || c->priority > best->priority || (c->priority == best->priority && known);
	if (better && !c->disputes && is_live(o) && !uuid_equal(&o->session, &e->session))
		l->next_rival = (uint32_t)(c - reply->candidates);
}

// Each lease gets the session that has a component of it in another one.
static void find_disputes(struct election *e, const struct exchange_reply *reply)
{
	for (uint32_t i = 0; i < e->lease_count; i++)
		e->leases[i].next_dispute = ELECTION_NO_ONE;
	for (size_t i = reply->candidate_count; i > 0; i--) {
		const struct exchange_candidate *c = &reply->candidates[i - 1];
		const struct exchange_offerer *o = exchange_offerer_of(reply, c);
		if (c->disputes && c->lease < e->lease_count && is_live(o) && !uuid_equal(&o->session, &e->session))
			e->leases[c->lease].next_dispute = c->offerer;
	}
}

// A component that is led by one lease here and by another there could have two leaders. Of two sessions the one that
// was created later sees the other before it claims anything, and then claims nothing of it (W19).
static void take_disputes(struct election *e, struct election_update *u, const struct exchange_reply *reply)
{
	static const struct exchange_offerer nobody = {0};
	find_disputes(e, reply);
	for (uint32_t i = 0; i < e->lease_count; i++) {
		struct election_lease *l = &e->leases[i];
		const struct exchange_offerer *o =
			l->next_dispute == ELECTION_NO_ONE ? &nobody : &reply->offerers[l->next_dispute];
		if (strcmp(o->node, l->disputed_by) == 0)
			continue;
		memcpy(l->disputed_by, o->node, sizeof l->disputed_by);
		add_note(u, NOTE_DISPUTED, i, NULL);
	}
}

void take_candidates(struct election *e, struct election_update *u, const struct exchange_reply *reply)
{
	e->added = false;
	take_disputes(e, u, reply);
	for (uint32_t i = 0; i < e->lease_count; i++)
		e->leases[i].next_rival = ELECTION_NO_ONE;
	for (size_t i = 0; i < reply->candidate_count; i++)
		if (reply->candidates[i].lease < e->lease_count)
			take_candidate(e, reply, &reply->candidates[i]);
	for (uint32_t i = 0; i < e->lease_count; i++) {
		struct election_lease *l = &e->leases[i];
		l->rival = l->next_rival == ELECTION_NO_ONE ? (struct election_rival){0}
							    : look_at_rival(e, &l->rival, reply, l->next_rival);
	}
}

// Who waits for a better node needs to know at once that it is gone.
bool prefers(const struct election *e)
{
	for (uint32_t i = 0; i < e->lease_count; i++) {
		const struct election_lease *l = &e->leases[i];
		if (l->state == LEASE_CANDIDATE && has_better(l))
			return true;
	}
	return false;
}

// When a better node gets the lease that is led here (S3).
int64_t prefer_at(const struct election *e, const struct election_lease *l)
{
	if (l->state != LEASE_LEADING || !has_better(l) || l->timing.prefer_after_ns == 0 || e->paused || !l->verified)
		return ELECTION_NEVER;
	if (!RULE(BETTER_LASTS))
		return e->now;
	// It renews its session every third lease.
	bool lives = l->rival.renewed_at != 0 && e->now - l->rival.renewed_at <= 4 * l->rival.lease_ns;
	return lives ? l->rival.since + l->timing.prefer_after_ns : ELECTION_NEVER;
}

// ---- what is asked of the leader ----

// Somebody is to lead next who is not this daemon, and gets the time to hear of it: a poll, and an exchange. A better
// node gets a head start where nobody is named (S3); it may be gone without a word, so that is all.
void wait_for_others(struct election *e, struct election_lease *l)
{
	bool free = uuid_is_none(&l->row.holder) && l->row.exists;
	bool meant = is_meant_for_another(e, l);
	if (!free || !others_first(e, l))
		l->others_until = 0;
	else if (l->others_until == 0)
		l->others_until = e->now + (meant ? e->timing.poll_ns + e->timing.timeout_ns : retry_ns(e));
}

// S2, S3: what was asked of this term.
void obey_ask(struct election *e, struct election_update *u, uint32_t lease)
{
	struct election_lease *l = &e->leases[lease];
	bool transfer = !uuid_is_none(&l->row.target);
	if (!l->row.asked || l->row.term != l->held_term || uuid_equal(&l->row.target, &e->session))
		return;
	l->cooldown_ns = l->row.cooldown_ms >= 0 ? span_ns(l->row.cooldown_ms) : l->timing.cooldown_ns;
	revoke_lease(e, u, lease, transfer ? REASON_TRANSFERRED : REASON_RESIGNED);
}

// ---- what is asked here ----

// A better node has been there for long enough.
static void ask_for_better(struct election *e)
{
	for (uint32_t i = 0; e->ask.term == 0 && i < e->lease_count; i++) {
		struct election_lease *l = &e->leases[i];
		if (e->now < prefer_at(e, l))
			continue;
		e->ask = (struct exchange_ask){.lease = i, .term = l->held_term, .target = l->rival.session};
		// If nothing comes of it, it has to prove itself again.
		l->rival.since = e->now;
		l->rival.renewed_at = 0;
	}
}

// An operation that is about a leader looks first, and asks for what it saw.
void add_operation(struct election *e, struct exchange_request *request)
{
	if (e->fresh && e->operation.kind == OPERATION_NONE)
		ask_for_better(e);
	e->sent_ask = e->ask.term != 0 && e->fresh;
	request->ask = e->sent_ask ? &e->ask : NULL;
	e->operation_sent = e->operation.kind != OPERATION_NONE;
	switch (e->operation.kind) {
	case OPERATION_PAUSE:
		request->pause = EXCHANGE_PAUSE_SET;
		break;
	case OPERATION_RESUME:
		request->pause = EXCHANGE_PAUSE_CLEAR;
		break;
	case OPERATION_HISTORY:
		request->history_lease = e->operation.lease;
		request->history_count = e->operation.count;
		break;
	case OPERATION_TRANSFER:
		request->candidates = true;
		break;
	case OPERATION_RESIGN:
	case OPERATION_NONE:
	default:
		break;
	}
	request->report |= e->operation_sent || e->sent_ask;
}

void end_operation(struct election *e, struct election_update *u, enum election_result result)
{
	if (e->operation.kind == OPERATION_NONE)
		return;
	e->operation.kind = OPERATION_NONE;
	e->operation_sent = false;
	add_note(u, NOTE_OPERATED, e->operation.lease < e->lease_count ? e->operation.lease : 0, NULL)->result = result;
}

void take_paused(struct election *e, struct election_update *u, const struct exchange_reply *reply)
{
	bool paused = reply->paused[0] != '\0';
	memcpy(e->paused_by, reply->paused, sizeof e->paused_by);
	if (paused == e->paused)
		return;
	e->paused = paused;
	add_note(u, NOTE_PAUSED, 0, NULL);
}

// Of a node that was killed and came back the last session may still be there: the newest word counts.
static enum election_result find_target(
	const struct election *e, const struct exchange_reply *reply, struct uuid *ret_target)
{
	const struct election_operation *operation = &e->operation;
	const struct exchange_offerer *found = NULL;
	for (size_t i = 0; i < reply->candidate_count; i++) {
		const struct exchange_candidate *c = &reply->candidates[i];
		const struct exchange_offerer *o = exchange_offerer_of(reply, c);
		if (c->lease == operation->lease && !c->disputes && strcmp(o->node, operation->node) == 0 &&
			is_live(o) && (!found || o->age_us < found->age_us))
			found = o;
	}
	if (!found)
		return RESULT_NO_CANDIDATE;
	*ret_target = found->session;
	bool leads = uuid_equal(&found->session, &e->leases[operation->lease].row.holder);
	return leads ? RESULT_LEADS_ALREADY : RESULT_DONE;
}

// The rows are at hand now: what is to be asked, and of which term.
static void ask_leader(struct election *e, struct election_update *u, const struct exchange_reply *reply)
{
	const struct election_operation *o = &e->operation;
	const struct election_lease *l = &e->leases[o->lease];
	bool transfer = o->kind == OPERATION_TRANSFER;
	enum election_result result = RESULT_DONE;
	struct uuid target = {0};
	if (!l->row.exists || uuid_is_none(&l->row.holder) || !l->row.holder_alive)
		result = RESULT_NOBODY_LEADS;
	else if (transfer && e->paused)
		result = RESULT_PAUSED;
	else if (transfer)
		result = find_target(e, reply, &target);
	if (result != RESULT_DONE) {
		end_operation(e, u, result);
		return;
	}
	e->ask = (struct exchange_ask){
		.lease = o->lease,
		.term = l->row.term,
		.target = target,
		.cooldown_ms = transfer             ? 0
			       : o->cooldown_ns < 0 ? -1
						    : o->cooldown_ns / NS_PER_MS,
	};
}

void take_operation(struct election *e, struct election_update *u, const struct exchange_reply *reply)
{
	bool asked = e->sent_ask;
	e->sent_ask = false;
	if (asked)
		e->ask.term = 0;
	if (!e->operation_sent)
		return;
	bool leader = e->operation.kind == OPERATION_RESIGN || e->operation.kind == OPERATION_TRANSFER;
	if (leader && !asked)
		ask_leader(e, u, reply);
	else
		end_operation(e, u, leader && !reply->asked ? RESULT_OVERTAKEN : RESULT_DONE);
}
