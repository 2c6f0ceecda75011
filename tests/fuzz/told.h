// SPDX-License-Identifier: Apache-2.0
// What the workers of an election were told, and what must hold of it after every step, whatever the database says.
#ifndef TENURE_FUZZ_TOLD_H
#define TENURE_FUZZ_TOLD_H

#include "fuzz.h"

#include "election.h"

struct told {
	uint64_t term; // of the token that is out; 0: none
	int64_t deadline;
	bool revoked;
	uint64_t last_term; // none comes twice, none goes back
};

static inline void told_granted(struct told *told, const struct election_note *note, const struct election *e)
{
	MUST(told->term == 0 && note->term > told->last_term); // W2, W4
	MUST(note->deadline > e->now && note->deadline <= e->now + e->timing.lease_ns);
	*told = (struct told){.term = note->term, .deadline = note->deadline, .last_term = note->term};
}

static inline void told_extended(struct told *told, const struct election_note *note, const struct election *e)
{
	MUST(told->term != 0 && note->term == told->term && !told->revoked); // W5
	MUST(e->now < told->deadline);                                       // rule 8
	MUST(note->deadline > told->deadline && note->deadline <= e->now + e->timing.lease_ns);
	told->deadline = note->deadline;
}

static inline void told_revoked(struct told *told, const struct election_note *note)
{
	MUST(told->term != 0 && note->term == told->term && !told->revoked); // W2
	MUST(note->deadline <= told->deadline);
	told->deadline = note->deadline;
	told->revoked = true;
}

static inline void told_note(struct told *all, const struct election_note *note, const struct election *e)
{
	struct told *told = &all[note->lease];
	if (note->type == NOTE_GRANTED)
		told_granted(told, note, e);
	else if (note->type == NOTE_EXTENDED)
		told_extended(told, note, e);
	else if (note->type == NOTE_REVOKED)
		told_revoked(told, note);
	else if (note->type == NOTE_CLEARED)
		told->term = 0;
}

// After the notes of a step.
static inline void told_check(const struct told *all, const struct election *e)
{
	for (uint32_t i = 0; i < e->lease_count; i++) {
		const struct election_lease *l = &e->leases[i];
		MUST(l->token.term == all[i].term);
		if (l->token.term == 0)
			continue;
		MUST(l->token.deadline == all[i].deadline && l->token.revoked == all[i].revoked);
		MUST(e->now < l->token.deadline); // nobody has a token that is over
		const struct election_lease *head = election_head(e, i);
		MUST(head->held_term == l->token.term && l->token.deadline <= head->held_deadline); // W19
		MUST(head->state == LEASE_LEADING || head->state == LEASE_DRAINING);
		MUST(l->token.revoked || e->now < l->token.deadline - l->timing.stop_grace_ns); // W8
	}
}

#endif
