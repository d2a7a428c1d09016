/* SPDX-License-Identifier: Apache-2.0 */
/* Which schedules a spec is run with: winners of the store, from the nearest place that has one.
 * Nothing that a store says is believed: a schedule is used only if it is legal here. */
#ifndef NG_CHOOSE_H
#define NG_CHOOSE_H

#include "spec.h"
#include "store.h"

/* Where a schedule comes from, best first; the names are what `normgen explain` prints. */
typedef enum ng_rung {
    NG_RUNG_MACHINE, /* tuned on this machine */
    NG_RUNG_CACHES,  /* on one with the same ISA and caches of about the same size */
    NG_RUNG_ISA,     /* on one with the same ISA */
    NG_RUNG_HIDDEN,  /* for the same spec with another hidden, on any of these */
    NG_RUNG_SHIPPED, /* the same three steps and the nearest hidden, in what the library has inside
                      */
    NG_RUNG_DEFAULT, /* never tuned anywhere */
    NG_RUNG_COUNT
} ng_rung;
extern const char *const ng_rung_names[NG_RUNG_COUNT];

typedef struct ng_choice {
    ng_schedule schedule; /* legal for the program on the machine's ISA level */
    ng_rung rung;
    ng_found found; /* the winner it is taken from; of NG_RUNG_DEFAULT: empty; of NG_RUNG_SHIPPED:
                       its trials are in no store */
} ng_choice;

typedef struct ng_choices {
    /* One streams nothing past the caches in slot NG_SLOT_CACHED. */
    ng_choice at[NG_REGIME_COUNT][NG_SLOT_CACHED + 1];
    size_t ignored; /* stored schedules that are not legal */
    char why[512];  /* of the last of these */
} ng_choices;

/* Chooses for every regime and both slots. threads: winners of the nearest smaller tuned number are
 * used. toolchain: preferred where a place has several, or NULL. store NULL: none, the library's
 * own winners are left. E_STORE when the
 * store cannot be read; *choices is complete all the same. The machine's level must have generated
 * code. */
normgen_status ng_choose(ng_store *store, const ng_cpu *cpu, const normgen_spec *spec,
                         const ng_program *program, const char *toolchain, int threads,
                         ng_choices *choices);

/* The built-in default schedules for every regime and both slots. */
void ng_choose_defaults(const ng_cpu *cpu, const ng_program *program, ng_choices *choices);

/* How near a machine, by its text, is to this one: NG_RUNG_MACHINE, _CACHES or _ISA, or
 * NG_RUNG_DEFAULT when its winners mean nothing here. */
ng_rung ng_machine_rung(const ng_cpu *cpu, const char *machine);

#endif
