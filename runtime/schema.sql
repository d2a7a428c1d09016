-- SPDX-License-Identifier: Apache-2.0
-- The store, version 1. Every table only grows: a row is never changed, nothing but gc removes one
-- (a trial), and the whole row is its key, so merging two stores is a set union. What is one trial or winner to normgen
-- (session, spec, machine, toolchain, regime, threads, schedule or slot) may have two rows only
-- after copies of one unfinished session went on apart. Texts are canonical and printable ASCII;
-- whatever is read is checked again. No NULL anywhere; -1 is a noise floor not measured yet.

CREATE TABLE session (
    uuid TEXT, started TEXT, job TEXT, effort INTEGER, seed INTEGER,
    PRIMARY KEY (uuid, started, job, effort, seed)
) STRICT, WITHOUT ROWID;

-- What a session learned; the state with the largest revision holds.
CREATE TABLE session_state (
    session TEXT, revision INTEGER, finished INTEGER, noise REAL, cutoff INTEGER, host TEXT,
    PRIMARY KEY (session, revision, finished, noise, cutoff, host)
) STRICT, WITHOUT ROWID;

-- The unit of work and of resume. The ids are this file's own.
CREATE TABLE unit (
    id INTEGER PRIMARY KEY,
    spec TEXT NOT NULL, machine TEXT NOT NULL, toolchain TEXT NOT NULL, regime TEXT NOT NULL,
    threads INTEGER NOT NULL, session TEXT NOT NULL, rows INTEGER NOT NULL,
    UNIQUE (spec, machine, toolchain, regime, threads, session, rows)
) STRICT;

CREATE TABLE trial (
    unit INTEGER, schedule TEXT, valid INTEGER, reason TEXT, ns REAL, spread REAL,
    samples INTEGER, code_bytes INTEGER,
    PRIMARY KEY (unit, schedule, valid, reason, ns, spread, samples, code_bytes)
) STRICT, WITHOUT ROWID;

CREATE TABLE winner (
    unit INTEGER, slot TEXT, schedule TEXT, ns REAL, pairs INTEGER,
    PRIMARY KEY (unit, slot, schedule, ns, pairs)
) STRICT, WITHOUT ROWID;
