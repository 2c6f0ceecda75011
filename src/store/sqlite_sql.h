// SPDX-License-Identifier: Apache-2.0
// The SQL of the SQLite driver.
#ifndef TENURE_STORE_SQLITE_SQL_H
#define TENURE_STORE_SQLITE_SQL_H

#include "driver.h"

#define SQL_NOW_US "CAST(strftime('%s', 'now') AS INTEGER) * 1000000"
#define SQL_NOW "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
#define SQL_UNIX_MS(column) "CAST(round((julianday(" column ") - 2440587.5) * 86400000) AS INTEGER)"
#define SQL_AGE(column, unit) "CAST((julianday('now') - julianday(" column ")) * 86400 * " unit " AS INTEGER)"
#define SQL_ADD_COLUMN "ALTER TABLE %s ADD COLUMN %s %s"
#define SQL_PAST \
	"SELECT component, term, node, " SQL_UNIX_MS("began_at") ", " SQL_UNIX_MS( \
		"ended_at") ", reason FROM tenure_history"
#define SQL_NEWEST " ORDER BY began_at DESC, term DESC"

// ---- the schema ----

// Step N makes version N of version N - 1. Each may find its own work done: a script that was printed has no `if`.
static const char *const schema_steps[SCHEMA_VERSION] = {
	"CREATE TABLE IF NOT EXISTS tenure_store (\n"
	"  id INTEGER PRIMARY KEY CHECK (id = 1),\n"
	"  schema_version INTEGER NOT NULL,\n"
	"  identity TEXT NOT NULL,\n"
	"  incarnation TEXT NOT NULL,\n"
	"  generation INTEGER NOT NULL\n"
	") STRICT;\n"
	"CREATE TABLE IF NOT EXISTS tenure_session (\n"
	"  id TEXT PRIMARY KEY,\n"
	"  node TEXT NOT NULL,\n"
	"  seq INTEGER NOT NULL,\n"
	"  lease_ms INTEGER NOT NULL,\n"
	"  started_at TEXT NOT NULL,\n"
	"  renewed_at TEXT NOT NULL\n"
	") STRICT;\n"
	"CREATE TABLE IF NOT EXISTS tenure_lease (\n"
	"  component TEXT PRIMARY KEY,\n"
	"  session TEXT,\n"
	"  node TEXT NOT NULL,\n"
	"  term INTEGER NOT NULL,\n"
	"  generation INTEGER NOT NULL,\n"
	"  acquired_at TEXT,\n"
	"  changed_at TEXT\n"
	") STRICT;\n"
	"CREATE INDEX IF NOT EXISTS tenure_lease_session ON tenure_lease (session);\n"
	"CREATE VIEW IF NOT EXISTS leader_leases AS\n"
	"  SELECT l.component, l.node || '/' || l.session AS holder_id, l.acquired_at,\n"
	"    strftime('%Y-%m-%dT%H:%M:%fZ', s.renewed_at, (s.lease_ms / 1000.0) || ' seconds') AS expires_at,\n"
	"    l.term AS version\n"
	"  FROM tenure_lease l LEFT JOIN tenure_session s ON s.id = l.session;\n"
	// In the place of a function: an insert locks the file, so that no claim comes before its end (W6).
	"CREATE VIEW IF NOT EXISTS tenure_fence (component, term) AS\n"
	"  SELECT component, term FROM tenure_lease WHERE session IS NOT NULL;\n"
	"CREATE TRIGGER IF NOT EXISTS tenure_fence_check INSTEAD OF INSERT ON tenure_fence\n"
	"  WHEN NOT EXISTS (SELECT 1 FROM tenure_lease WHERE component = NEW.component AND term = NEW.term\n"
	"    AND session IS NOT NULL)\n"
	"BEGIN\n"
	"  SELECT RAISE(ABORT, 'tenure_fence: this term is over, the worker has to stop');\n"
	"END;\n"
	"INSERT OR IGNORE INTO tenure_store (id, schema_version, identity, incarnation, generation)\n"
	"  SELECT 1, 1, r.id, 'sqlite/' || r.id, 0 FROM (SELECT lower(hex(randomblob(16))) AS id) r;\n",
	"CREATE TABLE IF NOT EXISTS tenure_ask (\n"
	"  component TEXT PRIMARY KEY,\n"
	"  term INTEGER NOT NULL,\n"
	"  target TEXT,\n"
	"  cooldown_ms INTEGER NOT NULL,\n"
	"  asked_at TEXT NOT NULL\n"
	") STRICT;\n"
	"CREATE TABLE IF NOT EXISTS tenure_history (\n"
	"  component TEXT NOT NULL,\n"
	"  term INTEGER NOT NULL,\n"
	"  node TEXT NOT NULL,\n"
	"  began_at TEXT NOT NULL,\n"
	"  ended_at TEXT,\n"
	"  reason TEXT NOT NULL DEFAULT '',\n"
	"  PRIMARY KEY (component, term)\n"
	") STRICT;\n"
	"CREATE INDEX IF NOT EXISTS tenure_history_began ON tenure_history (began_at, term);\n",
	// A row is written as a whole: the one that is renewed again and again stays short.
	"CREATE TABLE IF NOT EXISTS tenure_offer (\n"
	"  session TEXT PRIMARY KEY,\n"
	"  offers TEXT NOT NULL\n"
	") STRICT;\n",
};

// What later versions added to tables of step 1: SQLite has no "if not exists" for it.
static const struct {
	const char *table;
	const char *name;
	const char *type;
} schema_columns[] = {
	{"tenure_store", "paused", "TEXT NOT NULL DEFAULT ''"},
};

// ---- statements ----

enum statement {
	BEGIN_READ,
	BEGIN_WRITE,
	COMMIT,
	DATA_VERSION,
	STORE,
	SESSION_CREATE,
	SESSION_RENEW,
	SESSION_DELETE,
	OFFER,
	OFFERS_END,
	ADOPT,
	MISSING,
	RELEASE,
	SWEEP,
	KILL,
	CLAIM,
	HISTORY_END,
	HISTORY_LOST,
	HISTORY_BEGIN,
	HISTORY_TRIM,
	ASK,
	PAUSE,
	ROW,
	STRAYS,
	CANDIDATES,
	HISTORY_OF_ONE,
	HISTORY_OF_ALL,
	STATEMENTS
};

static const char *const statement_sql[STATEMENTS] = {
	[BEGIN_READ] = "BEGIN",
	[BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[DATA_VERSION] = "PRAGMA data_version",
	[STORE] = "SELECT schema_version, 'sqlite/' || identity, incarnation, generation, paused FROM tenure_store",
	[SESSION_CREATE] = "INSERT INTO tenure_session (id, node, seq, lease_ms, started_at, renewed_at)"
			   " VALUES (?1, ?2, 1, ?3, " SQL_NOW ", " SQL_NOW ") ON CONFLICT DO NOTHING",
	[SESSION_RENEW] = "UPDATE tenure_session SET seq = seq + 1, renewed_at = " SQL_NOW " WHERE id = ?1",
	[OFFER] = "INSERT INTO tenure_offer (session, offers) SELECT id, ?2 FROM tenure_session WHERE id = ?1"
		  " ON CONFLICT (session) DO UPDATE SET offers = excluded.offers WHERE offers <> excluded.offers",
	[SESSION_DELETE] = "DELETE FROM tenure_session WHERE id = ?1",
	[OFFERS_END] = "DELETE FROM tenure_offer WHERE session NOT IN (SELECT id FROM tenure_session)",
	[ADOPT] = "UPDATE tenure_store SET incarnation = ?1,"
		  " generation = CASE WHEN " SQL_NOW_US " > max(generation, ?2) THEN " SQL_NOW_US
		  " ELSE max(generation, ?2) + ?3 END WHERE incarnation <> ?1 OR generation < ?2",
	[MISSING] = "INSERT INTO tenure_lease (component, node, term, generation, changed_at)"
		    " VALUES (?1, '', 0, 0, " SQL_NOW ")"
		    " ON CONFLICT DO NOTHING",
	[RELEASE] = "UPDATE tenure_lease SET session = NULL, changed_at = " SQL_NOW
		    " WHERE component = ?1 AND session = ?2 AND term = ?3",
	[SWEEP] = "DELETE FROM tenure_session WHERE id = ?1 AND seq = ?2"
		  " AND NOT EXISTS (SELECT 1 FROM tenure_lease l WHERE l.session = ?1)",
	[KILL] = "DELETE FROM tenure_session WHERE id = ?1 AND seq = ?2",
	[CLAIM] = "UPDATE tenure_lease SET session = me.id, node = me.node, generation = ?5,"
		  " term = CASE WHEN generation = ?5 THEN term + 1 ELSE max(term + 1, ?5) END,"
		  " acquired_at = " SQL_NOW ", changed_at = " SQL_NOW
		  " FROM (SELECT id, node FROM tenure_session WHERE id = ?2) me"
		  " WHERE component = ?1 AND term BETWEEN 0 AND ?6 AND (session IS NULL OR (session = ?3 AND term = ?4"
		  " AND (?3 = ?2 OR NOT EXISTS (SELECT 1 FROM tenure_session s WHERE s.id = ?3)))) RETURNING term",
	[HISTORY_END] = "UPDATE tenure_history SET ended_at = " SQL_NOW ", reason = ?3"
			" WHERE component = ?1 AND term = ?2 AND ended_at IS NULL",
	[HISTORY_LOST] = "UPDATE tenure_history SET ended_at = " SQL_NOW ", reason = 'lost'"
			 " WHERE component = ?1 AND ended_at IS NULL",
	[HISTORY_BEGIN] = "INSERT OR REPLACE INTO tenure_history (component, term, node, began_at)"
			  " SELECT component, term, node, acquired_at FROM tenure_lease WHERE component = ?1",
	[HISTORY_TRIM] = "DELETE FROM tenure_history WHERE component = ?1"
			 " AND (ended_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', (?3 / -1000.0) || ' seconds')"
			 " OR term <= (SELECT term FROM tenure_history WHERE component = ?1"
			 " ORDER BY term DESC LIMIT 1 OFFSET ?2))",
	[ASK] = "INSERT OR REPLACE INTO tenure_ask (component, term, target, cooldown_ms, asked_at)"
		" SELECT component, term, ?3, ?4, " SQL_NOW " FROM tenure_lease"
		" WHERE component = ?1 AND term = ?2 AND session IS NOT NULL",
	[PAUSE] = "UPDATE tenure_store SET paused = ?1",
	[ROW] = "SELECT l.session, l.node, l.term, s.seq, s.lease_ms, " SQL_AGE("s.renewed_at", "1000000") ", " SQL_AGE(
		"l.acquired_at", "1000") ", k.term, k.target, k.cooldown_ms FROM tenure_lease l"
					 " LEFT JOIN tenure_session s ON s.id = l.session"
					 " LEFT JOIN tenure_ask k ON k.component = l.component AND k.term = l.term"
					 " WHERE l.component = ?1",
	[STRAYS] = "SELECT id, seq, lease_ms FROM tenure_session s"
		   " WHERE NOT EXISTS (SELECT 1 FROM tenure_lease l WHERE l.session = s.id)"
		   " ORDER BY renewed_at LIMIT ?1",
	[CANDIDATES] = "SELECT s.id, s.node, s.seq, s.lease_ms, " SQL_AGE(
		"s.renewed_at", "1000000") ", o.offers FROM tenure_session s"
					   " JOIN tenure_offer o ON o.session = s.id WHERE o.offers <> ''",
	[HISTORY_OF_ONE] = SQL_PAST " WHERE component = ?1" SQL_NEWEST,
	[HISTORY_OF_ALL] = SQL_PAST SQL_NEWEST,
};

#endif
