-- SPDX-License-Identifier: Apache-2.0
-- What the daemons and the workers may do, and no more. For an administrator, after "tenurectl init", in the database
-- of the tables: mariadb tenure <grants-mysql.sql
-- The accounts are there already: CREATE USER tenure@'%' IDENTIFIED BY '...', worker@'%' IDENTIFIED BY '...';

-- tenured. It renews and deletes sessions, claims and releases leases, and never deletes one; asks leaders to go;
-- writes and trims the history; and keeps what sessions offer.
GRANT SELECT, INSERT, UPDATE, DELETE ON tenure_session TO tenure@'%';
GRANT SELECT, INSERT, UPDATE ON tenure_lease TO tenure@'%';
GRANT SELECT, UPDATE ON tenure_store TO tenure@'%';
GRANT SELECT, INSERT, UPDATE ON tenure_ask TO tenure@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON tenure_history TO tenure@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON tenure_offer TO tenure@'%';

-- A worker that fences its transactions, and looks who leads.
GRANT EXECUTE ON PROCEDURE tenure_fence TO worker@'%';
GRANT SELECT ON leader_leases TO worker@'%';
