/* SPDX-License-Identifier: Apache-2.0 */
/* Events are copied as they come, since their texts live during the call only. Results stand on
 * standard output, everything on the way there on stderr. */
#include "results.h"

#include "interrupt.h"
#include "json.h"
#include "store.h"

#include <stdlib.h>
#include <string.h>

const char *cli_ns_text(double ns, char *text) {
    snprintf(text, 24, ns <= 0 ? "-" : ns < 999.95 ? "%.1f" : "%.0f", ns);
    return text;
}

const char *cli_share_text(double of, double value, char *text) {
    snprintf(text, 24, of > 0 && value > 0 ? "%.2f" : "-", of / value);
    return text;
}

void cli_results_init(cli_results *r, const cli_results_form *form, bool json) {
    *r = (cli_results){.form = form, .json = json};
    cli_progress_init(&r->progress, true);
}

void cli_results_fini(cli_results *r) {
    cli_progress_clear(&r->progress);
    free(r->items);
    r->items = NULL;
}

/* ---- events ---- */

static cli_result *push(cli_results *r) {
    if (r->count == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 16;
        cli_result *grown = realloc(r->items, capacity * sizeof *grown);
        if (!grown) {
            r->failed = true;
            return NULL;
        }
        r->items = grown;
        r->capacity = capacity;
    }
    return &r->items[r->count++];
}

static void describe_spec(cli_result *result, const ng_event *e) {
    ng_program program;
    size_t row, shared;
    if (!e->spec) return;
    snprintf(result->name, sizeof result->name, "%s", e->spec->name);
    ng_spec_text(&e->spec->spec, result->spec_text);
    ng_program_build(&program, &e->spec->spec);
    ng_program_footprint(&program, &row, &shared);
    result->row_bytes = (double)row + (e->rows > 0 ? (double)shared / (double)e->rows : 0);
}

static cli_result *keep(cli_results *r, const ng_event *e) {
    cli_result *result = push(r);
    if (!result) return NULL;
    *result = (cli_result){.skipped = e->kind == NG_EVENT_SKIP, .event = *e};
    snprintf(result->reason, sizeof result->reason, "%s", e->text ? e->text : "");
    describe_spec(result, e);
    result->event.text = NULL;
    result->event.spec = NULL;
    return result;
}

static void json_figure(cli_json *json, const char *key, const ng_figure *f) {
    if (f->ns <= 0) return;
    cli_json_open(json, key, '{');
    if (f->schedule[0]) cli_json_text(json, "schedule", f->schedule);
    cli_json_decimal(json, "ns_per_row", f->ns);
    cli_json_decimal(json, "spread", f->spread);
    cli_json_close(json);
}

static void print_json(const cli_result *result) {
    const ng_event *e = &result->event;
    cli_json json;
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "event", result->skipped ? "skip" : "result");
    if (result->name[0]) cli_json_text(&json, "name", result->name);
    cli_json_text(&json, "spec", result->spec_text);
    cli_json_text(&json, "regime", ng_regime_names[e->regime]);
    cli_json_integer(&json, "threads", e->threads);
    if (result->skipped) {
        cli_json_text(&json, "reason", result->reason);
        cli_json_end(&json);
        return;
    }
    cli_json_integer(&json, "rows", e->rows);
    cli_json_decimal(&json, "noise", e->noise);
    json_figure(&json, "winner", &e->best);
    json_figure(&json, "cached", &e->cached);
    json_figure(&json, "limit", &e->limit);
    json_figure(&json, "default", &e->preset);
    json_figure(&json, "interpreter", &e->interp);
    json_figure(&json, "one_row", &e->one);
    json_figure(&json, "one_row_limit", &e->one_limit);
    cli_json_decimal(&json, "bytes_per_row", result->row_bytes);
    cli_json_integer(&json, "trials", (int64_t)e->trials);
    cli_json_integer(&json, "invalid", (int64_t)e->invalid);
    cli_json_end(&json);
    fflush(stdout);
}

/* One line for logs, where no progress bar can be drawn. */
static void print_line(const cli_result *result) {
    const ng_event *e = &result->event;
    char ns[24], share[24];
    if (result->skipped)
        fprintf(stderr, "%s: %s\n", ng_regime_names[e->regime], result->reason);
    else
        fprintf(stderr, "%s: %lld rows: %s ns/row, %s of the limit: %s\n",
                ng_regime_names[e->regime], (long long)e->rows, cli_ns_text(e->best.ns, ns),
                cli_share_text(e->limit.ns, e->best.ns, share), e->best.schedule);
}

static void draw(cli_results *r, const ng_event *e) {
    char text[512], ns[24];
    size_t at = (size_t)snprintf(text, sizeof text, "%s %s", ng_regime_names[e->regime],
                                 e->text ? e->text : "");
    if (e->best.ns > 0 && at < sizeof text)
        snprintf(text + at, sizeof text - at, "; leader %s ns/row %s", cli_ns_text(e->best.ns, ns),
                 e->best.schedule);
    cli_progress_draw(&r->progress, e->done, e->total, text);
}

void cli_results_event(void *ctx, const ng_event *e) {
    cli_results *r = ctx;
    if (e->kind == NG_EVENT_PROGRESS) {
        draw(r, e);
        return;
    }
    cli_progress_clear(&r->progress);
    if (e->kind == NG_EVENT_NOTE) {
        fprintf(stderr, "normgen: %s\n", e->text);
        return;
    }
    const cli_result *result = keep(r, e);
    if (!result) return;
    if (r->json) print_json(result);
    if (!r->json && !r->progress.terminal) print_line(result);
}

ng_tune_request cli_request(const cli_args *args, const ng_spec_list *specs, const char *store,
                            cli_results *results) {
    cli_interrupt_catch();
    return (ng_tune_request){.specs = specs,
                             .store = store,
                             .effort = args->effort ? (int)args->effort : NG_NORMAL,
                             .budget = args->budget,
                             .rows = args->rows,
                             .threads = args->threads ? (int)args->threads : 1,
                             .seed = args->seed,
                             .stop = &cli_stop,
                             .event = cli_results_event,
                             .ctx = results};
}

/* ---- tables ---- */

static void add_skipped(cli_table *t, const cli_result *result) {
    cli_table_add(t, "%s", ng_regime_names[result->event.regime]);
    cli_table_add(t, "-");
    while ((t->count + 1) % strlen(t->columns)) cli_table_add(t, "%s", "");
    cli_table_add(t, "%s", result->reason);
}

/* Prints the results from `first` that share its spec; returns the next one. */
static size_t print_spec(const cli_results *r, size_t first) {
    const cli_result *head = &r->items[first];
    cli_table t;
    cli_table_init(&t, r->form->columns);
    for (size_t c = 0; r->form->heads[c]; c++) cli_table_add(&t, "%s", r->form->heads[c]);
    double noise = 0;
    size_t i = first, trials = 0, invalid = 0;
    for (; i < r->count && strcmp(r->items[i].spec_text, head->spec_text) == 0; i++) {
        const cli_result *result = &r->items[i];
        if (result->skipped)
            add_skipped(&t, result);
        else
            r->form->add(&t, result);
        if (result->event.noise > noise) noise = result->event.noise;
        trials += result->event.trials;
        invalid += result->event.invalid;
    }
    printf("%s%s%s%s\n", first ? "\n" : "", head->name, head->name[0] ? ": " : "", head->spec_text);
    cli_table_print(&t, 2, stdout);
    cli_table_fini(&t);
    if (noise > 0) printf("  noise floor %.1f %%", 100 * noise);
    if (trials) printf("%s%zu trials, %zu invalid", noise > 0 ? "; " : "  ", trials, invalid);
    if (noise > 0 || trials) putchar('\n');
    return i;
}

void cli_results_print(cli_results *r) {
    cli_progress_clear(&r->progress);
    if (r->failed) cli_error("out of memory: some results are not shown");
    for (size_t i = 0; !r->json && i < r->count;) i = print_spec(r, i);
}
