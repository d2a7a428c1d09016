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

/* What the arrays of a role are called on the command line, and which field of the spec has their
 * type (or says that a statistic is saved); 0 where no field does. A role may be read by one spec
 * and written by another. */
#define FIELD(member) offsetof(normgen_spec, member)
static const struct {
    const char *in, *out;
    size_t field;
} files[NG_ROLE_COUNT] = {
    [NG_ROLE_x] = {"x", NULL, FIELD(x)},
    [NG_ROLE_residual] = {"residual", NULL, FIELD(residual)},
    [NG_ROLE_weight] = {"weight", NULL, FIELD(weight)},
    [NG_ROLE_bias] = {"bias", NULL, FIELD(bias)},
    [NG_ROLE_y] = {NULL, "out", FIELD(y)},
    [NG_ROLE_sum] = {NULL, "sum-out", FIELD(sum)},
    [NG_ROLE_mean] = {"mean", "mean-out", FIELD(mean)},
    [NG_ROLE_rstd] = {"rstd", "rstd-out", FIELD(rstd)},
    [NG_ROLE_x_scale] = {"x-scale", NULL, 0},
    [NG_ROLE_gate] = {"gate", NULL, FIELD(gate)},
    [NG_ROLE_mod_scale] = {"mod-scale", NULL, FIELD(modulate)},
    [NG_ROLE_mod_shift] = {"mod-shift", NULL, 0},
    [NG_ROLE_xbias] = {"xbias", NULL, FIELD(xbias)},
    [NG_ROLE_xgate] = {"xgate", NULL, FIELD(xgate)},
    [NG_ROLE_after] = {"after", NULL, FIELD(after)},
    [NG_ROLE_post_weight] = {"post_weight", NULL, FIELD(post_weight)},
    [NG_ROLE_y2] = {NULL, "y2-out", FIELD(y2)},
    [NG_ROLE_weight2] = {"weight2", NULL, FIELD(weight2)},
    [NG_ROLE_bias2] = {"bias2", NULL, FIELD(bias2)},
    [NG_ROLE_y_scale] = {"y-scale", "y-scale-out", 0},
    [NG_ROLE_y_zero] = {NULL, "y-zero-out", 0},
    [NG_ROLE_cos] = {"cos", NULL, FIELD(rope_type)},
    [NG_ROLE_sin] = {"sin", NULL, 0},
    [NG_ROLE_alpha] = {"alpha", NULL, 0},
    [NG_ROLE_q] = {NULL, "q-out", 0},
    [NG_ROLE_m2] = {NULL, "m2-out", 0},
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
    return j->args->in[role] ? j->args->in[role] : j->args->out[role];
}
static bool is_written(const job *j, int role) { return j->args->out[role] != NULL; }
static const char *option_of(const job *j, int role) {
    bool out = is_written(j, role) || !files[role].in;
    return out ? files[role].out : files[role].in;
}
static int32_t *field_of(normgen_spec *spec, int role) {
    return (int32_t *)(void *)((char *)spec + files[role].field);
}

/* ---- the command line ---- */

static int check_streams(const job *j) {
    int in = 0, out = 0;
    for (int r = 0; r < NG_ROLE_COUNT; r++) {
        const char *path = path_of(j, r);
        if (path && cli_path_is_stream(path)) is_written(j, r) ? out++ : in++;
        if (j->args->in[r] && j->args->out[r])
            return cli_usage_error(j->args->verb, "--%s and --%s: a spec reads or writes it",
                                   files[r].in, files[r].out);
        for (int q = 0; is_written(j, r) && q < r; q++)
            if (is_written(j, q) && strcmp(path, path_of(j, q)) == 0)
                return cli_usage_error(j->args->verb, "--%s and --%s name one file: '%s'",
                                       option_of(j, q), option_of(j, r), path);
    }
    if (in > 1) return cli_usage_error(j->args->verb, "only one array can come from '-'");
    if (out && j->args->json)
        return cli_usage_error(j->args->verb, "--json and an output '-' both want standard output");
    return CLI_DONE;
}

static int check_words(const job *j) {
    bool writes = false;
    for (int r = 0; r < NG_ROLE_COUNT; r++) writes = writes || is_written(j, r);
    if (!j->args->in[NG_ROLE_x])
        return cli_usage_error(j->args->verb, "no input is given: --x FILE");
    if (!writes) return cli_usage_error(j->args->verb, "no output is given: -o FILE");
    if (j->args->name && !j->args->n_words && !j->args->model)
        return cli_usage_error(j->args->verb, "--name selects from a Lua file, and none is given");
    return check_streams(j);
}

/* ---- inputs ---- */

/* The stream of a role, or NULL. */
static const ng_stream *stream_of(const job *j, int role) {
    for (int s = 0; s < j->program.streams; s++)
        if (j->program.stream[s].role == role) return &j->program.stream[s];
    return NULL;
}

/* Reads every input that is named; text becomes the type that the spec has for it. */
static normgen_status read_inputs(job *j, bool has_spec) {
    for (int r = 0; r < NG_ROLE_COUNT; r++) {
        if (!j->args->in[r]) continue;
        const ng_stream *stream = has_spec ? stream_of(j, r) : NULL;
        cli_array_rules rules = {stream ? stream->type : NORMGEN_F32,
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
    s.weight = NORMGEN_NONE;
    for (int r = 0; r < NG_ROLE_COUNT; r++)
        if (files[r].field && j->args->in[r] && !files[r].out) *field_of(&s, r) = j->array[r].type;
    if (path_of(j, NG_ROLE_sum) && s.sum == NORMGEN_DEFAULT) s.sum = s.x;
    if (is_written(j, NG_ROLE_mean)) s.mean = s.stats != NORMGEN_STATS_PARTIAL;
    if (is_written(j, NG_ROLE_rstd)) s.rstd = 1;
    return cli_spec_of_flags(&s, j->args->given, &j->spec);
}

/* A file for everything that the spec reads, and no file for what it has not. */
static normgen_status check_roles(const job *j) {
    for (int r = 0; r < NG_ROLE_COUNT; r++) {
        const char *path = path_of(j, r), *name = ng_roles[r].name;
        const ng_stream *stream = stream_of(j, r);
        if (path && (!stream || stream->out != is_written(j, r)))
            return ng_fail(
                NORMGEN_E_ARGUMENT,
                "--%s: the spec has no %s%s; leave the file out, or add %s=… to the spec",
                option_of(j, r), name,
                !stream       ? ""
                : stream->out ? " to read"
                              : " to write",
                name);
        if (!path && stream && !stream->out)
            return ng_fail(NORMGEN_E_ARGUMENT,
                           "the spec has %s=%s, and no file has it: add --%s FILE", name,
                           ng_types[stream->type].name, files[r].in);
    }
    return NORMGEN_OK;
}

static normgen_status misfit(const job *j, int role, const char *wanted) {
    char text[512];
    return ng_fail(NORMGEN_E_ARGUMENT, "%s: --%s is %s; it must be %s", path_of(j, role),
                   option_of(j, role), cli_array_describe(&j->array[role], text, sizeof text),
                   wanted);
}

static bool same_shape(const cli_array *a, const cli_array *b) {
    return a->dims == b->dims &&
           memcmp(a->shape, b->shape, (size_t)a->dims * sizeof a->shape[0]) == 0;
}

/* Entries of one row of the caller: where a row is groups, of all of them. */
static int64_t entries_of(const job *j, const ng_stream *stream) {
    int index = (int)(stream - j->program.stream);
    int64_t parts = stream->rows == NG_EACH || stream->rows == NG_INNER ? j->program.parts : 1;
    return (int64_t)ng_stream_width(&j->program, index) * parts;
}

static size_t rows_inside(const job *j) {
    int64_t inner = j->args->inner ? j->args->inner : j->program.inner;
    return inner ? (size_t)inner : j->rows ? j->rows : 1;
}

static const char *rows_text(size_t rows, char text[32]) {
    snprintf(text, 32, rows == 1 ? "one" : "%zu", rows);
    return text;
}

static normgen_status check_array(const job *j, const ng_stream *stream) {
    const cli_array *a = &j->array[stream->role], *x = &j->array[NG_ROLE_x];
    char wanted[640], text[512];
    if (a->type != stream->type) {
        snprintf(wanted, sizeof wanted, "%s, as the spec says", ng_types[stream->type].name);
        return misfit(j, stream->role, wanted);
    }
    int64_t row = entries_of(j, stream);
    size_t rows = ng_stream_rows(stream, j->rows, rows_inside(j));
    if (j->program.parts > 1) rows = stream->rows == NG_EACH ? j->rows : 1;
    bool width =
        (row == 1 && stream->width != NG_HIDDEN) || (a->dims > 0 && a->shape[a->dims - 1] == row);
    if (ng_stream_moves(stream) && width && !same_shape(a, x)) {
        snprintf(wanted, sizeof wanted, "as large as --x, which is %s",
                 cli_array_describe(x, text, sizeof text));
        return misfit(j, stream->role, wanted);
    }
    if (width && a->count == rows * (size_t)row) return NORMGEN_OK;
    if (ng_stream_moves(stream))
        snprintf(wanted, sizeof wanted, "rows of %lld elements (hidden)", (long long)row);
    else
        snprintf(wanted, sizeof wanted, "%s row%s of %lld element%s%s", rows_text(rows, text),
                 rows == 1 ? "" : "s", (long long)row, row == 1 ? "" : "s",
                 stream->width == NG_HIDDEN ? " (hidden)" : "");
    return misfit(j, stream->role, wanted);
}

static normgen_status check_arrays(job *j) {
    normgen_status st = check_roles(j);
    j->rows = j->array[NG_ROLE_x].count / (size_t)j->spec.hidden;
    for (int s = 0; s < j->program.streams && st == NORMGEN_OK; s++)
        if (!j->program.stream[s].out) st = check_array(j, &j->program.stream[s]);
    return st;
}

/* ---- running ---- */

/* Rows have the shape of x, values the one of its leading dimensions (and the groups), and what is
 * in between has its own last dimension. Blocks are bytes. */
static normgen_status make_outputs(job *j) {
    const cli_array *x = &j->array[NG_ROLE_x];
    normgen_status st = NORMGEN_OK;
    for (int s = 0; s < j->program.streams && st == NORMGEN_OK; s++) {
        const ng_stream *t = &j->program.stream[s];
        cli_array shape = *x;
        int64_t last = entries_of(j, t);
        bool blocks = ng_types[t->type].block > 1;
        if (blocks) last = (int64_t)t->row_bytes * j->program.parts;
        if (last == 1 && t->width == NG_UNIT) shape.dims--;
        if (shape.dims > 0 && shape.dims == x->dims) shape.shape[shape.dims - 1] = last;
        if (t->out)
            st = cli_array_new(blocks ? NORMGEN_U8 : t->type, shape.dims, shape.shape,
                               &j->array[t->role]);
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
    args->inner = (size_t)j->args->inner;
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
        if (is_written(j, r)) st = cli_output_write(path_of(j, r), &j->array[r], &j->output[r]);
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
        if (is_written(j, r)) cli_json_text(&json, ng_roles[r].name, path_of(j, r));
    cli_json_end(&json);
}

/* One line for each file that was written; an output on standard output stands alone there. */
static void report(job *j) {
    char text[NORMGEN_SPEC_TEXT], shape[512];
    ng_spec_text(&j->spec, text);
    for (int r = 0; r < NG_ROLE_COUNT; r++)
        if (is_written(j, r) && cli_path_is_stream(path_of(j, r))) return;
    for (int r = 0; r < NG_ROLE_COUNT; r++)
        if (is_written(j, r))
            printf("%s: %s\n", path_of(j, r),
                   cli_array_describe(&j->array[r], shape, sizeof shape));
    printf("%s: %s\n", text, j->served);
}

static normgen_status run_job(job *j) {
    bool has_spec = j->args->n_words > 0 || j->args->model;
    if (has_spec) ng_program_build(&j->program, &j->spec);
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

#define FILE_IN(name, role, help)                                                                  \
    {name, 0, CLI_TEXT, offsetof(cli_args, in[NG_ROLE_##role]), "FILE", NULL, 0, 0, help}
#define FILE_OUT(name, letter, role, help)                                                         \
    {name, letter, CLI_TEXT, offsetof(cli_args, out[NG_ROLE_##role]), "FILE", NULL, 0, 0, help}
static const cli_option options[] = {
    FILE_IN("x", x, "the input: rows of `hidden` elements, any leading dimensions"),
    FILE_IN("weight", weight, "one row of factors, gamma; with heads a row each"),
    FILE_IN("bias", bias, "one row that is added last, beta"),
    FILE_IN("residual", residual, "added to x before the norm; as large as x"),
    FILE_IN("gate", gate, "the gate z, as large as x"),
    FILE_IN("after", after, "added to the result, as large as x"),
    FILE_IN("xbias", xbias, "one row that is added to x first"),
    FILE_IN("xgate", xgate, "factors of x, one row per sample"),
    FILE_IN("mod-scale", mod_scale, "modulate: one row per sample"),
    FILE_IN("mod-shift", mod_shift, "modulate: one row per sample"),
    FILE_IN("post_weight", post_weight, "one row of factors of the branch's own norm"),
    FILE_IN("weight2", weight2, "one row of factors of the second output"),
    FILE_IN("bias2", bias2, "one row that is added to the second output"),
    FILE_IN("cos", cos, "rope: rows of hidden/2 elements, one per token"),
    FILE_IN("sin", sin, "rope: the same"),
    FILE_IN("alpha", alpha, "dyt: one value"),
    FILE_IN("x-scale", x_scale, "x=i8: one value per row"),
    FILE_IN("y-scale", y_scale, "quant=static: one value"),
    FILE_IN("mean", mean, "stats=apply, layer: one value per row"),
    FILE_IN("rstd", rstd, "stats=apply: one value per row"),
    FILE_OUT("out", 'o', y, "the output, as large as x; blocks as bytes"),
    FILE_OUT("y2-out", 0, y2, "the second output, as large as x"),
    FILE_OUT("sum-out", 0, sum, "x + residual, as large as x"),
    FILE_OUT("mean-out", 0, mean, "the mean of each row"),
    FILE_OUT("rstd-out", 0, rstd, "1/sqrt(variance + eps) of each row"),
    FILE_OUT("y-scale-out", 0, y_scale, "scales of quant=row or groupN"),
    FILE_OUT("y-zero-out", 0, y_zero, "zero points of quant=row with y=u8"),
    FILE_OUT("q-out", 0, q, "stats=partial: the sum of squares of each row"),
    FILE_OUT("m2-out", 0, m2, "stats=partial, layer: squared deviations of each row"),
    {"inner", 0, CLI_INTEGER, offsetof(cli_args, inner), "N", NULL, 1, INT64_C(1) << 40,
     "rows of one token or sample: heads, positions"},
    {"v2", 0, CLI_WORD, offsetof(cli_args, v2), NULL, v2_words, 1, 0,
     "what 2-byte void elements ('|V2') in .npy files are"},
    CLI_OPTIONS_SPEC,
    CLI_OPTION_DB,
    CLI_OPTION_JSON,
    {0},
};

/* Fields that the arrays decide. */
static const char *const without[] = {"x",       "weight", "bias",        "residual", "mean",
                                      "rstd",    "gate",   "after",       "xbias",    "xgate",
                                      "weight2", "bias2",  "post_weight", NULL};

const cli_verb cli_verb_run = {
    "run",
    "[SPEC] --x FILE [--weight FILE …] -o FILE",
    "Apply a norm to arrays in files",
    CLI_SPEC_HELP
    "Files are NumPy arrays (.npy, format 1.0 to 3.0, C order, little-endian f2 f4 f8, i1, u1, "
    "and\n"
    "bf16 as 2-byte void with --v2 bf16), or text, one row a line, in *.txt and in \"-\", the "
    "standard\n"
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
