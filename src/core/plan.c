// SPDX-License-Identifier: Apache-2.0
// What to ask the store, and when: one exchange at a time, for all leases together.
#include "election_internal.h"

#include <assert.h>

#include "rules.h"

// What the leases want, seen together.
struct plan {
	bool holds;   // a worker may act on a token, or a claim is out
	bool follows; // some row is worth reading
	int64_t at;   // when the first of them wants an exchange
};

static bool is_held(const struct election_lease *l)
{
	return l->state == LEASE_LEADING || l->state == LEASE_DRAINING || l->state == LEASE_CLAIMING;
}

bool holds_anything(const struct election *e)
{
	bool holds = false;
	for (uint32_t i = 0; i < e->lease_count; i++)
		holds |= is_held(&e->leases[i]);
	return holds;
}

// From when on the server that answers may be believed (rule 3).
static int64_t believed_at(const struct election *e)
{
	if (!e->doubted || !RULE(DOUBT_NEW_INCARNATION))
		return 0;
	return e->server_seen_at + wait_ns(e->longest_lease_ns);
}

// When the session that the row names may be killed (rules 2 and 6).
static int64_t kill_at(const struct election_lease *l)
{
	int64_t lease_ns = span_ns(l->row.holder_lease_ms);
	return l->observed_at + (RULE(OBSERVE_A_LEASE) ? wait_ns(lease_ns) : lease_ns / 2);
}

int64_t plan_claim_at(const struct election *e, const struct election_lease *l)
{
	if (l->state != LEASE_CANDIDATE || e->stopping || e->session_state != SESSION_LIVE || !l->seen)
		return ELECTION_NEVER;
	if ((e->paused && RULE(PAUSE_HOLDS)) || l->disputed_by[0] != '\0')
		return ELECTION_NEVER;
	int64_t at = max_ns(max_ns(l->cooldown_until, l->retry_at), believed_at(e));
	at = max_ns(at, l->others_until);
	bool held = !uuid_is_none(&l->row.holder) && l->row.holder_alive && !row_is_mine(e, &l->row) && !l->freed;
	return held ? max_ns(at, kill_at(l)) : at;
}

static int64_t lease_exchange_at(const struct election *e, const struct election_lease *l)
{
	switch (l->state) {
	case LEASE_IDLE:
	case LEASE_CANDIDATE:
		return min_ns(l->look_at, plan_claim_at(e, l));
	case LEASE_RELEASING:
		return l->retry_at;
	case LEASE_LEADING:
		return l->verified ? prefer_at(e, l) : e->now;
	case LEASE_CLAIMING:
	case LEASE_DRAINING:
	case LEASE_STATES:
	default:
		return ELECTION_NEVER;
	}
}

// A session that holds nothing is kept only to be seen as a live candidate: every third lease (R16).
static int64_t renewal_interval_ns(const struct election *e, bool holds)
{
	return holds ? e->timing.renew_ns : 3 * e->timing.lease_ns;
}

static int64_t renewal_at(const struct election *e, bool holds)
{
	return e->renew_soon ? e->now : e->renewed_at + renewal_interval_ns(e, holds);
}

static bool wants_more(const struct election *e)
{
	bool says = e->publish && e->now >= e->publish_from;
	return says || e->operation.kind != OPERATION_NONE || e->ask.term != 0;
}

static struct plan make_plan(const struct election *e)
{
	struct plan plan = {.at = ELECTION_NEVER};
	for (uint32_t i = 0; i < e->lease_count; i++) {
		const struct election_lease *l = &e->leases[i];
		if (!is_head(e, i))
			continue;
		plan.holds |= is_held(l);
		plan.follows |= !is_held(l) || !l->verified;
		plan.at = min_ns(plan.at, min_ns(lease_exchange_at(e, l), offer_at(e, l)));
	}
	plan.at = min_ns(plan.at, renewal_at(e, plan.holds));
	plan.at = min_ns(plan.at, e->publish ? e->publish_from : ELECTION_NEVER);
	if (!e->fresh || e->session_state != SESSION_LIVE || e->hinted || wants_more(e))
		plan.at = e->now;
	plan.at = max_ns(plan.at, e->backoff_until);
	return plan;
}

static void add_releases(struct election *e, struct exchange_request *request)
{
	for (uint32_t i = 0; i < e->lease_count; i++) {
		struct election_lease *l = &e->leases[i];
		if (l->state != LEASE_RELEASING || (e->now < l->retry_at && !e->stopping))
			continue;
		l->release_number = e->number + 1;
		e->releases[request->release_count++] = (struct exchange_release){
			.lease = i,
			.term = l->release_term,
			.reason = election_reason_name(l->release_reason),
		};
	}
}

// True where all that is claimed was announced to be free.
static bool add_claims(struct election *e, struct election_update *u, struct exchange_request *request)
{
	bool all_free = true;
	for (uint32_t i = 0; e->fresh && i < e->lease_count; i++) {
		struct election_lease *l = &e->leases[i];
		if (!is_head(e, i) || e->now < plan_claim_at(e, l))
			continue;
		// Whose holder may be killed is claimed with that: it takes a free row just as well.
		bool as_free = l->freed && e->now < kill_at(l);
		all_free &= as_free;
		e->claims[request->claim_count++] = (struct exchange_claim){
			.lease = i,
			.missing = !l->row.exists,
			.holder = as_free ? (struct uuid){{0}} : l->row.holder,
			.holder_seq = l->row.holder_alive && !as_free ? l->row.holder_seq : -1,
			.term = l->row.term,
		};
		l->freed = false;
		change_lease(e, u, i, LEASE_CLAIM, REASON_NONE);
	}
	return all_free && request->claim_count > 0;
}

// The server lost a term that a worker here was told, and whoever adopted it did not know: nothing would come of the
// claim (rule 5).
static bool terms_went_back(const struct election *e, const struct exchange_request *request)
{
	bool back = false;
	for (size_t i = 0; RULE(TERMS_COME_BACK) && i < request->claim_count; i++)
		FOR_MEMBERS (e, j, e->claims[i].lease)
			back |= e->leases[j].told_term > e->claims[i].term;
	return back;
}

// A session without a lease that nobody renewed for ten of its leases is swept away: once, and if that fails, it is
// observed anew.
static void add_sweeps(struct election *e, struct exchange_request *request)
{
	size_t kept = 0;
	for (size_t i = 0; i < e->stray_count; i++) {
		struct election_stray *s = &e->strays[i];
		if (e->now >= s->observed_at + 10 * wait_ns(span_ns(s->stray.lease_ms)))
			e->sweeps[request->sweep_count++] = s->stray;
		else
			e->strays[kept++] = *s;
	}
	e->stray_count = kept;
}

static enum exchange_session_op choose_session_op(
	const struct election *e, const struct plan *plan, const struct exchange_request *request)
{
	if (e->session_state == SESSION_NONE)
		return EXCHANGE_SESSION_CREATE;
	if (e->session_state == SESSION_UNSURE || request->claim_count > 0)
		return EXCHANGE_SESSION_RENEW;
	// Others wait for what is released: nothing goes before it that can go after it. What was added does not: its
	// first row is to be seen together with what others offer.
	bool hurries = request->release_count > 0 && !e->stopping && !e->added;
	if (e->publish && !hurries)
		return EXCHANGE_SESSION_RENEW;
	// A renewal that is due soon goes along with what goes now: one exchange a tick.
	int64_t soon = e->now + (hurries ? 0 : renewal_interval_ns(e, plan->holds) / 4);
	return renewal_at(e, plan->holds) <= soon ? EXCHANGE_SESSION_RENEW : EXCHANGE_SESSION_NONE;
}

static void begin_session(struct election *e, struct election_update *u)
{
	assert(!uuid_is_none(&e->spare));
	e->session = e->spare;
	e->spare = (struct uuid){{0}};
	change_session(e, u, SESSION_CREATE);
}

static uint64_t mix(uint64_t draw, const void *more)
{
	uint64_t bits;
	memcpy(&bits, more, sizeof bits);
	draw = (draw ^ bits) * UINT64_C(0x9e3779b97f4a7c15);
	return draw ^ draw >> 32;
}

// From what no other daemon has, nor had this one in an earlier life: that may have resumed its session.
static uint64_t draw_leap(const struct election *e)
{
	uint64_t draw = mix(mix(mix(0, e->session.byte), e->spare.byte), &e->number);
	return EXCHANGE_LEAP_LEAST + (draw >> 32) % (EXCHANGE_LEAP_MOST - EXCHANGE_LEAP_LEAST);
}

static void submit(struct election *e, struct election_update *u)
{
	struct exchange_request *request = &u->request;
	request->number = ++e->number;
	request->session = e->session;
	request->lease_ms = e->timing.lease_ns / NS_PER_MS;
	request->incarnation = e->server;
	request->highest_term = RULE(TERMS_REMEMBERED) ? e->highest_term : 0;
	request->leap = RULE(TERMS_REMEMBERED) ? draw_leap(e) : 1;
	request->releases = e->releases;
	request->claims = e->claims;
	request->sweeps = e->sweeps;
	request->offers = e->offers;
	e->busy = true;
	e->sent_at = e->now;
	e->sent_op = request->session_op;
	e->sent_strays = request->strays;
	e->sent_report = request->report;
	e->sent_candidates = request->candidates;
	e->sent_publish = request->publish;
	e->publish = e->publish && !request->publish;
	e->hinted = e->hinted && !request->report;
	e->renew_soon = false;
	u->submit = true;
	u->request_deadline = e->now + e->timing.timeout_ns;
}

static void send_exchange(struct election *e, struct election_update *u, const struct plan *plan)
{
	struct exchange_request *request = &u->request;
	*request = (struct exchange_request){.holds = plan->holds};
	add_releases(e, request);
	// A release is known to have been made by a report.
	bool hurries = add_claims(e, u, request) && request->release_count == 0;
	e->publish |= e->stopping && request->release_count > 0;
	request->adopt = (request->claim_count > 0 && e->doubted) || terms_went_back(e, request);
	request->session_op = choose_session_op(e, plan, request);
	// Who leads everything looks at what others ask for: when it is told, and now and then. Nobody leads what was
	// announced to be free: it is claimed first, and the rows are looked at right after.
	request->report = !hurries && (plan->follows || !e->fresh || e->hinted || e->deaf || e->now >= e->report_at);
	bool renews = request->session_op == EXCHANGE_SESSION_RENEW;
	// What is released is claimed next: this daemon's own words would have that wait for the disk once more.
	if (request->release_count > 0 && !renews)
		e->publish_from = e->now + retry_ns(e);
	// Who has something to say of itself says it before, or while, it looks at what others say (W19).
	bool unsaid = e->publish && !renews;
	request->strays = request->report && !unsaid && e->now >= e->strays_at;
	bool begins = request->session_op == EXCHANGE_SESSION_CREATE;
	request->candidates = request->strays || (request->report && (begins || prefers(e)));
	// An exchange that was given up may yet write what it had to say: it is said again and again.
	if (begins || (renews && (e->publish || e->now >= e->publish_at)))
		add_offers(e, request);
	add_operation(e, request);
	if (e->fresh)
		add_sweeps(e, request);
	if (request->session_op == EXCHANGE_SESSION_CREATE)
		begin_session(e, u);
	submit(e, u);
}

// The last exchange: what is left is released with it, and a database that does not answer is not waited for.
static void close_session(struct election *e, struct election_update *u)
{
	bool reachable = e->outcome == EXCHANGE_OK && e->fresh;
	change_session(e, u, SESSION_CLOSE);
	if (!reachable && e->session_state == SESSION_CLOSING)
		change_session(e, u, SESSION_FAILED);
	if (e->session_state == SESSION_CLOSED)
		return;
	u->request = (struct exchange_request){.session_op = EXCHANGE_SESSION_DELETE};
	add_releases(e, &u->request);
	submit(e, u);
}

void plan_exchange(struct election *e, struct election_update *u)
{
	if (e->busy)
		return;
	e->exchange_at = ELECTION_NEVER;
	if (e->session_state == SESSION_CLOSED)
		return;
	review_offers(e);
	struct plan plan = make_plan(e);
	if (e->stopping && (!plan.holds || !RULE(CLOSE_SESSION_LAST))) {
		close_session(e, u);
		return;
	}
	if (e->now >= plan.at) {
		send_exchange(e, u, &plan);
		return;
	}
	e->exchange_at = plan.at;
}
