// SPDX-License-Identifier: Apache-2.0
// What the daemons of a fleet are like: of each GROUP one leads one component, at the default timing, and in place of a
// worker there is one that starts and stops at once.
#ifndef TENURE_BENCH_FLEET_H
#define TENURE_BENCH_FLEET_H

#include "election.h"

#define GROUP 3

static const struct election_timing timing = {10 * NS_PER_S, 2 * NS_PER_S, NS_PER_S, 2 * NS_PER_S};

struct room {
	struct election_lease lease;
	struct exchange_release release;
	struct exchange_claim claim;
	struct exchange_offer offer;
	struct election_note notes[ELECTION_NOTES_PER_LEASE + ELECTION_NOTES_MORE];
};

// Groups that have a leader, and terms that were revoked since that was last set to 0.
static size_t leading_count;
static unsigned long revoked_count;

static void begin_election(struct election *election, struct election_update *update, struct room *room, int64_t now)
{
	static const struct election_lease_timing lease_timing = {
		.stop_grace_ns = 2 * NS_PER_S, .start_timeout_ns = 30 * NS_PER_S, .cooldown_ns = 5 * NS_PER_S};
	const struct election_room arrays = {&room->lease, &room->release, &room->claim, &room->offer};
	update->notes = room->notes;
	election_init(election, &timing, &lease_timing, 1, &arrays, now);
}

// What the worker says to a note; false where it has nothing to say.
static bool answer(const struct election_note *note, struct election_event *ret)
{
	leading_count += note->type == NOTE_STATE && note->to == LEASE_LEADING;
	leading_count -= note->type == NOTE_STATE && note->from == LEASE_LEADING;
	revoked_count += note->type == NOTE_REVOKED;
	if (note->type != NOTE_GRANTED && note->type != NOTE_REVOKED)
		return false;
	enum election_event_type type = note->type == NOTE_GRANTED ? ELECTION_STARTED : ELECTION_STOPPED;
	*ret = (struct election_event){.type = type, .term = note->term};
	return true;
}

#endif
