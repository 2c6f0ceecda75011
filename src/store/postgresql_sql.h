// SPDX-License-Identifier: Apache-2.0
// The SQL of the PostgreSQL driver. An `@` before a name stands for the schema, quoted, with its dot, or nothing.
//
// Every statement of an exchange answers with at least one row, which starts with the server's incarnation, the
// schema's version, the incarnation that is believed and the process that answers. All conditions under which a row
// changes are on the row itself, as it is when it is locked: what a statement reads besides may be as old as its
// snapshot. That is sound because a session that once was gone never comes back, and because one incarnation is
// believed at most once.
#ifndef TENURE_STORE_POSTGRESQL_SQL_H
#define TENURE_STORE_POSTGRESQL_SQL_H

#define CHANNEL "tenure"

// Empty where the server does not take writes (W25). The timeline is the one that is being written: the control
// file's lags behind a promotion until the next checkpoint.
#define INCARNATION \
	"(SELECT CASE WHEN pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' THEN ''" \
	" ELSE c.system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)" \
	" || '/' || extract(epoch FROM pg_postmaster_start_time()) END FROM pg_control_system() c)"

// A commit that was acknowledged has to survive a crash, which does not change the incarnation by itself.
#define DURABLE \
	"set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'local'" \
	" ELSE current_setting('synchronous_commit') END, true)"

// What others are to look at; `session` is the one that did it, which looks anyway. `names`: of the leases that it is
// about, a space before each, which those need not look at who follow none of them; '' where it may be any, or where
// there are more than a payload of 8,000 bytes has room for. What was released, and is not meant for one daemon, has
// ANNOUNCED_FREE before its name.
#define ANNOUNCED_FREE "="
#define ANNOUNCE(session, names) "pg_notify('" CHANNEL "', " session "::uuid::text || " names ")"
#define NAMES_OF(rows, name) \
	"coalesce((SELECT CASE WHEN count(*) < 100 THEN ' ' || string_agg(" name ", ' ') END FROM " rows "), '')"
#define FREED "CASE WHEN meant THEN '' ELSE '" ANNOUNCED_FREE "' END || component"

#define HEAD "SELECT " INCARNATION ", st.schema_version, st.incarnation, pg_backend_pid()"
#define FROM_STORE " FROM (SELECT 1) one LEFT JOIN @tenure_store st ON st.id = 1"

// Plans are made once and outlive what they were made for: tables that were small have thousands of rows later. So they
// look rows up, and read none from end to end where there is an index.
//
// $3: a server that hears no more of us does not keep what is half sent, and the rows that it locked, for hours.
static const char sql_settings[] =
	"SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false),"
	" set_config('tcp_keepalives_idle', $3, false), set_config('tcp_keepalives_interval', '1', false),"
	" set_config('tcp_keepalives_count', '3', false),"
	" set_config('jit', 'off', false), set_config('plan_cache_mode', 'force_generic_plan', false),"
	" set_config('enable_seqscan', 'off', false),"
	" set_config('default_transaction_isolation', 'read committed', false)";

static const char sql_listen[] = "LISTEN " CHANNEL;

// Who answers? Needs no tables.
static const char sql_look[] = "SELECT " INCARNATION ", NULL, NULL, pg_backend_pid()";

// What a session offers has a row of its own: the one that is renewed again and again stays short. It is said again and
// again too, and what is the same is not written anew: that of thousands of leases is long. Where somebody holds it
// locked, it is written the next time.
#define OFFERED \
	" other AS MATERIALIZED (SELECT o.session FROM @tenure_offer o WHERE o.session = $1::uuid" \
	" AND o.offers <> $2::text FOR NO KEY UPDATE SKIP LOCKED)," \
	" changed AS (UPDATE @tenure_offer o SET offers = $2::text FROM other WHERE o.session = other.session)," \
	" added AS (INSERT INTO @tenure_offer (session, offers) SELECT $1::uuid, $2::text FROM me" \
	" WHERE NOT EXISTS (SELECT FROM @tenure_offer o WHERE o.session = $1::uuid) ON CONFLICT DO NOTHING) "

// $1 session, $2 offers, $3 node, $4 lease_ms. What ended sessions have offered goes when the next one begins.
static const char sql_session_create[] =
	"WITH past AS MATERIALIZED (SELECT o.session FROM @tenure_offer o WHERE NOT EXISTS"
	" (SELECT FROM @tenure_session s WHERE s.id = o.session) FOR UPDATE SKIP LOCKED),"
	" gone AS (DELETE FROM @tenure_offer o USING past p WHERE o.session = p.session),"
	" me AS (INSERT INTO @tenure_session (id, node, seq, lease_ms, started_at, renewed_at)"
	" VALUES ($1::uuid, $3::text, 1, $4::bigint, clock_timestamp(), clock_timestamp())"
	" ON CONFLICT DO NOTHING RETURNING 1)," OFFERED HEAD ", (SELECT count(*) FROM me), " DURABLE FROM_STORE;

// $1 session
#define RENEWED \
	"WITH me AS (UPDATE @tenure_session SET seq = seq + 1, renewed_at = clock_timestamp() WHERE id = $1::uuid" \
	" RETURNING 1)"
static const char sql_session_renew[] = RENEWED " " HEAD ", (SELECT count(*) FROM me), " DURABLE FROM_STORE;

// $1 session, $2 offers
static const char sql_session_publish[] = RENEWED "," OFFERED HEAD ", (SELECT count(*) FROM me), " DURABLE FROM_STORE;

// $1 session. What is released comes after it, is waited for by others, and takes it to the disk. A session that is
// there again after a crash holds what it has not released, for a lease.
static const char sql_session_delete[] =
	"WITH me AS (DELETE FROM @tenure_session WHERE id = $1::uuid RETURNING 1) " HEAD
	", (SELECT count(*) FROM me), set_config('synchronous_commit', 'off', true)" FROM_STORE;

// $1 incarnation, $2 the highest term, $3 the leap (rule 5).
static const char sql_adopt[] =
	"WITH server AS MATERIALIZED (SELECT " INCARNATION " AS incarnation,"
	" (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now),"
	" me AS (UPDATE @tenure_store t SET incarnation = $1::text,"
	" generation = CASE WHEN server.now > greatest(t.generation, $2::bigint) THEN server.now"
	" ELSE greatest(t.generation, $2::bigint) + $3::bigint END"
	" FROM server WHERE (t.incarnation <> $1::text OR t.generation < $2::bigint)"
	" AND server.incarnation = $1::text RETURNING 1)"
	" SELECT server.incarnation, st.schema_version, st.incarnation, pg_backend_pid(), (SELECT count(*) FROM "
	"me), " DURABLE " FROM server LEFT JOIN @tenure_store st ON st.id = 1";

// $1 components, $2 whether missing. In one order for everybody, or two daemons would wait for each other.
static const char sql_missing[] =
	"WITH me AS (INSERT INTO @tenure_lease (component, node, term, generation, changed_at)"
	" SELECT m.component, '', 0, 0, clock_timestamp() FROM unnest($1::text[], $2::boolean[]) m(component, missing)"
	" WHERE m.missing ORDER BY m.component ON CONFLICT DO NOTHING RETURNING 1) " HEAD
	", (SELECT count(*) FROM me), " DURABLE FROM_STORE;

// The change statement is up to two, in one transaction, where nothing is held with the renewal before them: what is
// not asked for need not be planned. Nothing in the two waits for a lock. Rows are locked first and decided on as they
// are then; a row that was locked is changed by name alone. The history is for people: where somebody holds a row of it
// locked, it stays as it is.

#define TOLD(when, names) \
	" told AS MATERIALIZED (SELECT CASE WHEN " when \
	" THEN " ANNOUNCE("$1", names) " IS NULL END AS told, " DURABLE " AS durable) "
#define TOLD_RELEASED TOLD("EXISTS (SELECT FROM released)", NAMES_OF("released", FREED))
// Who was killed may have held more than what is claimed.
#define KILLED "EXISTS (SELECT FROM deleted WHERE kill)"
#define NAMES_OF_CHANGED "CASE WHEN " KILLED " THEN '' ELSE " NAMES_OF("claimed", "component") " END"
#define TOLD_CHANGED TOLD("EXISTS (SELECT FROM claimed) OR " KILLED, NAMES_OF_CHANGED)

// $1 session, $2 to $4 releases: component, term, reason. Each is looked up by its name: by the session, which IS NOT
// DISTINCT FROM has no index for, all of its leases would be read for each of them.
static const char sql_release[] =
	"WITH freed AS MATERIALIZED (SELECT l.component, r.term, r.reason, EXISTS (SELECT FROM @tenure_ask a"
	" WHERE a.component = l.component AND a.term = l.term AND a.target IS NOT NULL) AS meant FROM @tenure_lease l"
	" JOIN unnest($2::text[], $3::bigint[], $4::text[]) r(component, term, reason) ON r.component = l.component"
	" WHERE l.session IS NOT DISTINCT FROM $1::uuid AND l.term = r.term FOR NO KEY UPDATE OF l SKIP LOCKED),"
	" released AS (UPDATE @tenure_lease l SET session = NULL, changed_at = clock_timestamp()"
	" FROM freed f WHERE l.component = f.component RETURNING l.component, f.meant),"
	" past AS MATERIALIZED (SELECT h.component, h.term, f.reason FROM freed f JOIN @tenure_history h"
	" ON h.component = f.component AND h.term = f.term WHERE h.ended_at IS NULL"
	" FOR NO KEY UPDATE OF h SKIP LOCKED),"
	" ended AS (UPDATE @tenure_history h SET ended_at = clock_timestamp(), reason = p.reason"
	" FROM past p WHERE h.component = p.component AND h.term = p.term)," TOLD_RELEASED HEAD
	", told.told, told.durable" FROM_STORE " CROSS JOIN told";

// $1 session, $2 incarnation, $3 history_count, $4 to $7 claims: component, holder, holder_seq, term, $8 $9 sweeps:
// session, seq.
//
// `me` keeps this session from being swept or killed between the look and the claim. `store` is what a pause has to
// wait for: whoever claims has done so by then, or sees it. `taken` is apart from `claimed`, since PostgreSQL checks a
// row that changed meanwhile again, and what was deleted here is not at hand then. `past` are the terms before, and
// those that the leases' rows forgot: these begin once more.
// A term ends in the `moment` in which the next one begins.
static const char sql_change[] =
	"WITH server AS MATERIALIZED (SELECT " INCARNATION " AS incarnation),"
	" sure AS MATERIALIZED (SELECT 1 FROM server WHERE server.incarnation = $2::text),"
	" wanted AS MATERIALIZED (SELECT * FROM unnest($4::text[], $5::uuid[], $6::bigint[], $7::bigint[])"
	" WITH ORDINALITY w(component, holder, seq, term, nr)),"
	" me AS MATERIALIZED (SELECT s.id, s.node FROM @tenure_session s WHERE s.id = $1::uuid"
	" AND EXISTS (SELECT FROM wanted) AND EXISTS (SELECT FROM sure) FOR KEY SHARE SKIP LOCKED),"

	" doomed AS MATERIALIZED (SELECT s.id, k.kill FROM @tenure_session s"
	" JOIN (SELECT w.holder AS id, w.seq, true AS kill FROM wanted w WHERE w.holder <> $1::uuid"
	" UNION SELECT u.id, u.seq, false FROM unnest($8::uuid[], $9::bigint[]) u(id, seq)) k"
	" ON s.id = k.id AND s.seq = k.seq WHERE EXISTS (SELECT FROM sure)"
	" AND (k.kill OR NOT EXISTS (SELECT FROM @tenure_lease l WHERE l.session = s.id))"
	" FOR UPDATE OF s SKIP LOCKED),"
	" deleted AS (DELETE FROM @tenure_session s USING doomed d WHERE s.id = d.id RETURNING s.id, d.kill),"

	" eligible AS MATERIALIZED (SELECT l.component, l.session, l.term, l.generation, w.nr FROM @tenure_lease l"
	" JOIN wanted w ON w.component = l.component WHERE EXISTS (SELECT FROM me)"
	" AND (l.session IS NULL OR (l.session = w.holder AND l.term = w.term)) FOR NO KEY UPDATE OF l SKIP LOCKED),"
	" store AS MATERIALIZED (SELECT st.generation FROM @tenure_store st WHERE st.id = 1"
	" AND st.incarnation = $2::text AND st.paused = '' AND EXISTS (SELECT FROM eligible) FOR SHARE SKIP LOCKED),"
	" moment AS MATERIALIZED (SELECT clock_timestamp() AS now),"
	" taken AS MATERIALIZED (SELECT o.component, o.nr, o.term AS last, me.id, me.node, store.generation,"
	" CASE WHEN o.generation = store.generation THEN o.term + 1 ELSE greatest(o.term + 1, store.generation) END"
	" AS term FROM eligible o CROSS JOIN me CROSS JOIN store"
	" WHERE o.session IS NULL OR o.session = $1::uuid OR o.session IN (SELECT d.id FROM deleted d WHERE d.kill)"
	" OR NOT EXISTS (SELECT FROM @tenure_session s WHERE s.id = o.session)),"
	" claimed AS (UPDATE @tenure_lease l SET session = t.id, node = t.node, term = t.term,"
	" generation = t.generation, acquired_at = moment.now, changed_at = moment.now"
	" FROM taken t CROSS JOIN moment WHERE l.component = t.component RETURNING t.nr, l.term, l.component),"

	" past AS MATERIALIZED (SELECT h.component, h.term, k.node FROM"
	" (SELECT t.component, t.last AS term, NULL AS node FROM taken t"
	" UNION ALL SELECT component, term, node FROM taken) k"
	" JOIN @tenure_history h ON h.component = k.component AND h.term = k.term"
	" WHERE h.ended_at IS NULL OR k.node IS NOT NULL FOR NO KEY UPDATE OF h SKIP LOCKED),"
	" ended AS (UPDATE @tenure_history h SET node = coalesce(p.node, h.node),"
	" began_at = CASE WHEN p.node IS NULL THEN h.began_at ELSE moment.now END,"
	" ended_at = CASE WHEN p.node IS NULL THEN moment.now END,"
	" reason = CASE WHEN p.node IS NULL THEN 'lost' ELSE '' END"
	" FROM past p CROSS JOIN moment WHERE h.component = p.component AND h.term = p.term),"
	" begun AS (INSERT INTO @tenure_history (component, term, node, began_at, reason)"
	" SELECT t.component, t.term, t.node, moment.now, '' FROM taken t CROSS JOIN moment WHERE $3::bigint > 0"
	" ON CONFLICT DO NOTHING),"

	TOLD_CHANGED
	"SELECT server.incarnation, st.schema_version, st.incarnation, pg_backend_pid(), c.nr, c.term, told.told,"
	" told.durable"
	" FROM server CROSS JOIN told LEFT JOIN @tenure_store st ON st.id = 1 LEFT JOIN claimed c ON true";

// $1 history_count, $2 history_ms, $3 how many rows of each component at most, $4 components
static const char sql_trim[] =
	"WITH kept AS MATERIALIZED (SELECT w.component, (SELECT h.term FROM @tenure_history h"
	" WHERE h.component = w.component ORDER BY h.term DESC OFFSET $1::bigint LIMIT 1) AS after"
	" FROM unnest($4::text[]) w(component)),"
	" old AS MATERIALIZED (SELECT h.component, h.term FROM kept k CROSS JOIN LATERAL (SELECT e.term FROM"
	" (SELECT h.term, h.ended_at FROM @tenure_history h WHERE h.component = k.component"
	" ORDER BY h.term LIMIT $3::bigint) e"
	" WHERE e.term <= k.after OR e.ended_at < clock_timestamp() - $2::bigint * interval '1 millisecond') e"
	" JOIN @tenure_history h ON h.component = k.component AND h.term = e.term FOR UPDATE OF h SKIP LOCKED)"
	" DELETE FROM @tenure_history h USING old o WHERE h.component = o.component AND h.term = o.term";

// $1 session, $2 component, $3 term, $4 target, $5 cooldown_ms. An ask that somebody holds locked stays as it is: then
// nothing was asked. The lease's row is not locked, since an ask of a term that is over by now is of no effect.
static const char sql_ask[] =
	"WITH wanted AS MATERIALIZED (SELECT l.component FROM @tenure_lease l WHERE l.component = $2::text"
	" AND l.term = $3::bigint AND l.session IS NOT NULL),"
	" held AS MATERIALIZED (SELECT a.component FROM @tenure_ask a JOIN wanted w ON w.component = a.component"
	" FOR NO KEY UPDATE OF a SKIP LOCKED),"
	" changed AS (UPDATE @tenure_ask a SET term = $3::bigint, target = $4::uuid, cooldown_ms = $5::bigint,"
	" asked_at = clock_timestamp() FROM held h WHERE a.component = h.component RETURNING 1),"
	" added AS (INSERT INTO @tenure_ask (component, term, target, cooldown_ms, asked_at)"
	" SELECT w.component, $3::bigint, $4::uuid, $5::bigint, clock_timestamp() FROM wanted w"
	" WHERE NOT EXISTS (SELECT FROM @tenure_ask a WHERE a.component = w.component)"
	" ON CONFLICT DO NOTHING RETURNING 1),"
	" me AS MATERIALIZED (SELECT FROM changed UNION ALL SELECT FROM added) " HEAD
	", (SELECT count(*) FROM me), CASE WHEN EXISTS (SELECT FROM me) THEN " ANNOUNCE(
		"$1", "' ' || $2::text") " IS NULL END, " DURABLE FROM_STORE;

// $1 session, $2 paused, $3 milliseconds. It waits for the claims that are being made, but no longer than that for
// somebody who holds the row locked: a renewal in the same exchange has its answer only then (rule 14).
static const char sql_pause[] =
	"WITH patience AS MATERIALIZED (SELECT set_config('lock_timeout', $3, true) AS ms),"
	" me AS (UPDATE @tenure_store t SET paused = $2::text FROM patience WHERE t.id = 1 AND patience.ms <> ''"
	" RETURNING 1) " HEAD ", (SELECT count(*) FROM me), CASE WHEN EXISTS (SELECT FROM me) THEN " ANNOUNCE(
		"$1", "''") " IS NULL END, " DURABLE FROM_STORE;

// A report: the server's clock before the rows are read, and the rows. An ask counts for its term only. Behind the
// leases' rows are those of sessions: of who holds what did not change, and, where they are wanted, of so many that
// hold nothing, the oldest first, and that offer to lead, the last that were renewed first. That is once a lease, and
// takes no statement of its own.
#define MICROSECONDS(time) "(extract(epoch FROM " time ") * 1000000)::bigint"
#define SESSION_COLUMNS "s.seq, s.lease_ms, " MICROSECONDS("clock_timestamp() - s.renewed_at")
#define REPORT_OF HEAD ", st.paused, " MICROSECONDS("statement_timestamp()") ", r.* " FROM_STORE " LEFT JOIN ("
#define REPORT_ROWS \
	"SELECT l.component, l.session, l.node, l.term, " SESSION_COLUMNS \
	", (extract(epoch FROM l.acquired_at) * 1000)::bigint, a.term IS NOT NULL, a.target, a.cooldown_ms, NULL AS " \
	"offers"
#define REPORT_JOINS \
	" LEFT JOIN @tenure_session s ON s.id = l.session" \
	" LEFT JOIN @tenure_ask a ON a.component = l.component AND a.term = l.term"
#define REPORT_SESSIONS(offers, where) \
	" UNION ALL (SELECT NULL, s.id, s.node, NULL, " SESSION_COLUMNS ", NULL, NULL, NULL, NULL, " offers \
	" FROM @tenure_session s" where
#define HOLDS_NOTHING " WHERE NOT EXISTS (SELECT FROM @tenure_lease l WHERE l.session = s.id)"
#define OFFERS_SOMETHING " JOIN @tenure_offer o ON o.session = s.id WHERE o.offers <> ''"
#define REPORT_IDLE(strays, candidates) \
	REPORT_SESSIONS("''", HOLDS_NOTHING) \
	" ORDER BY s.renewed_at LIMIT " strays "::bigint)" REPORT_SESSIONS( \
		"o.offers", OFFERS_SOMETHING) " ORDER BY s.renewed_at DESC LIMIT " candidates "::bigint)"

// $1 components, $2 $3 how many sessions that hold nothing, and that offer something
static const char sql_report[] = REPORT_OF REPORT_ROWS
	" FROM unnest($1::text[]) n(component)"
	" JOIN @tenure_lease l ON l.component = n.component" REPORT_JOINS REPORT_IDLE("$2", "$3") ") r ON true";

// $1 the server's time, $2 sessions: the rows that changed since, whoever's they are, and these sessions. A plan made
// for any $1 supposes a third of the rows where a range has one end, and some where it has two; and even for these it
// would read all there are, were it not told to look up one after the other.
#define SINCE "BETWEEN to_timestamp($1::bigint / 1000000.0) AND 'infinity'"
#define REPORT_CHANGED_ROWS \
	REPORT_ROWS " FROM (SELECT component FROM @tenure_lease WHERE changed_at " SINCE \
		    " UNION SELECT component FROM @tenure_ask WHERE asked_at " SINCE ") n" \
		    " CROSS JOIN LATERAL (SELECT * FROM @tenure_lease c WHERE c.component = n.component OFFSET 0) " \
		    "l" REPORT_JOINS REPORT_SESSIONS("NULL", " WHERE s.id = ANY ($2::uuid[])") ")"
static const char sql_report_changed[] = REPORT_OF REPORT_CHANGED_ROWS ") r ON true";
// $3 $4 how many sessions, as above
static const char sql_report_changed_and_idle[] = REPORT_OF REPORT_CHANGED_ROWS REPORT_IDLE("$3", "$4") ") r ON true";

// $1 components, $2 how many
static const char sql_history[] =
	HEAD ", r.* " FROM_STORE
	     " LEFT JOIN (SELECT n.nr, h.term, h.node, (extract(epoch FROM h.began_at) * 1000)::bigint AS began,"
	     " (extract(epoch FROM h.ended_at) * 1000)::bigint, h.reason"
	     " FROM (SELECT * FROM @tenure_history WHERE component = ANY ($1::text[])"
	     " ORDER BY began_at DESC, term DESC LIMIT $2::bigint) h"
	     " JOIN unnest($1::text[]) WITH ORDINALITY n(component, nr) ON n.component = h.component) r ON true"
	     " ORDER BY r.began DESC, r.term DESC";

// All of init, as one statement in two parts, and so in one transaction. Whoever finds the newest version needs no
// privilege to change anything. Each step is for schemas that are older than it. The second one changes tables that are
// in use: who waits for such a lock holds up all who come after, so it waits for moments, and lets the renewals pass in
// between.
static const char sql_init[] =
	"DECLARE\n"
	"  version integer;\n"
	"BEGIN\n"
	"  PERFORM pg_advisory_xact_lock(hashtext('tenure init'));\n"
	"  IF current_schema() IS NULL THEN\n"
	"    EXECUTE 'CREATE SCHEMA ' || current_setting('search_path');\n"
	"  END IF;\n"
	"  IF to_regclass('tenure_store') IS NOT NULL THEN\n"
	"    SELECT schema_version INTO version FROM tenure_store;\n"
	"  END IF;\n"
	"  version := coalesce(version, 0);\n"
	"  IF version > 3 THEN\n"
	"    RAISE EXCEPTION 'schema version % is newer than 3: use the tenurectl that goes with it', version;\n"
	"  END IF;\n"
	"  IF version < 1 THEN\n"
	"    CREATE TABLE IF NOT EXISTS tenure_store (\n"
	"      id smallint PRIMARY KEY CHECK (id = 1),\n"
	"      schema_version integer NOT NULL,\n"
	"      incarnation text NOT NULL,\n"
	"      generation bigint NOT NULL\n"
	"    );\n"
	"    CREATE TABLE IF NOT EXISTS tenure_session (\n"
	"      id uuid PRIMARY KEY,\n"
	"      node text NOT NULL,\n"
	"      seq bigint NOT NULL,\n"
	"      lease_ms bigint NOT NULL,\n"
	"      started_at timestamptz NOT NULL,\n"
	"      renewed_at timestamptz NOT NULL\n"
	"    ) WITH (fillfactor = 50);\n"
	"    CREATE TABLE IF NOT EXISTS tenure_lease (\n"
	"      component text PRIMARY KEY,\n"
	"      session uuid,\n"
	"      node text NOT NULL,\n"
	"      term bigint NOT NULL,\n"
	"      generation bigint NOT NULL,\n"
	"      acquired_at timestamptz,\n"
	"      changed_at timestamptz\n"
	"    ) WITH (fillfactor = 50);\n"
	"    CREATE INDEX IF NOT EXISTS tenure_lease_session ON tenure_lease (session);\n"
	"    CREATE OR REPLACE VIEW leader_leases AS\n"
	"      SELECT l.component, l.node || '/' || l.session AS holder_id, l.acquired_at,\n"
	"        s.renewed_at + s.lease_ms * interval '1 millisecond' AS expires_at, l.term AS version\n"
	"      FROM tenure_lease l LEFT JOIN tenure_session s ON s.id = l.session;\n"
	"    EXECUTE format($fence$\n"
	"      CREATE OR REPLACE FUNCTION tenure_fence(component text, term bigint) RETURNS void\n"
	"      LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$\n"
	"      BEGIN\n"
	"        PERFORM 1 FROM %I.tenure_lease l WHERE l.component = tenure_fence.component\n"
	"          AND l.term = tenure_fence.term AND l.session IS NOT NULL FOR SHARE;\n"
	"        IF NOT FOUND THEN\n"
	"          RAISE EXCEPTION 'term %% of component \"%%\" is over', term, component\n"
	"            USING ERRCODE = 'TEN01', HINT = 'This worker does not lead any more: it has to stop.';\n"
	"        END IF;\n"
	"      END $body$ $fence$, current_schema());\n"
	"    INSERT INTO tenure_store (id, schema_version, incarnation, generation)\n"
	"      SELECT 1, 1, " INCARNATION ", 0 ON CONFLICT DO NOTHING;\n"
	"    UPDATE tenure_store SET schema_version = 1;\n"
	"  END IF;\n";

static const char sql_init_2[] =
	"  IF version < 2 THEN\n"
	"    PERFORM set_config('lock_timeout', '200ms', true);\n"
	"    FOR attempt IN REVERSE 10..0 LOOP\n"
	"      BEGIN\n"
	"        LOCK TABLE tenure_store IN ACCESS EXCLUSIVE MODE;\n"
	"        LOCK TABLE tenure_lease IN SHARE MODE;\n"
	"        EXIT;\n"
	"      EXCEPTION WHEN lock_not_available THEN\n"
	"        IF attempt = 0 THEN\n"
	"          RAISE EXCEPTION 'a transaction that takes long uses the tenure tables: '\n"
	"            'try again when it has ended' USING ERRCODE = 'lock_not_available';\n"
	"        END IF;\n"
	"        PERFORM pg_sleep(0.2);\n"
	"      END;\n"
	"    END LOOP;\n"
	"    ALTER TABLE tenure_store ADD COLUMN IF NOT EXISTS paused text NOT NULL DEFAULT '';\n"
	"    CREATE INDEX IF NOT EXISTS tenure_lease_changed ON tenure_lease (changed_at);\n"
	"    CREATE TABLE IF NOT EXISTS tenure_ask (\n"
	"      component text PRIMARY KEY,\n"
	"      term bigint NOT NULL,\n"
	"      target uuid,\n"
	"      cooldown_ms bigint NOT NULL,\n"
	"      asked_at timestamptz NOT NULL\n"
	"    );\n"
	"    CREATE TABLE IF NOT EXISTS tenure_history (\n"
	"      component text,\n"
	"      term bigint,\n"
	"      node text NOT NULL,\n"
	"      began_at timestamptz NOT NULL,\n"
	"      ended_at timestamptz,\n"
	"      reason text NOT NULL DEFAULT '',\n"
	"      PRIMARY KEY (component, term)\n"
	"    ) WITH (fillfactor = 70);\n"
	"    CREATE INDEX IF NOT EXISTS tenure_history_began ON tenure_history (began_at);\n"
	"    UPDATE tenure_store SET schema_version = 2;\n"
	"  END IF;\n"
	"  IF version < 3 THEN\n"
	"    CREATE TABLE IF NOT EXISTS tenure_offer (\n"
	"      session uuid PRIMARY KEY,\n"
	"      offers text NOT NULL\n"
	"    );\n"
	"    UPDATE tenure_store SET schema_version = 3;\n"
	"  END IF;\n"
	"END\n";

#endif
