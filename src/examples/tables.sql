-- SPDX-License-Identifier: Apache-2.0
-- The tables of the examples, in the database of the leases. `term`: in which the row was written.
CREATE TABLE instances (name VARCHAR(250) NOT NULL PRIMARY KEY, address VARCHAR(250) NOT NULL, term BIGINT NOT NULL);
CREATE TABLE runtimes (name VARCHAR(250) NOT NULL PRIMARY KEY, service VARCHAR(250) NOT NULL,
	healthy INTEGER NOT NULL, term BIGINT NOT NULL);
