/* SPDX-License-Identifier: Apache-2.0 */
/* The table of schedule axes, and what follows from it: text, order of simplicity, enumeration.
 * Which combinations are legal is decided by ng_schedule_legal alone (schedule_legal.c). */
#include "schedule.h"

#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ng_axis_value vec_values[] = {{"128", 128}, {"256", 256}, {"512", 512}, {NULL, 0}};
static const ng_axis_value block_values[] = {{"1", 1}, {"2", 2}, {"4", 4}, {"8", 8}, {NULL, 0}};
static const ng_axis_value keep_values[] = {{"recompute", NG_RECOMPUTE},
                                            {"reload", NG_RELOAD},
                                            {"scratch", NG_SCRATCH},
                                            {"regs", NG_REGS},
                                            {NULL, 0}};
static const ng_axis_value store_values[] = {{"cached", NG_STORE_CACHED},
                                             {"ahead", NG_STORE_AHEAD},
                                             {"stream", NG_STORE_STREAM},
                                             {"staged", NG_STORE_STAGED},
                                             {NULL, 0}};
static const ng_axis_value prefetch_values[] = {
    {"none", NG_PREFETCH_NONE},   {"next", NG_PREFETCH_NEXT},     {"l2", NG_PREFETCH_L2},
    {"twice", NG_PREFETCH_TWICE}, {"thrice", NG_PREFETCH_THRICE}, {NULL, 0}};
static const ng_axis_value overlap_values[] = {{"no", NG_OVERLAP_NO},
                                               {"yes", NG_OVERLAP_YES},
                                               {"all", NG_OVERLAP_ALL},
                                               {"two", NG_OVERLAP_TWO},
                                               {NULL, 0}};
static const ng_axis_value layout_values[] = {
    {"linear", NG_LAYOUT_LINEAR}, {"evenodd", NG_LAYOUT_EVENODD}, {NULL, 0}};
static const ng_axis_value shared_values[] = {
    {"anew", NG_SHARED_ANEW}, {"once", NG_SHARED_ONCE}, {NULL, 0}};
static const ng_axis_value visit_values[] = {
    {"beside", NG_VISIT_BESIDE}, {"tiles", NG_VISIT_TILES}, {"strips", NG_VISIT_STRIPS}, {NULL, 0}};

static const ng_axis_value slice_values[] = {
    {"four", NG_SLICE_FOUR}, {"line", NG_SLICE_LINE}, {"ahead", NG_SLICE_AHEAD}, {NULL, 0}};

#define AXIS(member, help) {#member, offsetof(ng_schedule, member), false, member##_values, help}
const ng_axis ng_axes[NG_AXIS_COUNT] = {
    AXIS(vec, "bits of the vectors that arithmetic is done in"),
    AXIS(block, "rows worked on together"),
    {"keep", offsetof(ng_schedule, keep), true, keep_values,
     "how each value that crosses passes gets there: computed again, reloaded from an output, kept "
     "in a stack array, "
     "kept in registers"},
    AXIS(store, "cached; ahead: into lines that were asked for a little before; stream: past the "
                "caches; staged: the same by way of a stack buffer, which "
                "paces the stores"),
    AXIS(prefetch,
         "next: the rows of the next block are prefetched during the last pass; l2: into "
         "L2 only, and with overlap those of the block after it; twice, thrice: the same, and each "
         "line is asked for again a little later, since a processor that is busy drops "
         "requests"),
    AXIS(overlap,
         "yes: the last pass of a block runs together with the first pass of the next; all: "
         "every pass of a block runs together with the one before of the next block; two: with "
         "the one before of the next block but one, so that what is computed between them has the "
         "time of a block"),
    AXIS(layout,
         "evenodd: of two neighbouring registers one holds the even and one the odd elements, "
         "so that bf16 is widened without shuffles"),
    AXIS(visit,
         "beside: the rows of a block go side by side; tiles: row after row, but the last pass in "
         "tiles of 1024 elements, for which the rows take turns, so that what they share stays in "
         "L1; strips: blocks are a loop over 16 rows, whose sums wait in memory and are folded "
         "together"),
    AXIS(
        shared,
        "once: what follows from arrays that all rows share (a weight of 16 bits widened, 1 added) "
        "is computed once a call into a stack array, not for every block of rows"),
    AXIS(slice,
         "elements that loads, prefetches and stores alternate by: four vectors; line: as few as "
         "fill a cache line of every row; ahead: four vectors, but in passes that divide elements "
         "the divisors of the next slice are computed before what is left of this one"),
};

/* ---- the index vector: one index per axis, one per crossing value for keep ---- */

enum { INDICES = NG_AXIS_COUNT - 1 + NG_MAX_KEEP };

typedef struct place {
    const ng_axis *axis;
    int value; /* which crossing value, of a per-value axis */
} place;

static int places_of(const ng_program *p, place places[INDICES]) {
    int n = 0;
    for (int i = 0; i < NG_AXIS_COUNT; i++)
        for (int j = 0; j < (ng_axes[i].per_value ? p->keeps : 1); j++)
            places[n++] = (place){&ng_axes[i], j};
    return n;
}

static int get(const ng_schedule *s, place at) {
    const char *base = (const char *)s + at.axis->offset;
    int16_t v;
    if (at.axis->per_value) return (unsigned char)base[at.value];
    memcpy(&v, base, sizeof v);
    return v;
}

static void set(ng_schedule *s, place at, int16_t v) {
    char *base = (char *)s + at.axis->offset;
    if (at.axis->per_value)
        base[at.value] = (char)v;
    else
        memcpy(base, &v, sizeof v);
}

/* Index of the schedule's value in the axis, or -1. */
static int index_of(const ng_schedule *s, place at) {
    for (int i = 0; at.axis->values[i].text; i++)
        if (at.axis->values[i].value == get(s, at)) return i;
    return -1;
}

bool ng_schedule_in_axes(const ng_program *p, const ng_schedule *s) {
    place places[INDICES];
    int n = places_of(p, places);
    for (int i = 0; i < n; i++)
        if (index_of(s, places[i]) < 0) return false;
    return true;
}

int ng_schedule_compare(const ng_program *p, const ng_schedule *a, const ng_schedule *b) {
    place places[INDICES];
    int n = places_of(p, places);
    for (int i = 0; i < n; i++) {
        int d = index_of(a, places[i]) - index_of(b, places[i]);
        if (d) return d < 0 ? -1 : 1;
    }
    return 0;
}

/* ---- text ---- */

static size_t print_keeps(const ng_program *p, const ng_schedule *s, const ng_axis *axis,
                          char *text, size_t size) {
    bool same = true;
    for (int j = 1; j < p->keeps; j++) same = same && s->keep[j] == s->keep[0];
    size_t at = 0;
    for (int j = 0; j < (same ? 1 : p->keeps); j++) {
        int i = p->keeps ? index_of(s, (place){axis, j}) : 0;
        at += (size_t)snprintf(text + at, size - at, "%s%s", j ? "," : "",
                               i < 0 ? "?" : axis->values[i].text);
    }
    return at;
}

void ng_schedule_text(const ng_program *p, const ng_schedule *s, char *text) {
    size_t at = 0;
    for (int i = 0; i < NG_AXIS_COUNT; i++) {
        const ng_axis *axis = &ng_axes[i];
        if (i >= NG_AXES_WRITTEN && index_of(s, (place){axis, 0}) == 0) continue;
        at += (size_t)snprintf(text + at, NG_SCHEDULE_TEXT - at, "%s%s=", i ? " " : "", axis->name);
        if (axis->per_value) {
            at += print_keeps(p, s, axis, text + at, NG_SCHEDULE_TEXT - at);
            continue;
        }
        int v = index_of(s, (place){axis, 0});
        at += (size_t)snprintf(text + at, NG_SCHEDULE_TEXT - at, "%s",
                               v < 0 ? "?" : axis->values[v].text);
    }
}

static normgen_status bad_axis(const ng_axis *axis, const char *value, size_t length) {
    char allowed[80] = "";
    for (const ng_axis_value *v = axis->values; v->text; v++) {
        size_t at = strlen(allowed);
        snprintf(allowed + at, sizeof allowed - at, " %s", v->text);
    }
    return ng_fail(NORMGEN_E_SCHEDULE, "schedule axis %s: '%.*s' is not allowed; it takes%s",
                   axis->name, (int)(length < 60 ? length : 60), value, allowed);
}

static normgen_status parse_word(ng_schedule *s, place at, const char *text, size_t length) {
    for (const ng_axis_value *v = at.axis->values; v->text; v++)
        if (strlen(v->text) == length && memcmp(v->text, text, length) == 0) {
            set(s, at, v->value);
            return NORMGEN_OK;
        }
    return bad_axis(at.axis, text, length);
}

/* One word for all crossing values, or one for each. */
static normgen_status parse_keeps(const ng_program *p, ng_schedule *s, const ng_axis *axis,
                                  const char *text, size_t length) {
    int n = 0;
    for (size_t at = 0; at <= length; n++) {
        size_t word = 0;
        while (at + word < length && text[at + word] != ',') word++;
        if (n >= NG_MAX_KEEP || (n && n >= p->keeps)) break;
        normgen_status st = parse_word(s, (place){axis, n}, text + at, word);
        if (st != NORMGEN_OK) return st;
        at += word + 1;
        if (at > length) {
            n++;
            break;
        }
    }
    if (n == 1 || n == p->keeps) {
        for (int j = n; j < p->keeps; j++) s->keep[j] = s->keep[0];
        if (p->keeps == 0) s->keep[0] = 0;
        if (memchr(text, ',', length) == NULL || n == p->keeps) return NORMGEN_OK;
    }
    return ng_fail(NORMGEN_E_SCHEDULE,
                   "schedule axis keep: '%.*s' is not one word, nor one for each of the %d values",
                   (int)(length < 60 ? length : 60), text, p->keeps);
}

#define BLANKS " \t\r\n"

normgen_status ng_schedule_parse(const ng_program *p, const char *text, ng_schedule *schedule) {
    ng_schedule s = {0};
    unsigned given = 0;
    for (const char *at = text + strspn(text, BLANKS); *at; at += strspn(at, BLANKS)) {
        size_t length = strcspn(at, BLANKS), name = strcspn(at, "=" BLANKS);
        int i = 0;
        while (i < NG_AXIS_COUNT &&
               !(strlen(ng_axes[i].name) == name && memcmp(ng_axes[i].name, at, name) == 0))
            i++;
        if (i == NG_AXIS_COUNT || name == length)
            return ng_fail(NORMGEN_E_SCHEDULE, "schedule text: '%.*s' is not a known AXIS=VALUE",
                           (int)(length < 60 ? length : 60), at);
        if (given >> i & 1u)
            return ng_fail(NORMGEN_E_SCHEDULE, "schedule axis %s is given twice", ng_axes[i].name);
        given |= 1u << i;
        const char *value = at + name + 1;
        size_t n = length - name - 1;
        normgen_status st = ng_axes[i].per_value
                                ? parse_keeps(p, &s, &ng_axes[i], value, n)
                                : parse_word(&s, (place){&ng_axes[i], 0}, value, n);
        if (st != NORMGEN_OK) return st;
        at += length;
    }
    for (int i = 0; i < NG_AXES_WRITTEN; i++)
        if (!(given >> i & 1u))
            return ng_fail(NORMGEN_E_SCHEDULE, "schedule text lacks %s=…", ng_axes[i].name);
    *schedule = s;
    return NORMGEN_OK;
}

/* ---- enumeration ---- */

/* How many values may be kept in another way than most: with many crossing values the rest of the
 * combinations is left to whoever goes on from a good one, neighbour by neighbour. */
static int odd_keeps_most(const ng_program *p) { return p->keeps <= 3 ? 3 : p->keeps <= 5 ? 2 : 1; }

static bool worth_listing(const ng_program *p, const ng_schedule *s) {
    int alike = 0;
    for (int i = 0; i < p->keeps && alike < p->keeps; i++) {
        int same = 0;
        for (int j = 0; j < p->keeps; j++) same += s->keep[j] == s->keep[i];
        if (same > alike) alike = same;
    }
    return p->keeps - alike <= odd_keeps_most(p);
}

/* The next combination, the last place turning fastest; `from` and what follows it are skipped. */
static bool turn(const place *places, int index[INDICES], int n, int from) {
    for (int i = from; i < n; i++) index[i] = 0;
    int i = from - 1;
    while (i >= 0 && !places[i].axis->values[++index[i]].text) index[i--] = 0;
    return i >= 0;
}

static int after_keeps(const place *places, int n) {
    int last = n;
    for (int i = 0; i < n; i++)
        if (places[i].axis->per_value) last = i + 1;
    return last;
}

normgen_status ng_schedule_neighbours(const ng_program *p, const ng_isa *isa,
                                      const ng_schedule *schedule, ng_schedule **list,
                                      size_t *count) {
    place places[INDICES];
    int n = places_of(p, places);
    size_t used = 0, most = 0;
    for (int i = 0; i < n; i++)
        for (const ng_axis_value *v = places[i].axis->values; v->text; v++) most++;
    ng_schedule *all = malloc((most + 1) * sizeof *all);
    if (!all) return ng_fail(NORMGEN_E_MEMORY, "out of memory for %zu schedules", most);
    for (int i = 0; i < n; i++)
        for (const ng_axis_value *v = places[i].axis->values; v->text; v++) {
            ng_schedule s = *schedule;
            set(&s, places[i], v->value);
            if (v->value != get(schedule, places[i]) && ng_schedule_legal(p, isa, &s, NULL))
                all[used++] = s;
        }
    *list = all;
    *count = used;
    return NORMGEN_OK;
}

normgen_status ng_schedule_space(const ng_program *p, const ng_isa *isa, ng_schedule **list,
                                 size_t *count) {
    place places[INDICES];
    int index[INDICES] = {0}, n = places_of(p, places), next = n;
    size_t used = 0, capacity = 64;
    ng_schedule *all = malloc(capacity * sizeof *all), s = {0};
    do {
        if (all && used == capacity) {
            ng_schedule *grown = realloc(all, 2 * capacity * sizeof *all);
            if (!grown) free(all);
            all = grown;
            capacity *= 2;
        }
        if (!all) return ng_fail(NORMGEN_E_MEMORY, "out of memory for %zu schedules", capacity);
        for (int i = 0; i < n; i++) set(&s, places[i], places[i].axis->values[index[i]].value);
        bool listed = worth_listing(p, &s);
        if (listed && ng_schedule_legal(p, isa, &s, NULL)) all[used++] = s;
        next = listed ? n : after_keeps(places, n);
    } while (turn(places, index, n, next));
    *list = all;
    *count = used;
    return NORMGEN_OK;
}
