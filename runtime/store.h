/* SPDX-License-Identifier: Apache-2.0 */
/* The store: sessions, trials and winners in one SQLite file. It holds measurements and schedule
 * texts, never code. What is read from it is text: whoever uses a schedule parses it and checks
 * that it is legal. A handle belongs to one thread at a time. E_STORE errors name the file, what is
 * wrong with it and the remedy. */
#ifndef NG_STORE_H
#define NG_STORE_H

#include "regime.h"

#include <stdio.h>

typedef struct ng_store ng_store;

typedef enum ng_effort { NG_QUICK = 1, NG_NORMAL = 2, NG_THOROUGH = 3 } ng_effort;
extern const char *const ng_effort_names[4]; /* index ng_effort; [0] is "none" */

/* Path of the default store: $NORMGEN_DB, else $XDG_DATA_HOME/normgen/tuned.db, else
 * $HOME/.local/share/… E_ARGUMENT when none of them is set or the path does not fit. */
normgen_status ng_store_default_path(char *path, size_t size);

typedef enum ng_store_access {
    NG_STORE_READ,  /* never creates or writes; a missing file is E_STORE with *store NULL */
    NG_STORE_WRITE, /* creates directory (0700) and file (0600) when missing; migrates older
                       versions */
} ng_store_access;
/* A store of another user, or one that everyone may write, is read but never written: opening it
 * with NG_STORE_WRITE is E_STORE. */
normgen_status ng_store_open(const char *path, ng_store_access access, ng_store **store);
void ng_store_close(ng_store *store);
/* A caution for the user (network filesystem, somebody else's file): one sentence, or "". */
const char *ng_store_note(const ng_store *store);
/* Rows read so far through this handle that did not fit (type, length, range) and were ignored. */
int64_t ng_store_ignored(const ng_store *store);

/* One run of the tuner. */
typedef struct ng_session {
    char uuid[37];
    char started[32]; /* UTC, ISO 8601 with microseconds: sorts as text */
    char job[NORMGEN_SPEC_TEXT +
             128]; /* what was asked for, so that an interrupted session is found again */
    int effort;    /* ng_effort */
    int64_t seed;
    double noise;   /* relative noise floor, NAN until measured */
    int64_t cutoff; /* nanoseconds that a call must take on one thread for several to be faster; 0:
                       not measured; clamped to 2..2^20 when read */
    char host[256]; /* facts about the host that are not part of the machine key */
    bool finished;
} ng_session;

/* The unit of work, of resume and of one transaction: a spec in a regime at a number of threads. */
typedef struct ng_unit {
    const char *spec, *machine, *toolchain; /* canonical texts */
    ng_regime regime;
    int threads;
    int64_t rows; /* that it was measured with */
} ng_unit;

typedef struct ng_trial {
    char schedule[NG_SCHEDULE_TEXT]; /* canonical text; "limit …" or "memcpy" for what the limit was
                                        measured with */
    bool valid;
    char reason[256]; /* of an invalid trial: why */
    double ns;        /* median time of one row; 0 when never timed */
    double spread;    /* relative interquartile range */
    int64_t samples, code_bytes;
} ng_trial;

typedef enum ng_slot { NG_SLOT_ANY, NG_SLOT_CACHED, NG_SLOT_LIMIT, NG_SLOT_COUNT } ng_slot;
extern const char *const ng_slot_names[NG_SLOT_COUNT];

typedef struct ng_winner {
    ng_slot slot;
    char schedule[NG_SCHEDULE_TEXT];
    double ns;     /* median time of one row */
    int64_t pairs; /* paired turns that it rests on */
} ng_winner;

/* Writes a new session row; fills in uuid and started when they are empty. */
normgen_status ng_store_begin(ng_store *store, ng_session *session);
/* The newest unfinished session with this job, effort and seed; *found false when there is none. */
normgen_status ng_store_resume(ng_store *store, const char *job, int effort, int64_t seed,
                               ng_session *session, bool *found);
/* Writes noise, cutoff, host and finished of a session. */
normgen_status ng_store_update(ng_store *store, const ng_session *session);
/* Calls each(ctx, session) for all sessions, newest first. Here as below, `each` runs under a read
 * lock: it copies what it wants and returns false to stop. */
normgen_status ng_store_sessions(ng_store *store,
                                 bool (*each)(void *ctx, const ng_session *session), void *ctx);
/* The cut-off that the newest session on this machine measured; 0 when none did. */
normgen_status ng_store_cutoff(ng_store *store, const char *machine, int64_t *cutoff);
/* Writes trials and winners of one unit in one transaction: all or nothing. The session must have
 * begun. A unit that the session has committed already stays as it is (a second process resumed the
 * same session). Texts of people (reason, job, host) are stored as printable ASCII. */
normgen_status ng_store_commit(ng_store *store, const char *session, const ng_unit *unit,
                               const ng_trial *trials, size_t n_trials, const ng_winner *winners,
                               size_t n_winners);
/* Whether the session has committed the unit. */
normgen_status ng_store_done(ng_store *store, const char *session, const ng_unit *unit, bool *done);

/* A winner as read back, with where it comes from. */
typedef struct ng_found {
    ng_winner winner;
    char spec[NORMGEN_SPEC_TEXT], machine[NG_MACHINE_TEXT], toolchain[96], session[37], started[32];
    ng_regime regime;
    int threads, effort;
    int64_t rows;
} ng_found;

/* What to look for; NULL or -1 or 0 leaves a column open. Only effective winners are seen: of those
 * with one (spec, machine, toolchain, regime, threads, slot) the maximum by (effort, pairs,
 * started, uuid). */
typedef struct ng_query {
    const char *spec, *machine, *toolchain;
    int regime, slot; /* -1: any */
    int threads;      /* 0: any */
} ng_query;
/* Calls each(ctx, found) in the order spec, machine, regime, threads, slot; stops when it returns
 * false. */
normgen_status ng_store_winners(ng_store *store, const ng_query *query,
                                bool (*each)(void *ctx, const ng_found *found), void *ctx);
/* Calls each(ctx, trial) for the trials of one unit, fastest first, then those never timed, then
 * invalid ones; session, spec, machine or toolchain NULL: of all. unit->rows is not looked at. */
normgen_status ng_store_trials(ng_store *store, const char *session, const ng_unit *unit,
                               bool (*each)(void *ctx, const ng_trial *trial), void *ctx);

typedef struct ng_store_counts {
    int64_t sessions, trials, winners;
} ng_store_counts;
/* Adds all of `from` (a path) that is not there yet: a set union, nothing overwritten. `from` is
 * not trusted: it is opened read-only and fully checked first, rows that do not fit are ignored.
 * `added` (may be NULL) says how much. */
normgen_status ng_store_merge(ng_store *store, const char *from, ng_store_counts *added);
/* Writes the store as text (docs/store-text.md), one state of it, in an order that depends on the
 * rows alone. With winners_only: the effective winners with their units and sessions, no trials. A
 * failing write is E_IO. */
normgen_status ng_store_export(ng_store *store, bool winners_only, FILE *out,
                               ng_store_counts *counts);
/* Adds what a text says and is not there yet, as a merge does, in one transaction. A text that
 * breaks the form anywhere, or is cut off, adds nothing: E_STORE with `name` and line. Rows whose
 * values do not fit are ignored and counted. */
normgen_status ng_store_import(ng_store *store, FILE *in, const char *name, ng_store_counts *added);
/* A store in memory, for reading, from a text such as a program has inside. */
normgen_status ng_store_open_text(const char *text, const char *name, ng_store **store);
typedef struct ng_gc {
    const char *since;     /* trials of sessions that started before this (UTC, ISO 8601) go */
    const char *toolchain; /* trials of any other go too, however young; "" keeps all */
    bool dry_run;          /* count only; the store may be open for reading */
} ng_gc;
typedef struct ng_gc_result {
    int64_t dropped, kept; /* trials */
    bool shrunk;           /* the file gave its room back */
} ng_gc_result;
/* Drops trials that no winner rests on, in one transaction. Winners, units and sessions stay. A
 * merge from a store that still has the trials brings them back. */
normgen_status ng_store_gc(ng_store *store, const ng_gc *gc, ng_gc_result *result);

/* Full integrity check and a legality check of every schedule text. `illegal` counts the trials and
 * winners that nothing would use: they do not fit or have no legal schedule. They are not removed.
 * counts and illegal may be NULL. */
normgen_status ng_store_check(ng_store *store, ng_store_counts *counts, int64_t *illegal);

#endif
