// SPDX-License-Identifier: Apache-2.0
// The safety rules by name, so that the simulator can take each one away and see what it was for.
#ifndef TENURE_CORE_RULES_H
#define TENURE_CORE_RULES_H

enum rule {
	RULE_NONE,
	RULE_COUNT_FROM_SEND,       // rule 1
	RULE_OBSERVE_A_LEASE,       // rule 2
	RULE_DOUBT_NEW_INCARNATION, // rule 3
	RULE_KILL_BY_SWAP,          // rule 4
	RULE_TERMS_SURVIVE,         // rule 5
	RULE_TERMS_REMEMBERED,      // rule 5: where a server's clock is, or was, wrong
	RULE_TERMS_COME_BACK,       // rule 5: a worker that was told a larger term is told another one in the end
	RULE_MARGIN,                // rule 6
	RULE_NEVER_ADOPT,           // rule 7
	RULE_EXPIRED_IS_LOST,       // rule 8
	RULE_VERIFY_INCARNATION,    // rule 9
	RULE_FORGET_OBSERVATIONS,   // rule 10
	RULE_RELEASE_AFTER_STOP,    // W12: no release while the worker may act on a valid token
	RULE_FROZEN_DEADLINE,       // W12: a renewal does not move the deadline of a revoked term
	RULE_GRANT_ONCE,            // W2: one worker is told one term once
	RULE_REVOKE_IN_TIME,        // W8: told by deadline - stop_grace
	RULE_STOP_BEFORE_NEXT,      // W2: no next term before the last one's work has ended
	RULE_RESUMED_WAITS,         // a resumed term is not extended before its worker is back
	RULE_EXACT_RELEASE,         // W13: a late release never frees the next term
	RULE_CLOSE_SESSION_LAST,    // the session is deleted only when no token is valid
	RULE_UNREAD_IS_NOT_LATE,    // W16: what was said while the daemon stood still was said in time
	RULE_PAUSE_HOLDS,           // S2: nobody is elected while the fleet is paused
	RULE_TARGET_FIRST,          // S2: a lease that was transferred waits for whom it is meant
	RULE_GROUP_WHOLE,           // W19: a group leads where all of its components have a worker
	RULE_GROUP_FALLS,           // W19: one component that ends ends them all
	RULE_START_IN_ORDER,        // W19
	RULE_STOP_IN_ORDER,         // W19
	RULE_BETTER_LASTS,          // S3: a better node has to be there for prefer_after
	RULE_COUNT
};

#ifdef TENURE_MUTANTS
// The rule that is taken away; in builds for the tests only.
extern enum rule rule_removed;
#define RULE(name) (rule_removed != RULE_##name)
#else
#define RULE(name) 1
#endif

#endif
