/* SPDX-License-Identifier: Apache-2.0 */
/* normgen run: applies a spec to arrays in files. Streams of the row program are matched with
 * options by their role, so a new fusion needs a line in `files` at most. Nothing appears under its
 * name before everything is computed and written. */
#include "verbs.h"

#include "array.h"
#include "error.h"
#include "interrupt.h"
#include "json.h"
#include "program.h"
#include "specargs.h"
#include "types.h"

#include <string.h>

/* Where the array of a role comes from or goes to, and which field of the spec has its type. */
static const struct {
    const char *option;
    size_t path;  /* offset in cli_args */
    size_t field; /* offset in normgen_spec of the type, or of the flag of a saved statistic */
} files[NG_ROLE_COUNT] = {
    [NG_ROLE_x] = {"x", offsetof(cli_args, x), offsetof(normgen_spec, x)},
    [NG_ROLE_residual] = {"residual", offsetof(cli_args, residual),
                          offsetof(normgen_spec, residual)},
    [NG_ROLE_weight] = {"weight", offsetof(cli_args, weight), offsetof(normgen_spec, weight)},
    [NG_ROLE_bias] = {"bias", offsetof(cli_args, bias), offsetof(normgen_spec, bias)},
    [NG_ROLE_y] = {"out", offsetof(cli_args, y), offsetof(normgen_spec, y)},
    [NG_ROLE_sum] = {"sum-out", offsetof(cli_args, sum_out), offsetof(normgen_spec, sum)},
    [NG_ROLE_mean] = {"mean-out", offsetof(cli_args, mean_out), offsetof(normgen_spec, mean)},
    [NG_ROLE_rstd] = {"rstd-out", offsetof(cli_args, rstd_out), offsetof(normgen_spec, rstd)},
};

typedef struct job {
    const cli_args *args;
    normgen_spec spec;
    ng_program program;
    cli_array array[NG_ROLE_COUNT];
    cli_output output[NG_ROLE_COUNT];
    size_t rows;
    char served[256];
} job;

static const char *path_of(const job *j, int role) {
    if (!files[role].option) return NULL;
    return *(const char *const *)(const void *)((const char *)j->args + files[role].path);
}
static int32_t *field_of(normgen_spec *spec, int role) {
    return (int32_t *)(void *)((char *)spec + files[role].field);
}

/* ---- the command line ---- */

static int check_streams(const job *j) {
    int in = 0, out = 0;
    for (int r = 0; r < NG_ROLE_COUNT; r++) {
        const char *path = path_of(j, r);
        if (path && cli_path_is_stream(path)) ng_roles[r].out ? out++ : in++;
        for (int q = 0; path && ng_roles[r].out && q < r; q++)
            if (ng_roles[q].out && path_of(j, q) && strcmp(path, path_of(j, q)) == 0)
                return cli_usage_error(j->args->verb, "--%s and --%s name one file: '%s'",
                                       files[q].option, files[r].option, path);
    }
    if (in > 1) return cli_usage_error(j->args->verb, "only one array can come from '-'");
    if (out && j->args->json)
        return cli_usage_error(j->args->verb, "--json and an output '-' both want standard output");
    return CLI_DONE;
}

static int check_words(const job *j) {
    if (!j->args->x) return cli_usage_error(j->args->verb, "no input is given: --x FILE");
    if (!j->args->y) return cli_usage_error(j->args->verb, "no output is given: -o FILE");
    if (j->args->name && !j->args->n_words && !j->args->model)
        return cli_usage_error(j->args->verb, "--name selects from a Lua file, and none is given");
    return check_streams(j);
}

/* ---- inputs ---- */

/* Reads every input that is named; text becomes the type that the spec has for it. */
static normgen_status read_inputs(job *j, bool has_spec) {
    for (int r = 0; r < NG_ROLE_COUNT; r++) {
        if (ng_roles[r].out || !path_of(j, r)) continue;
        int32_t type = has_spec ? *field_of(&j->spec, r) : NORMGEN_F32;
        cli_array_rules rules = {type == NORMGEN_NONE ? NORMGEN_F32 : type,
                                 j->args->v2 ? NORMGEN_BF16 : NORMGEN_NONE};
        normgen_status st = cli_array_read(path_of(j, r), &rules, &j->array[r]);
        if (st != NORMGEN_OK) return st;
    }
    return NORMGEN_OK;
}

/* A spec by flags: the arrays say the rest. */
static normgen_status spec_of_arrays(job *j) {
    normgen_spec s = j->args->spec;
    const cli_array *x = &j->array[NG_ROLE_x];
    if (s.hidden == 0 && x->dims > 0) s.hidden = x->shape[x->dims - 1];
    if (s.hidden == 0)
        return ng_fail(NORMGEN_E_SPEC, "%s: rows of no elements cannot be normalized",
                       path_of(j, NG_ROLE_x));
    for (int r = 0; r < NG_ROLE_COUNT; r++)
        if (files[r].option && !ng_roles[r].out)
            *field_of(&s, r) = path_of(j, r) ? j->array[r].type : NORMGEN_NONE;
    if (path_of(j, NG_ROLE_sum) && s.sum == NORMGEN_DEFAULT) s.sum = s.x;
    if (path_of(j, NG_ROLE_mean)) s.mean = 1;
    if (path_of(j, NG_ROLE_rstd)) s.rstd = 1;
    return cli_spec_of_flags(&s, j->args->given, &j->spec);
}

static bool has_stream(const job *j, int role) {
    for (int s = 0; s < j->program.streams; s++)
        if (j->program.stream[s].role == role) return true;
    return false;
}

/* A file for everything that the spec reads, and no file for what it has not. */
static normgen_status check_roles(const job *j) {
    for (int r = 0; r < NG_ROLE_COUNT; r++) {
        const char *path = path_of(j, r), *name = ng_roles[r].name;
        if (path && !has_stream(j, r))
            return ng_fail(NORMGEN_E_ARGUMENT,
                           "--%s: the spec has no %s; leave the file out, or "
                           "add %s=… to the spec",
                           files[r].option, name, name);
        if (!path && !ng_roles[r].out && has_stream(j, r))
            return ng_fail(
                NORMGEN_E_ARGUMENT, "the spec has %s=%s, and no file has it: add --%s FILE", name,
                ng_types[*field_of((normgen_spec *)(uintptr_t)&j->spec, r)].name, files[r].option);
    }
    return NORMGEN_OK;
}

static normgen_status misfit(const job *j, int role, const char *wanted) {
    char text[512];
    return ng_fail(NORMGEN_E_ARGUMENT, "%s: --%s is %s; it must be %s", path_of(j, role),
                   files[role].option, cli_array_describe(&j->array[role], text, sizeof text),
                   wanted);
}

static bool same_shape(const cli_array *a, const cli_array *b) {
    return a->dims == b->dims &&
           memcmp(a->shape, b->shape, (size_t)a->dims * sizeof a->shape[0]) == 0;
}

static normgen_status check_array(const job *j, const ng_stream *stream) {
    const cli_array *a = &j->array[stream->role], *x = &j->array[NG_ROLE_x];
    char wanted[640], text[512];
    if (a->type != stream->type) {
        snprintf(wanted, sizeof wanted, "%s, as the spec says", ng_types[stream->type].name);
        return misfit(j, stream->role, wanted);
    }
    bool width = a->dims > 0 && a->shape[a->dims - 1] == j->spec.hidden;
    if (!width || (ng_stream_shared(stream) && a->count != (size_t)j->spec.hidden)) {
        snprintf(wanted, sizeof wanted, "%s %lld elements (hidden)",
                 ng_stream_shared(stream) ? "one row of" : "rows of", (long long)j->spec.hidden);
        return misfit(j, stream->role, wanted);
    }
    if (ng_stream_moves(stream) && !same_shape(a, x)) {
        snprintf(wanted, sizeof wanted, "as large as --x, which is %s",
                 cli_array_describe(x, text, sizeof text));
        return misfit(j, stream->role, wanted);
    }
    return NORMGEN_OK;
}

static normgen_status check_arrays(job *j) {
    normgen_status st = check_roles(j);
    for (int s = 0; s < j->program.streams && st == NORMGEN_OK; s++)
        if (!j->program.stream[s].out) st = check_array(j, &j->program.stream[s]);
    j->rows = j->array[NG_ROLE_x].count / (size_t)j->spec.hidden;
    return st;
}

/* ---- running ---- */

/* Rows have the shape of x, scalars that of its leading dimensions. */
static normgen_status make_outputs(job *j) {
    const cli_array *x = &j->array[NG_ROLE_x];
    normgen_status st = NORMGEN_OK;
    for (int s = 0; s < j->program.streams && st == NORMGEN_OK; s++) {
        const ng_stream *t = &j->program.stream[s];
        int dims = ng_stream_moves(t) ? x->dims : x->dims - 1;
        if (t->out) st = cli_array_new(t->type, dims, x->shape, &j->array[t->role]);
    }
    return st;
}

static void warn(void *ctx, normgen_log_level level, const char *line) {
    (void)ctx;
    if (level == NORMGEN_LOG_WARNING) fprintf(stderr, "normgen: warning: %s\n", line);
}

static void set_pointers(job *j, normgen_args *args) {
    *args = NORMGEN_ARGS;
    args->rows = j->rows;
    for (int r = 0; r < NG_ROLE_COUNT; r++)
        *(void **)(void *)((char *)args + ng_roles[r].base) = j->array[r].data;
}

static normgen_status run_kernel(job *j) {
    normgen *ng = NULL;
    normgen_kernel *kernel;
    normgen_args args;
    normgen_options options = normgen_options_default();
    options.store = j->args->db;
    options.log = warn;
    set_pointers(j, &args);
    normgen_status st = normgen_open(&ng, &options);
    if (st == NORMGEN_OK) st = normgen_get(ng, &j->spec, &kernel);
    if (st == NORMGEN_OK) st = normgen_run_parallel(kernel, &args);
    if (st == NORMGEN_OK)
        snprintf(j->served, sizeof j->served, "%s", normgen_kernel_describe(kernel, j->rows));
    normgen_close(ng);
    return st;
}

static normgen_status write_outputs(job *j) {
    normgen_status st = NORMGEN_OK;
    for (int r = 0; r < NG_ROLE_COUNT && st == NORMGEN_OK; r++)
        if (ng_roles[r].out && path_of(j, r))
            st = cli_output_write(path_of(j, r), &j->array[r], &j->output[r]);
    if (st == NORMGEN_OK && cli_stop) st = ng_fail(NORMGEN_E_INTERRUPTED, "interrupted");
    for (int r = 0; r < NG_ROLE_COUNT && st == NORMGEN_OK; r++)
        if (path_of(j, r)) st = cli_output_commit(&j->output[r]);
    return st;
}

/* ---- reporting ---- */

static void report_json(job *j) {
    char text[NORMGEN_SPEC_TEXT];
    cli_json json;
    ng_spec_text(&j->spec, text);
    cli_json_begin(&json, stdout);
    cli_json_text(&json, "spec", text);
    cli_json_integer(&json, "rows", (int64_t)j->rows);
    cli_json_text(&json, "served_by", j->served);
    for (int r = 0; r < NG_ROLE_COUNT; r++)
        if (ng_roles[r].out && path_of(j, r)) cli_json_text(&json, ng_roles[r].name, path_of(j, r));
    cli_json_end(&json);
}

/* One line for each file that was written; an output on standard output stands alone there. */
static void report(job *j) {
    char text[NORMGEN_SPEC_TEXT], shape[512];
    ng_spec_text(&j->spec, text);
    for (int r = 0; r < NG_ROLE_COUNT; r++)
        if (ng_roles[r].out && path_of(j, r) && cli_path_is_stream(path_of(j, r))) return;
    for (int r = 0; r < NG_ROLE_COUNT; r++)
        if (ng_roles[r].out && path_of(j, r))
            printf("%s: %s\n", path_of(j, r),
                   cli_array_describe(&j->array[r], shape, sizeof shape));
    printf("%s: %s\n", text, j->served);
}

static normgen_status run_job(job *j) {
    bool has_spec = j->args->n_words > 0 || j->args->model;
    normgen_status st = read_inputs(j, has_spec);
    if (st == NORMGEN_OK && !has_spec) st = spec_of_arrays(j);
    if (st != NORMGEN_OK) return st;
    ng_program_build(&j->program, &j->spec);
    st = check_arrays(j);
    if (st == NORMGEN_OK) st = make_outputs(j);
    if (st == NORMGEN_OK) st = run_kernel(j);
    if (st != NORMGEN_OK) return st;
    cli_interrupt_catch(); /* so that no half-written file stays behind */
    return write_outputs(j);
}

static int run(const cli_args *args) {
    job j = {.args = args};
    int code = check_words(&j);
    if (code == CLI_DONE && (args->n_words || args->model)) code = cli_spec_read(args, &j.spec);
    if (code != CLI_DONE) return code;
    if (run_job(&j) != NORMGEN_OK) {
        cli_failed(NULL);
        code = cli_stop ? CLI_SIGNAL + cli_stop : CLI_FAILED;
    } else if (args->json) {
        report_json(&j);
    } else {
        report(&j);
    }
    for (int r = 0; r < NG_ROLE_COUNT; r++) {
        cli_array_fini(&j.array[r]);
        cli_output_abort(&j.output[r]);
    }
    return code;
}

static const char *const v2_words[] = {"bf16", NULL};

#define FILE_OPTION(name, letter, member, help)                                                    \
    {name, letter, CLI_TEXT, offsetof(cli_args, member), "FILE", NULL, 0, 0, help}
static const cli_option options[] = {
    FILE_OPTION("x", 0, x, "the input: rows of `hidden` elements, any leading dimensions"),
    FILE_OPTION("weight", 0, weight, "one row of factors, gamma"),
    FILE_OPTION("bias", 0, bias, "one row that is added last, beta"),
    FILE_OPTION("residual", 0, residual, "added to x before the norm; as large as x"),
    FILE_OPTION("out", 'o', y, "the output, as large as x"),
    FILE_OPTION("sum-out", 0, sum_out, "x + residual, as large as x"),
    FILE_OPTION("mean-out", 0, mean_out, "the mean of each row"),
    FILE_OPTION("rstd-out", 0, rstd_out, "1/sqrt(variance + eps) of each row"),
    {"v2", 0, CLI_WORD, offsetof(cli_args, v2), NULL, v2_words, 1, 0,
     "what 2-byte void elements ('|V2') in .npy files are"},
    CLI_OPTIONS_SPEC,
    CLI_OPTION_DB,
    CLI_OPTION_JSON,
    {0},
};

/* Fields that the arrays decide. */
static const char *const without[] = {"x", "weight", "bias", "residual", "mean", "rstd", NULL};

const cli_verb cli_verb_run = {
    "run",
    "[SPEC] --x FILE [--weight FILE …] -o FILE",
    "Apply a norm to arrays in files",
    CLI_SPEC_HELP
    "Files are NumPy arrays (.npy, format 1.0 to 3.0, C order, little-endian f2 f4 f8, and bf16 "
    "as\n"
    "2-byte void with --v2 bf16), or text, one row a line, in *.txt and in \"-\", the standard\n"
    "streams. Text is read as the spec's type, f32 without a spec.\n"
    "With flags in place of SPEC, hidden and all types that are not given come from the arrays, "
    "and\n"
    "there is a weight or bias if there is a file of it.\n"
    "Output files are replaced when everything is done, or not at all.\n\n"
    "example: normgen run --kind layer --x in.npy --weight w.npy --bias b.npy -o out.npy\n",
    options,
    true,
    without,
    0,
    64,
    run,
};
