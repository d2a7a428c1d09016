/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the tuner and its workers: a length, a type, fields in order. Both ends are of
 * one build on one machine, so numbers travel as they lie in memory. Knows bytes only. */
#ifndef NG_WIRE_H
#define NG_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Requests to a worker, and its replies. */
typedef enum ng_message_type {
    NG_MSG_MAKE =
        1,         /* spec, kind, schedule, ISA level, seed, thoroughness -> OBJECT, then CHECKED */
    NG_MSG_OBJECT, /* status, error; code bytes, symbol, object */
    NG_MSG_CHECKED, /* status, error; comparisons */
    NG_MSG_ENTER,   /* spec, regime, rows, threads, seed -> DONE with host facts */
    NG_MSG_LOAD,    /* id, kind, symbol, object -> DONE */
    NG_MSG_TIME,    /* samples, n, ids -> TIMES */
    NG_MSG_DONE,    /* status, text */
    NG_MSG_HELLO,   /* build id: what a worker says first */
    NG_MSG_TIMES,   /* n * samples doubles */
    NG_MSG_TEAM     /* -> TIMES, one double: ng_barrier_cutoff */
} ng_message_type;

/* A message being written or read. Writing and reading never fail at once: `bad` tells at the end
 * that memory ran out, or that there was less than was read. */
typedef struct ng_message {
    unsigned char *bytes;
    size_t size, capacity, at;
    bool bad;
} ng_message;

void ng_message_fini(ng_message *m);
void ng_message_start(ng_message *m, ng_message_type type);
void ng_put_int(ng_message *m, int64_t value);
void ng_put_real(ng_message *m, double value);
void ng_put_bytes(ng_message *m, const void *bytes, size_t size);
void ng_put_text(ng_message *m, const char *text);

/* Type of a whole message; reading starts at its first field. 0 when it has none. */
int ng_message_open(ng_message *m);
int64_t ng_get_int(ng_message *m);
double ng_get_real(ng_message *m);
/* Points into the message. */
const void *ng_get_bytes(ng_message *m, size_t *size);
/* Copies, cut to `size` bytes with the end mark. */
void ng_get_text(ng_message *m, char *text, size_t size);

/* Sends all; false when the peer is gone or, with wait >= 0, did not take it within so many
 * milliseconds. */
bool ng_wire_send(int fd, ng_message *m, int wait);
/* Reads what is there, or blocks when the descriptor does: 1 a whole message is in m, 0 not yet,
 * -1 the peer is gone or sends nonsense. Never reads beyond one message. */
int ng_wire_receive(int fd, ng_message *m);

#endif
