// SPDX-License-Identifier: Apache-2.0
// The SQL of the driver for MySQL and MariaDB, as far as it does not depend on
// the request. In it stands
//   ~ for the database that holds the tables, quoted, with its dot, or for
//   nothing, # for the table of status variables, and ^ for the variable with
//   the server's identity: each vendor has its own.
#ifndef TENURE_STORE_MYSQL_SQL_H
#define TENURE_STORE_MYSQL_SQL_H

// Which life of the server it is (rule 3). Uptime is whole seconds since the
// second of the start, and is counted, as UNIX_TIMESTAMP() is, from the second
// in which the statement began: within one statement their difference is the
// same for the whole life of the server, whatever the clock does. The commands
// that make a primary of a replica and the other way round are counted too: a
// server can get its role back without having been restarted.
//
// The nodes of a Galera cluster share the cluster's state.
#define GALERA "galera/"
#define LIFE \
	"SELECT CASE WHEN s.state <> '' THEN CONCAT('" GALERA "', s.state)" \
	" ELSE CONCAT_WS('/', ^, @@server_id, LEFT(@@hostname, 48), " \
	"UNIX_TIMESTAMP() - s.uptime, s.roles) END" \
	" AS incarnation, s.unready FROM (SELECT" \
	" MAX(CASE VARIABLE_NAME WHEN 'WSREP_CLUSTER_STATE_UUID' THEN " \
	"VARIABLE_VALUE ELSE '' END) AS state," \
	" MAX(CASE VARIABLE_NAME WHEN 'WSREP_PROVIDER_NAME' THEN VARIABLE_VALUE <> " \
	"'' ELSE 0 END) >" \
	" MAX(CASE VARIABLE_NAME WHEN 'WSREP_READY' THEN VARIABLE_VALUE = 'ON' " \
	"ELSE 0 END) AS unready," \
	" CAST(MAX(CASE VARIABLE_NAME WHEN 'UPTIME' THEN VARIABLE_VALUE ELSE '' " \
	"END) AS SIGNED) AS uptime," \
	" CAST(SUM(CASE WHEN VARIABLE_NAME LIKE 'COM%' THEN VARIABLE_VALUE ELSE 0 " \
	"END) AS SIGNED) AS roles" \
	" FROM # WHERE VARIABLE_NAME IN ('UPTIME', 'WSREP_CLUSTER_STATE_UUID', " \
	"'WSREP_PROVIDER_NAME', 'WSREP_READY'," \
	" 'COM_CHANGE_MASTER', 'COM_CHANGE_REPLICATION_SOURCE', 'COM_START_SLAVE', " \
	"'COM_STOP_SLAVE'," \
	" 'COM_START_ALL_SLAVES', 'COM_STOP_ALL_SLAVES', 'COM_SLAVE_START', " \
	"'COM_SLAVE_STOP', 'COM_REPLICA_START'," \
	" 'COM_REPLICA_STOP', 'COM_GROUP_REPLICATION_START', " \
	"'COM_GROUP_REPLICATION_STOP')) s"

// Only a writable server counts, also where the user could write all the same (W25).
#define SQL_HEAD(MORE) \
	"SELECT g.incarnation, g.unready, @@global.read_only IN ('0', 'OFF') AND NOT @@innodb_read_only," \
	" st.schema_version, st.incarnation, st.generation" MORE " FROM (" LIFE \
	") g LEFT JOIN ~tenure_store st ON st.id = 1"
// With what each version of the schema has, so that another one is told by its number.
static const char sql_look[] = SQL_HEAD("");
#define UNIX_US(time) "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', " time ")"
static const char sql_head[] = SQL_HEAD(", st.paused, " UNIX_US("UTC_TIMESTAMP(6)"));

#define SESSION_COLUMNS "s.seq, s.lease_ms, TIMESTAMPDIFF(MICROSECOND, s.renewed_at, UTC_TIMESTAMP(6))"
#define SQL_ROWS \
	"SELECT l.component, l.session, l.node, l.term, " SESSION_COLUMNS \
	", " UNIX_US("l.acquired_at") " DIV 1000, a.term, a.target, a.cooldown_ms"
#define SQL_ROWS_JOINS \
	" LEFT JOIN ~tenure_session s ON s.id = l.session" \
	" LEFT JOIN ~tenure_ask a ON a.component = l.component AND a.term = l.term"
static const char sql_rows[] = SQL_ROWS " FROM ~tenure_lease l" SQL_ROWS_JOINS " WHERE l.component IN (";

// What changed since, in microseconds, whoever's it is; and the sessions of a list.
#define SINCE "TIMESTAMPADD(MICROSECOND, %" PRId64 ", '1970-01-01')"
#define SQL_ROWS_CHANGED \
	SQL_ROWS " FROM (SELECT component FROM ~tenure_lease WHERE changed_at >= " SINCE \
		 " UNION SELECT component FROM ~tenure_ask WHERE asked_at >= " SINCE \
		 ") n JOIN ~tenure_lease l ON l.component = n.component" SQL_ROWS_JOINS
static const char sql_holders[] = " UNION ALL SELECT NULL, s.id, NULL, NULL, " SESSION_COLUMNS
				  ", NULL, NULL, NULL, NULL FROM ~tenure_session s WHERE s.id IN (";

static const char sql_strays[] = "SELECT s.id, s.seq, s.lease_ms FROM ~tenure_session s"
				 " WHERE NOT EXISTS (SELECT 1 FROM ~tenure_lease l WHERE l.session = s.id) "
				 "ORDER BY s.renewed_at LIMIT ";

static const char sql_candidates[] = "SELECT s.id, s.node, s.seq, s.lease_ms,"
				     " TIMESTAMPDIFF(MICROSECOND, s.renewed_at, UTC_TIMESTAMP(6)), o.offers"
				     " FROM ~tenure_session s JOIN ~tenure_offer o ON o.session = s.id"
				     " WHERE o.offers <> ''";

// One of those that ended sessions have left. It waits for nobody: a statement that looks for what to delete would.
static const char sql_look_past_offers[] = "SELECT MIN(o.session) INTO @tenure_past FROM ~tenure_offer o"
					   " LEFT JOIN ~tenure_session s ON s.id = o.session WHERE s.id IS NULL";

static const char sql_history[] = "SELECT h.component, h.term, h.node,"
				  " TIMESTAMPDIFF(MICROSECOND, '1970-01-01', h.began_at) DIV 1000,"
				  " TIMESTAMPDIFF(MICROSECOND, '1970-01-01', h.ended_at) DIV 1000, h.reason"
				  " FROM ~tenure_history h FORCE INDEX ";

static const char sql_lock_leases[] = "SELECT component, session, term, generation FROM ~tenure_lease FORCE "
				      "INDEX (PRIMARY) WHERE ";

// Of a component that is claimed: its terms that are still open, the first and the last; and the newest that is one
// too many (by count: behind %OFFSET others) or too old.
#define PAST_OF_IT " FROM ~tenure_history h WHERE h.component = l.component"
static const char sql_look_past[] = "SELECT l.component, (SELECT MIN(h.term)" PAST_OF_IT " AND h.ended_at IS NULL),"
				    " (SELECT MAX(h.term)" PAST_OF_IT " AND h.ended_at IS NULL),"
				    " (SELECT MAX(h.term)" PAST_OF_IT " AND h.ended_at < UTC_TIMESTAMP(6) - INTERVAL ";
static const char sql_look_past_count[] =
	" MICROSECOND), (SELECT h.term" PAST_OF_IT " ORDER BY h.term DESC LIMIT 1 OFFSET ";
static const char sql_look_past_where[] = ") FROM ~tenure_lease l WHERE l.component IN (";

// What needs a privilege changes nothing: a missing one is told before it is
// needed (W23).
static const char *const sql_try[] = {
	("INSERT INTO ~tenure_session (id, node, seq, lease_ms, started_at, renewed_at)"
	 " SELECT id, node, seq, lease_ms, started_at, renewed_at FROM ~tenure_session WHERE FALSE"),
	"UPDATE ~tenure_session SET seq = seq WHERE FALSE",
	"DELETE FROM ~tenure_session WHERE FALSE",
	"INSERT INTO ~tenure_offer (session, offers) SELECT session, offers FROM ~tenure_offer WHERE FALSE",
	"UPDATE ~tenure_offer SET offers = offers WHERE FALSE",
	"DELETE FROM ~tenure_offer WHERE FALSE",
	("INSERT INTO ~tenure_lease (component, node, term, generation)"
	 " SELECT component, node, term, generation FROM ~tenure_lease WHERE FALSE"),
	"UPDATE ~tenure_lease SET session = session WHERE FALSE",
	"UPDATE ~tenure_store SET generation = generation, paused = paused WHERE FALSE",
	("INSERT INTO ~tenure_ask (component, term, cooldown_ms, asked_at)"
	 " SELECT component, term, cooldown_ms, asked_at FROM ~tenure_ask WHERE FALSE"),
	"UPDATE ~tenure_ask SET term = term WHERE FALSE",
	("INSERT INTO ~tenure_history (component, term, node, began_at)"
	 " SELECT component, term, node, began_at FROM ~tenure_history WHERE FALSE"),
	"UPDATE ~tenure_history SET reason = reason WHERE FALSE",
	"DELETE FROM ~tenure_history WHERE FALSE",
};

// ---- init ----

// Held while tables are made, by one connection at a time; let go of at its
// end.
#define INIT_LOCK "CONCAT('tenure/', LEFT(SHA1(DATABASE()), 40))"

// For schemas without a version. Each finds its own work done, where it was
// interrupted later.
static const char *const sql_init_1[] = {
	"CREATE TABLE IF NOT EXISTS ~tenure_store (\n"
	"  id TINYINT NOT NULL PRIMARY KEY,\n"
	"  schema_version INT NOT NULL,\n"
	"  incarnation VARCHAR(160) NOT NULL,\n"
	"  generation BIGINT NOT NULL\n"
	") ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",

	"CREATE TABLE IF NOT EXISTS ~tenure_session (\n"
	"  id CHAR(36) NOT NULL PRIMARY KEY,\n"
	"  node VARCHAR(64) NOT NULL,\n"
	"  seq BIGINT NOT NULL,\n"
	"  lease_ms BIGINT NOT NULL,\n"
	"  started_at DATETIME(6) NOT NULL,\n"
	"  renewed_at DATETIME(6) NOT NULL\n"
	") ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin",

	"CREATE TABLE IF NOT EXISTS ~tenure_lease (\n"
	"  component VARCHAR(64) NOT NULL PRIMARY KEY,\n"
	"  session CHAR(36),\n"
	"  node VARCHAR(64) NOT NULL,\n"
	"  term BIGINT NOT NULL,\n"
	"  generation BIGINT NOT NULL,\n"
	"  acquired_at DATETIME(6),\n"
	"  changed_at DATETIME(6),\n"
	"  KEY tenure_lease_session (session),\n"
	"  KEY tenure_lease_changed (changed_at)\n"
	") ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin",

	"CREATE OR REPLACE VIEW ~leader_leases AS\n"
	"  SELECT l.component, CONCAT(l.node, '/', l.session) AS holder_id, "
	"l.acquired_at,\n"
	"    s.renewed_at + INTERVAL s.lease_ms * 1000 MICROSECOND AS expires_at, "
	"l.term AS version\n"
	"  FROM ~tenure_lease l LEFT JOIN ~tenure_session s ON s.id = l.session",

	"DROP PROCEDURE IF EXISTS ~tenure_fence",
};

// The lock is the transaction's, so it is for a transaction to call it. A lock is unknown to the other nodes of a
// Galera cluster, which would let a transaction that is behind a claim commit all the same; so there it is a write to
// the row that every claim writes: of the two, the one that is certified second fails. (A row that refers to it by a
// foreign key would not do: that conflicts with a change of the key alone.)
static const char sql_init_fence[] =
	"CREATE PROCEDURE ~tenure_fence(the_component VARCHAR(64) CHARACTER SET ascii, the_term BIGINT)\n"
	"  MODIFIES SQL DATA SQL SECURITY DEFINER\n"
	"BEGIN\n"
	"  DECLARE galera, leads INT DEFAULT 0;\n"
	"  DECLARE message VARCHAR(128) DEFAULT CONCAT('term ', COALESCE(the_term, 'NULL'), ' of \"',\n"
	"    COALESCE(the_component, 'NULL'), '\" is over');\n"
	"  IF VERSION() LIKE '%MariaDB%' THEN\n"
	"    SELECT COUNT(*) INTO galera FROM information_schema.GLOBAL_STATUS\n"
	"      WHERE VARIABLE_NAME = 'WSREP_PROVIDER_NAME' AND VARIABLE_VALUE <> '';\n"
	"  ELSE\n"
	"    SELECT COUNT(*) INTO galera FROM performance_schema.global_status\n"
	"      WHERE VARIABLE_NAME = 'wsrep_provider_name' AND VARIABLE_VALUE <> '';\n"
	"  END IF;\n"
	"  IF galera > 0 THEN\n"
	"    UPDATE ~tenure_lease l SET l.changed_at = l.changed_at + INTERVAL 1 MICROSECOND\n"
	"      WHERE l.component = the_component AND l.term = the_term AND l.session IS NOT NULL;\n"
	"    SET leads = ROW_COUNT();\n"
	"  ELSE\n"
	"    SELECT 1 INTO leads FROM ~tenure_lease l WHERE l.component = the_component\n"
	"      AND l.term = the_term AND l.session IS NOT NULL LOCK IN SHARE MODE;\n"
	"  END IF;\n"
	"  IF leads = 0 THEN\n"
	"    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = message;\n"
	"  END IF;\n"
	"END";

static const char sql_init_store[] = "INSERT IGNORE INTO ~tenure_store (id, schema_version, incarnation, "
				     "generation)"
				     " SELECT 1, 0, g.incarnation, 0 FROM (" LIFE ") g";

static const char sql_init_version_1[] = "UPDATE ~tenure_store SET schema_version = 1 WHERE schema_version < 1";

// A table that a transaction holds is waited for so long, and no longer: whoever wants it waits behind us.
static const char sql_init_patience[] = "SET SESSION lock_wait_timeout = 1";

static const char *const sql_init_2[] = {
	"CREATE TABLE IF NOT EXISTS ~tenure_ask (\n"
	"  component VARCHAR(64) NOT NULL PRIMARY KEY,\n"
	"  term BIGINT NOT NULL,\n"
	"  target CHAR(36),\n"
	"  cooldown_ms BIGINT NOT NULL,\n"
	"  asked_at DATETIME(6) NOT NULL\n"
	") ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin",

	"CREATE TABLE IF NOT EXISTS ~tenure_history (\n"
	"  component VARCHAR(64) NOT NULL,\n"
	"  term BIGINT NOT NULL,\n"
	"  node VARCHAR(64) NOT NULL,\n"
	"  began_at DATETIME(6) NOT NULL,\n"
	"  ended_at DATETIME(6),\n"
	"  reason VARCHAR(32) NOT NULL DEFAULT '',\n"
	"  PRIMARY KEY (component, term),\n"
	"  KEY tenure_history_ended (component, ended_at),\n"
	"  KEY tenure_history_began (began_at)\n"
	") ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin",
};

// What tables of version 1 do not have. MySQL cannot ask for it in one statement; on MariaDB, where another node of a
// Galera cluster may be at it, that is better.
#define SQL_ADD_COLUMN "ADD COLUMN /*M! IF NOT EXISTS */ "
static const struct {
	const char *found_in; // of information_schema
	const char *by;
	const char *table;
	const char *name;
	const char *sql;
} sql_init_added[] = {
	{"COLUMNS", "COLUMN_NAME", "tenure_store", "paused",
		"ALTER TABLE ~tenure_store " SQL_ADD_COLUMN "paused VARCHAR(64) NOT NULL DEFAULT ''"},
	{"STATISTICS", "INDEX_NAME", "tenure_lease", "tenure_lease_changed",
		"ALTER TABLE ~tenure_lease ADD INDEX /*M! IF NOT EXISTS */ tenure_lease_changed (changed_at)"},
};
#define SQL_INIT_COUNT \
	"SELECT COUNT(*) FROM information_schema.%s WHERE TABLE_SCHEMA = DATABASE()" \
	" AND %s = '%s' AND TABLE_NAME = '%s'"

static const char sql_init_version_2[] = "UPDATE ~tenure_store SET schema_version = 2 WHERE schema_version < 2";

static const char *const sql_init_3[] = {
	"CREATE TABLE IF NOT EXISTS ~tenure_offer (\n"
	"  session CHAR(36) NOT NULL PRIMARY KEY,\n"
	"  offers MEDIUMTEXT NOT NULL\n"
	") ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin",

	"UPDATE ~tenure_store SET schema_version = 3 WHERE schema_version < 3",
};

#endif
