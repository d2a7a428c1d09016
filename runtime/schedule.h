/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules: how a row program runs. Axes stand in one table; which combinations are legal for a
 * program and an ISA level is decided by one function. A schedule never changes bits. */
#ifndef NG_SCHEDULE_H
#define NG_SCHEDULE_H

#include "cpu.h"
#include "program.h"

typedef enum ng_store_kind {
    NG_STORE_CACHED,
    NG_STORE_AHEAD,
    NG_STORE_STREAM,
    NG_STORE_STAGED
} ng_store_kind;
typedef enum ng_overlap {
    NG_OVERLAP_NO,
    NG_OVERLAP_YES,
    NG_OVERLAP_ALL,
    NG_OVERLAP_TWO
} ng_overlap;
typedef enum ng_layout { NG_LAYOUT_LINEAR, NG_LAYOUT_EVENODD } ng_layout;
typedef enum ng_visit { NG_VISIT_BESIDE, NG_VISIT_TILES, NG_VISIT_STRIPS } ng_visit;
typedef enum ng_shared { NG_SHARED_ANEW, NG_SHARED_ONCE } ng_shared;
typedef enum ng_slicing { NG_SLICE_FOUR, NG_SLICE_LINE, NG_SLICE_AHEAD } ng_slicing;
typedef enum ng_prefetch {
    NG_PREFETCH_NONE,
    NG_PREFETCH_NEXT,
    NG_PREFETCH_L2,
    NG_PREFETCH_TWICE,
    NG_PREFETCH_THRICE
} ng_prefetch;

typedef struct ng_schedule {
    int16_t vec;      /* bits of the vectors that arithmetic is done in */
    int16_t block;    /* rows worked on together */
    int16_t store;    /* ng_store_kind */
    int16_t prefetch; /* ng_prefetch: of the next block's rows during the last pass */
    int16_t overlap;  /* ng_overlap: which passes of neighbouring blocks run together */
    int16_t layout;   /* ng_layout: which elements a register holds */
    int16_t visit;    /* ng_visit: in which order the rows of a block are visited */
    int16_t shared;   /* ng_shared: where what rows share is computed */
    int16_t slice;    /* ng_slicing: elements that loads, prefetches and stores alternate by */
    uint8_t keep[NG_MAX_KEEP]; /* ng_residency of each value that crosses passes */
} ng_schedule;

typedef struct ng_axis_value {
    const char *text;
    int16_t value;
} ng_axis_value;

typedef struct ng_axis {
    const char *name;
    size_t offset;  /* of an int16_t in ng_schedule; of keep[] when per_value */
    bool per_value; /* one word per crossing value, with commas; one word when all are the same */
    const ng_axis_value *values; /* simplest first, ended by a NULL text */
    const char *help;
} ng_axis;
#define NG_AXIS_COUNT 10
#define NG_AXES_WRITTEN 6 /* these are always written, later ones when not the simplest value */
extern const ng_axis ng_axes[NG_AXIS_COUNT];

#define NG_MAX_TOGETHER 4 /* passes that run side by side */
#define NG_MAX_FLIGHT 7   /* blocks in work at once: two a pass but the last */
#define NG_MAX_REQUESTS 3 /* for a line of rows to come */
#define NG_SCHEDULE_TEXT 192
#define NG_SCRATCH_BYTES (64 * 1024)
#define NG_TILE NG_SEGMENT /* elements of a row that visit=tiles visits in turn */
#define NG_STRIP 16        /* rows of a strip of visit=strips */
#define NG_SIZE_CAP 950    /* ng_schedule_size beyond which a schedule is not legal: 8 KiB */
#define NG_CODE_MOST 8192  /* bytes of code beyond which a kernel is not taken for a winner */

/* Canonical text; NG_SCHEDULE_TEXT bytes. */
void ng_schedule_text(const ng_program *program, const ng_schedule *schedule, char *text);
/* Reads text; E_SCHEDULE names what is wrong. The result may still be illegal for an ISA level. */
normgen_status ng_schedule_parse(const ng_program *program, const char *text,
                                 ng_schedule *schedule);
/* Whether every value is one of its axis. */
bool ng_schedule_in_axes(const ng_program *program, const ng_schedule *schedule);
/* Whether the generator can make this; if not, `reason` (NG_SCHEDULE_TEXT bytes, may be NULL) says
 * why. */
bool ng_schedule_legal(const ng_program *program, const ng_isa *isa, const ng_schedule *schedule,
                       char *reason);
/* All legal schedules of a program on an ISA level, simplest first (axis by axis, as indices into
 * their values); with more than three crossing values only those that keep most of them the same
 * way. *list is the caller's, freed with free(). E_MEMORY. */
normgen_status ng_schedule_space(const ng_program *program, const ng_isa *isa, ng_schedule **list,
                                 size_t *count);
/* All legal schedules that differ from one in one axis or in how one value is kept. *list is the
 * caller's, freed with free(). E_MEMORY. */
normgen_status ng_schedule_neighbours(const ng_program *program, const ng_isa *isa,
                                      const ng_schedule *schedule, ng_schedule **list,
                                      size_t *count);
/* -1, 0 or 1: the order of simplicity. */
int ng_schedule_compare(const ng_program *program, const ng_schedule *a, const ng_schedule *b);
/* Alignment in bytes that bases and strides of the streamed outputs need; 1 when nothing is
 * streamed. */
size_t ng_schedule_alignment(const ng_program *program, const ng_schedule *schedule, int stream);
/* Whether the schedule wants stores past the caches. */
bool ng_schedule_past_caches(const ng_schedule *schedule);
/* Whether the schedule asks for the lines of an output before it writes them: one whose elements
 * are one after the other. */
bool ng_schedule_asks_ahead(const ng_schedule *schedule, const ng_stream *stream);
/* Whether the store goes past the caches under this schedule (an output that is reloaded never
 * does). */
bool ng_schedule_streams(const ng_program *program, const ng_schedule *schedule,
                         const ng_op *store);
/* Whether the schedule has operation i computed once a call, into a stack array: an elem value that
 * rows share, is not read as it is, and that others are made of. */
bool ng_schedule_once(const ng_program *program, const ng_schedule *schedule, int i);
/* Elements that a loop over a row goes on by; whether the row (what passes go over) and a segment
 * are multiples of it, so that one loop is the code of whole segments and of the last one. */
int64_t ng_schedule_step(const ng_program *program, const ng_schedule *schedule);
bool ng_schedule_even_segments(const ng_program *program, const ng_schedule *schedule);
/* Rows of a block that the code spells out: all, or one and a loop over them. */
int ng_schedule_rows(const ng_schedule *schedule);
/* Rows that go through the passes together: a block, or a strip of blocks. */
int ng_schedule_turn(const ng_schedule *schedule);
/* With overlap: by how many blocks a pass is behind the first one, never less than the pass before
 * it; and in which of a round's sweeps over the elements it runs. Without: 0, and one each. */
int ng_overlap_lag(const ng_program *program, const ng_schedule *schedule, int pass);
int ng_overlap_sweep(const ng_program *program, const ng_schedule *schedule, int pass);
/* Blocks whose scratch has to be there at once, 1 without overlap. */
int ng_schedule_scratches(const ng_program *program, const ng_schedule *schedule);
/* Different lags: as often does the code have each pass. */
int ng_overlap_copies(const ng_program *program, const ng_schedule *schedule);
/* Sums of a pass, of a program; vectors of all of a block's, which a loop over the elements carries
 * around. */
int64_t ng_pass_sums(const ng_program *program, int pass);
int64_t ng_program_sums(const ng_program *program);
int64_t ng_schedule_sums(const ng_program *program, const ng_schedule *schedule);
#define NG_SUMS_TOGETHER 16 /* of them: half of the registers of the widest ISA levels */
/* Whether any value is kept so. */
bool ng_schedule_uses(const ng_program *program, const ng_schedule *schedule, ng_residency how);
/* Whether a pass divides elements of a row, when operations are computed in passes[]. */
bool ng_pass_divides(const ng_program *program, const uint16_t passes[NG_MAX_OPS], int pass);
/* A row that is one step has no loop over its elements. */
bool ng_schedule_loops(const ng_program *program, const ng_schedule *schedule);
/* Estimated number of vector instructions in the code. */
int64_t ng_schedule_size(const ng_program *program, const ng_isa *isa, const ng_schedule *schedule);
/* The plain schedule with the level's widest vectors: always legal, however long its code. */
bool ng_schedule_plain(const ng_program *program, const ng_isa *isa, const ng_schedule *schedule);
/* How often the schedule asks for each line of the rows to come: 0 to 3. */
int ng_schedule_requests(const ng_schedule *schedule);
/* Vectors of the compute type worked on at a time: whole spans, and enough for a whole vector of
 * the narrowest output. */
int ng_schedule_slice(const ng_program *program, const ng_schedule *schedule);
/* Elements of one vector of the compute type. */
int ng_schedule_vector(const ng_program *program, const ng_schedule *schedule);

#endif
