/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer: whatever stands in a text, parsing ends with a status, and what was accepted prints
 * and parses back as itself. The first byte picks the reader. */
#include "decimal.h"
#include "program.h"
#include "schedule.h"
#include "spec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool promise) {
    if (!promise) abort();
}

static void fuzz_spec(const char *text) {
    normgen_spec spec, again;
    char printed[NORMGEN_SPEC_TEXT], twice[NORMGEN_SPEC_TEXT];
    if (normgen_spec_parse(&spec, text) != NORMGEN_OK) return;
    require(normgen_spec_print(&spec, printed, sizeof printed) == NORMGEN_OK);
    require(normgen_spec_parse(&again, printed) == NORMGEN_OK);
    require(normgen_spec_print(&again, twice, sizeof twice) == NORMGEN_OK);
    require(strcmp(printed, twice) == 0);
}

static void fuzz_schedule(const char *text) {
    normgen_spec spec;
    require(normgen_spec_parse(&spec, "layer hidden=768 eps=1e-05 x=bf16 residual=bf16 sum=bf16") ==
            NORMGEN_OK);
    ng_program program;
    normgen_spec resolved;
    require(ng_spec_resolve(&spec, &resolved) == NORMGEN_OK);
    ng_program_build(&program, &resolved);
    ng_schedule schedule, again;
    char printed[NG_SCHEDULE_TEXT];
    if (ng_schedule_parse(&program, text, &schedule) != NORMGEN_OK) return;
    ng_schedule_text(&program, &schedule, printed);
    require(ng_schedule_parse(&program, printed, &again) == NORMGEN_OK);
    require(ng_schedule_compare(&program, &schedule, &again) == 0);
    char reason[NG_SCHEDULE_TEXT];
    for (size_t i = 0; i < ng_isa_count; i++)
        ng_schedule_legal(&program, &ng_isas[i], &schedule, reason);
}

static void fuzz_number(const char *text) {
    double value, again;
    char printed[NG_DECIMAL_TEXT];
    int64_t integer;
    ng_integer_parse(text, &integer);
    if (!ng_decimal_parse(text, &value) || value != value) return;
    ng_decimal_print(value, printed);
    require(ng_decimal_parse(printed, &again) && again == value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    char *text = malloc(size); /* exactly as long as the text, so that a read beyond it is seen */
    if (text == NULL) return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 3) {
    case 0: fuzz_spec(text); break;
    case 1: fuzz_schedule(text); break;
    default: fuzz_number(text); break;
    }
    free(text);
    return 0;
}
