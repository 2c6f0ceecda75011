-- SPDX-License-Identifier: Apache-2.0
-- What the daemons and the workers may do, and no more. For the owner of the tables, after "tenurectl init", in their
-- database: psql -d tenure -f grants-postgresql.sql
-- The roles are there already: CREATE ROLE tenure LOGIN; CREATE ROLE worker LOGIN;
-- Where schema= is configured, it stands in the place of public.

-- tenured. It renews and deletes sessions, claims and releases leases and never deletes one, asks, pauses, and keeps
-- the history and what sessions offer.
GRANT USAGE ON SCHEMA public TO tenure;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.tenure_session TO tenure;
GRANT SELECT, INSERT, UPDATE ON public.tenure_lease TO tenure;
GRANT SELECT, UPDATE ON public.tenure_store TO tenure;
GRANT SELECT, INSERT, UPDATE ON public.tenure_ask TO tenure;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.tenure_history TO tenure;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.tenure_offer TO tenure;

-- A worker that fences its transactions, and looks who leads. PUBLIC may call any function that nobody closed.
REVOKE EXECUTE ON FUNCTION public.tenure_fence(text, bigint) FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO worker;
GRANT EXECUTE ON FUNCTION public.tenure_fence(text, bigint) TO worker;
GRANT SELECT ON public.leader_leases TO worker;
