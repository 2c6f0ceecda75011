// SPDX-License-Identifier: Apache-2.0
// The lease protocol for a model checker: two daemons, one component, a database that fails over to a stale replica.
// README.md says what is left out and why; -DWITHOUT=N takes rule N away.

#ifndef WITHOUT
#define WITHOUT 0
#endif
#define RULE(n) (WITHOUT != (n))

#ifndef LEASE
#define LEASE 3     // in ticks
#endif
#ifndef SEQS
#define SEQS 2      // a session is renewed until it has this number
#endif
#ifndef TERMS
#define TERMS 3     // nothing is claimed beyond
#endif
#ifndef FAILOVERS
#define FAILOVERS 1
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif

#define SESSIONS 2  // of each daemon: 1, 2 and 3, 4; 0 is none
// How long the waiting side waits (rule 6). Of the two clocks the first may lose a tick in every lease.
#define WAIT (LEASE + RULE(6))
#define OBSERVE (RULE(2) -> WAIT : LEASE / 2)
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define OTHER(d) (1 - (d))

#define NOTHING 0
#define CREATE 1
#define POLL 2
#define RENEW 3
#define CLAIM 4
#define RELEASE 5

typedef tables {
	byte seq[5];        // of each session; 0: it has no row
	byte holder;        // the session that the lease names
	byte term;
	byte row_generation;
	byte generation;
	byte believed;      // the incarnation in tenure_store
}

typedef answer {
	bit alive;          // the session statement changed a row
	byte incarnation;
	bit believed;       // it is the one in tenure_store
	byte granted;       // 0: none
	byte holder;
	byte seq;           // the holder's; 0: it has no row
	byte term;
}

typedef daemon {
	byte session;
	bit live;           // the session was acknowledged
	byte term;          // what its worker was told; 0: nothing
	byte left;          // ticks by its own clock until the deadline; 0: not valid
	byte orphan;        // the same of a worker whose daemon was killed and resumed nothing
	bit verified;
	byte incarnation;   // that was seen last; 0: none yet
	bit believed;
	byte known;         // ticks since it was first seen
	bit seen;           // holder, seq and term are of the last report on this connection
	byte holder;
	byte seq;
	byte row_term;
	byte watched;       // ticks since that pair was first seen
	byte asked;         // the exchange that is out
	byte age;           // ticks since it was sent
	answer reply;
}

tables db;
tables replica;             // what a fail-over brings back
bit has_replica;
byte incarnation = 1;
daemon daemons[2];
byte top;                   // the highest term that a worker was told
byte given;                 // the highest that was written
byte since_slow = LEASE;    // ticks since the slow clock lost one
byte failovers, restarts;
bit inserted[5];

#define D daemons[d]

// ---- the database ----

inline adopt(d) {
	if
	:: db.believed != D.incarnation && RULE(5) ->
		db.believed = D.incarnation;
		// A number that nobody used before: the server's time, which grows faster than terms do.
		db.generation = MAX(db.generation, given) + 1
	:: db.believed != D.incarnation && !RULE(5) ->
		db.believed = D.incarnation
	:: else
	fi
}

inline kill(d) {
	if
	:: D.holder != 0 && D.holder != D.session && db.seq[D.holder] != 0 &&
			(db.seq[D.holder] == D.seq || !RULE(4)) ->
		db.seq[D.holder] = 0
	:: else
	fi
}

inline take_row(d) {
	if
	:: db.holder == 0 || (db.holder == D.holder && db.term == D.row_term &&
			(db.holder == D.session || db.seq[db.holder] == 0)) ->
		db.holder = D.session;
		db.term = ((RULE(5) && db.row_generation != db.generation) ->
			MAX(db.term + 1, db.generation) : db.term + 1);
		db.row_generation = db.generation;
		given = MAX(given, db.term);
		D.reply.granted = db.term
	:: else
	fi
}

inline end_term(d) {
	D.term = 0;
	D.left = 0
}

// A request is carried out when it is sent. The reply of a renewal or a claim comes later, or never.
inline exchange(d, what) {
	D.asked = what;
	D.age = 0;
	D.reply.granted = 0;
	if
	:: what == CREATE ->
		if
		:: !inserted[D.session] -> inserted[D.session] = 1; db.seq[D.session] = 1
		:: else
		fi
	:: (what == RENEW || what == CLAIM) && db.seq[D.session] != 0 -> db.seq[D.session]++
	:: what == RELEASE ->
		if
		:: db.holder == D.session && db.term == D.term -> db.holder = 0
		:: else
		fi;
		end_term(d)
	:: else
	fi;
	D.reply.alive = db.seq[D.session] != 0;
	if
	:: what == CLAIM && incarnation == D.incarnation ->
		adopt(d);
		if
		:: D.reply.alive -> kill(d); take_row(d)
		:: else
		fi
	:: else
	fi;
	D.reply.incarnation = incarnation;
	D.reply.believed = db.believed == incarnation;
	D.reply.holder = db.holder;
	D.reply.seq = db.seq[db.holder];
	D.reply.term = db.term
}

// ---- a daemon ----

inline forget(d) {
	D.seen = 0;
	D.holder = 0;
	D.seq = 0;
	D.row_term = 0;
	D.watched = 0
}

inline end_exchange(d) {
	D.asked = NOTHING;
	D.age = 0;
	D.reply.alive = 0;
	D.reply.incarnation = 0;
	D.reply.believed = 0;
	D.reply.granted = 0;
	D.reply.holder = 0;
	D.reply.seq = 0;
	D.reply.term = 0
}

// Another identity; none is left after the last.
inline new_session(d) {
	D.live = 0;
	D.session = (D.session == d * SESSIONS + SESSIONS -> 0 : D.session + 1)
}

inline take_server(d) {
	if
	:: D.incarnation != D.reply.incarnation ->
		D.incarnation = D.reply.incarnation;
		D.known = 0;
		D.verified = !RULE(9);
		if
		:: RULE(10) -> forget(d)
		:: else
		fi
	:: else
	fi;
	D.believed = D.reply.believed
}

inline take_session(d) {
	if
	:: D.asked == CREATE || D.asked == RENEW || D.asked == CLAIM ->
		if
		:: D.reply.alive -> D.live = 1
		:: else -> end_term(d); new_session(d)
		fi
	:: else
	fi
}

// The worker is told of a term.
inline grant(d, the_term) {
	if
	:: D.age < LEASE || !RULE(1) ->
		D.term = the_term;
		D.left = (RULE(1) -> LEASE - D.age : LEASE);
		D.verified = 1;
		assert(D.term > top);      // terms never repeat or go back
		top = D.term
	:: else
	fi
}

inline take_report(d) {
	if
	:: !D.seen || D.holder != D.reply.holder || D.seq != D.reply.seq -> D.watched = 0
	:: else
	fi;
	D.seen = 1;
	D.holder = D.reply.holder;
	D.seq = D.reply.seq;
	D.row_term = D.reply.term;
	if
	:: D.term != 0 && D.holder == D.session && D.row_term == D.term -> D.verified = 1
	:: D.term != 0 && (D.holder != D.session || D.row_term != D.term) && !D.verified -> end_term(d)
	:: D.term == 0 && !RULE(7) && D.live && D.holder == D.session && D.row_term != 0 -> grant(d, D.row_term)
	:: else
	fi
}

inline extend(d) {
	if
	:: D.asked == RENEW && D.reply.alive && D.term != 0 && D.verified && (D.left > 0 || !RULE(8)) &&
			(RULE(1) -> LEASE - D.age : LEASE) > D.left ->
		D.left = (RULE(1) -> LEASE - D.age : LEASE);
		assert(D.term >= top)
	:: else
	fi
}

// Never two valid terms.
inline check() {
	assert((daemons[0].left > 0) + (daemons[1].left > 0) + (daemons[0].orphan > 0) + (daemons[1].orphan > 0) <= 1)
}

inline take_reply(d) {
	take_server(d);
	take_session(d);
	if
	:: D.reply.granted != 0 && D.live && D.term == 0 -> grant(d, D.reply.granted)
	:: else
	fi;
	take_report(d);
	extend(d);
	check();
	end_exchange(d)
}

inline lose_reply(d) {
	end_exchange(d);
	if
	:: RULE(10) -> forget(d)
	:: else
	fi
}

inline restart(d, resumes) {
	restarts++;
	end_exchange(d);
	forget(d);
	D.incarnation = 0;
	D.known = 0;
	D.believed = 0;
	D.verified = 0;
	if
	:: resumes
	:: else ->
		D.orphan = D.left;
		end_term(d);
		new_session(d)
	fi
}

#define TRUSTS(d) (D.believed || !RULE(3) || D.known >= WAIT)
#define FREE(d) (D.holder == 0 || D.holder == D.session || D.seq == 0 || D.watched >= OBSERVE)
#define MAY_CLAIM(d) (D.term == 0 && D.live && D.seen && TRUSTS(d) && FREE(d))
#define IDLE(d) (D.asked == NOTHING && D.session != 0)

// ---- time ----

#define COUNT_DOWN(n) n = (n > 0 -> n - 1 : 0)
#define COUNT_UP(n, end) n = (n < end -> n + 1 : end)

inline pass(d) {
	COUNT_DOWN(D.left);
	COUNT_DOWN(D.orphan);
	if
	:: D.left == 0 && RULE(8) -> D.term = 0
	:: else
	fi;
	if
	:: D.incarnation != 0 && !D.believed -> COUNT_UP(D.known, WAIT)
	:: else -> D.known = 0
	fi;
	if
	:: D.seen && D.holder != 0 && D.holder != D.session -> COUNT_UP(D.watched, WAIT)
	:: else -> D.watched = 0
	fi;
	if
	:: D.asked != NOTHING -> COUNT_UP(D.age, LEASE)
	:: else
	fi
}

inline keep(to, from) {
	to.seq[1] = from.seq[1];
	to.seq[2] = from.seq[2];
	to.seq[3] = from.seq[3];
	to.seq[4] = from.seq[4];
	to.holder = from.holder;
	to.term = from.term;
	to.row_generation = from.row_generation;
	to.generation = from.generation;
	to.believed = from.believed
}

active proctype world() {
	byte d;
	d_step {
		db.believed = 1;
		daemons[0].session = 1;
		daemons[1].session = 1 + SESSIONS
	};
	do
	:: d_step { d = 0; pass(d); d = 1; pass(d); d = 0; COUNT_UP(since_slow, LEASE) }
	:: d_step { since_slow >= LEASE -> d = 1; pass(d); d = 0; since_slow = 0 }
	:: atomic {
		// What happens next happens at one daemon.
		if
		:: d = 0
		:: d = 1
		fi;
		if
		:: d_step { IDLE(d) && !D.live && D.term == 0 -> exchange(d, CREATE); take_reply(d) }
		:: d_step { IDLE(d) && D.live -> exchange(d, POLL); take_reply(d) }
		:: d_step { IDLE(d) && D.term != 0 && db.seq[D.session] < SEQS -> exchange(d, RENEW) }
		:: d_step { IDLE(d) && MAY_CLAIM(d) && given < TERMS && db.seq[D.session] < SEQS -> exchange(d, CLAIM) }
		:: d_step { IDLE(d) && D.left > 0 -> exchange(d, RELEASE); take_reply(d) }
		:: d_step { IDLE(d) && D.left > 0 -> exchange(d, RELEASE); lose_reply(d) }
		:: d_step { D.asked != NOTHING -> take_reply(d) }
		:: d_step { D.asked != NOTHING -> lose_reply(d) }
		:: d_step { restarts < RESTARTS && D.session != 0 -> restart(d, true) }
		:: d_step { restarts < RESTARTS && D.session != 0 && D.orphan == 0 -> restart(d, false) }
		:: else
		fi;
		d = 0
	}
	:: d_step { failovers < FAILOVERS && !has_replica -> keep(replica, db); has_replica = 1 }
	:: d_step { has_replica -> keep(db, replica); has_replica = 0; failovers++; incarnation++;
		replica.seq[1] = 0; replica.seq[2] = 0; replica.seq[3] = 0; replica.seq[4] = 0; replica.holder = 0;
		replica.term = 0; replica.row_generation = 0; replica.generation = 0; replica.believed = 0 }
	od
}
