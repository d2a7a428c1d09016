/* SPDX-License-Identifier: Apache-2.0 */
/* The option parser and the help printer. Both read the same tables, so help cannot lie; neither
 * knows what any option means. */
#include "options.h"

#include "decimal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

int cli_error(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fputs("normgen: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    return CLI_FAILED;
}

int cli_usage_error(const cli_verb *verb, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fprintf(stderr, "normgen: %s: ", verb->name);
    vfprintf(stderr, format, ap);
    fprintf(stderr, " (normgen %s --help)\n", verb->name);
    va_end(ap);
    return CLI_USAGE;
}

int cli_failed(const char *detail) { return cli_error("%s", detail ? detail : normgen_error()); }

/* ---- parsing ---- */

static const cli_option help_option = {
    "help", 'h', CLI_FLAG, offsetof(cli_args, help), NULL, NULL, 0, 0, "this text"};

static const cli_option *find_option(const cli_verb *verb, const char *name, size_t length) {
    for (const cli_option *o = verb->options; o->name; o++)
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0) return o;
    return length == 4 && memcmp(name, "help", 4) == 0 ? &help_option : NULL;
}

static const cli_option *find_letter(const cli_verb *verb, char letter) {
    for (const cli_option *o = verb->options; o->name; o++)
        if (o->letter == letter) return o;
    return letter == 'h' ? &help_option : NULL;
}

bool cli_verb_takes_field(const cli_verb *verb, size_t index) {
    if (!verb->fields) return false;
    for (const char *const *w = verb->without; w && *w; w++)
        if (strcmp(*w, ng_fields[index].name) == 0) return false;
    return true;
}

static const ng_field *find_field(const cli_verb *verb, const char *name, size_t length) {
    const ng_field *f = ng_field_find(name, length);
    return f && cli_verb_takes_field(verb, (size_t)(f - ng_fields)) ? f : NULL;
}

/* How many letters differ, counted from both ends: enough to find a slip of the keyboard. */
static size_t difference(const char *a, size_t na, const char *b) {
    size_t nb = strlen(b), head = 0, tail = 0;
    while (head < na && head < nb && a[head] == b[head]) head++;
    while (tail < na - head && tail < nb - head && a[na - 1 - tail] == b[nb - 1 - tail]) tail++;
    size_t ra = na - head - tail, rb = nb - head - tail;
    return ra > rb ? ra : rb;
}

static void closer(const char *name, size_t length, const char *other, const char **best,
                   size_t *distance) {
    size_t d = difference(name, length, other);
    if (d < *distance) {
        *best = other;
        *distance = d;
    }
}

static int unknown_option(const cli_verb *verb, const char *name, size_t length) {
    const char *best = NULL;
    size_t distance = 3;
    for (const cli_option *o = verb->options; o->name; o++)
        closer(name, length, o->name, &best, &distance);
    for (size_t i = 0; i < NG_FIELD_COUNT; i++)
        if (cli_verb_takes_field(verb, i))
            closer(name, length, ng_fields[i].name, &best, &distance);
    int shown = (int)(length < 60 ? length : 60);
    if (best)
        return cli_usage_error(verb, "unknown option --%.*s; did you mean --%s?", shown, name,
                               best);
    return cli_usage_error(verb, "unknown option --%.*s", shown, name);
}

static int bad_value(const cli_verb *verb, const cli_option *o, const char *value) {
    if (o->form == CLI_SECONDS)
        return cli_usage_error(verb, "--%s: '%.60s' is not a number of seconds above 0", o->name,
                               value);
    if (o->form == CLI_INTEGER && o->max == INT64_MAX)
        return cli_usage_error(verb, "--%s: '%.60s' is not a whole number from %lld", o->name,
                               value, (long long)o->min);
    if (o->form == CLI_INTEGER)
        return cli_usage_error(verb, "--%s: '%.60s' is not a whole number from %lld to %lld",
                               o->name, value, (long long)o->min, (long long)o->max);
    char allowed[128] = "";
    for (size_t i = 0, at = 0; o->words[i] && at < sizeof allowed; i++)
        at +=
            (size_t)snprintf(allowed + at, sizeof allowed - at, "%s%s", i ? " " : "", o->words[i]);
    return cli_usage_error(verb, "--%s: '%.60s' is not allowed; it takes %s", o->name, value,
                           allowed);
}

static int set_option(cli_args *args, const cli_option *o, const char *value) {
    void *at = (char *)args + o->offset;
    int64_t integer = 0;
    switch (o->form) {
    case CLI_FLAG: *(int64_t *)at = 1; return CLI_DONE;
    case CLI_TEXT:
        if (!*value) return cli_usage_error(args->verb, "--%s: the value is empty", o->name);
        *(const char **)at = value;
        return CLI_DONE;
    case CLI_INTEGER:
        if (!ng_integer_parse(value, &integer) || integer < o->min || integer > o->max)
            return bad_value(args->verb, o, value);
        *(int64_t *)at = integer;
        return CLI_DONE;
    case CLI_SECONDS: {
        double seconds;
        if (!ng_decimal_parse(value, &seconds) || !(seconds > 0) || seconds > 1e9)
            return bad_value(args->verb, o, value);
        *(double *)at = seconds;
        return CLI_DONE;
    }
    default:
        for (size_t i = 0; o->words[i]; i++)
            if (strcmp(o->words[i], value) == 0) {
                *(int64_t *)at = o->min + (int64_t)i;
                return CLI_DONE;
            }
        return bad_value(args->verb, o, value);
    }
}

static int set_field(cli_args *args, const ng_field *field, const char *value) {
    uint64_t bit = (uint64_t)1 << (field - ng_fields);
    if (args->given & bit) return cli_usage_error(args->verb, "--%s is given twice", field->name);
    args->given |= bit;
    if (ng_spec_set(&args->spec, field, value) != NORMGEN_OK)
        return cli_usage_error(args->verb, "%s", normgen_error());
    return CLI_DONE;
}

/* The words of argv that are still to be read. */
typedef struct reader {
    char **argv;
    int argc, at;
} reader;

static int no_value(const cli_verb *verb, const char *name) {
    return cli_usage_error(verb, "--%s needs a value", name);
}

/* "--name", "--name=value" or "--name value". */
static int read_long(cli_args *args, reader *r) {
    const char *name = r->argv[r->at++] + 2;
    size_t length = strcspn(name, "=");
    const char *value = name[length] ? name + length + 1 : NULL;
    const cli_option *o = find_option(args->verb, name, length);
    const ng_field *f = o ? NULL : find_field(args->verb, name, length);
    if (!o && !f) return unknown_option(args->verb, name, length);
    if (o && o->form == CLI_FLAG) {
        if (value) return cli_usage_error(args->verb, "--%s takes no value", o->name);
        return set_option(args, o, NULL);
    }
    if (!value && r->at == r->argc) return no_value(args->verb, o ? o->name : f->name);
    if (!value) value = r->argv[r->at++];
    return o ? set_option(args, o, value) : set_field(args, f, value);
}

/* "-o value" or "-ovalue". */
static int read_short(cli_args *args, reader *r) {
    const char *text = r->argv[r->at++];
    const cli_option *o = find_letter(args->verb, text[1]);
    if (!o) return cli_usage_error(args->verb, "unknown option %.60s", text);
    if (o->form == CLI_FLAG) {
        if (text[2]) return cli_usage_error(args->verb, "unknown option %.60s", text);
        return set_option(args, o, NULL);
    }
    if (!text[2] && r->at == r->argc) return no_value(args->verb, o->name);
    return set_option(args, o, text[2] ? text + 2 : r->argv[r->at++]);
}

static int count_words(const cli_args *args) {
    const cli_verb *v = args->verb;
    if (args->n_words < v->least_words)
        return cli_usage_error(v, "something is missing; usage: normgen %s %s", v->name,
                               v->arguments);
    if (args->n_words > v->most_words)
        return cli_usage_error(v, "'%.60s' is one word too many", args->words[v->most_words]);
    return CLI_DONE;
}

int cli_args_parse(const cli_verb *verb, int argc, char **argv, cli_args *args) {
    *args = (cli_args){.verb = verb, .seed = 1, .older = -1, .spec = ng_spec_blank()};
    args->words = calloc((size_t)argc + 1, sizeof *args->words);
    if (!args->words) return cli_error("out of memory");
    reader r = {argv, argc, 0};
    bool options = true;
    while (r.at < argc) {
        const char *word = argv[r.at];
        int code = CLI_DONE;
        if (options && strcmp(word, "--") == 0) {
            options = false;
            r.at++;
        } else if (options && word[0] == '-' && word[1] == '-') {
            code = read_long(args, &r);
        } else if (options && word[0] == '-' && word[1]) {
            code = read_short(args, &r);
        } else {
            args->words[args->n_words++] = argv[r.at++];
        }
        if (code != CLI_DONE) return code;
        if (args->help) return CLI_DONE;
    }
    return count_words(args);
}

void cli_args_fini(cli_args *args) {
    free(args->words);
    args->words = NULL;
}

/* ---- help ---- */

static void print_option(const cli_option *o, FILE *out) {
    char left[128], words[64] = "";
    if (o->form == CLI_WORD)
        for (size_t i = 0, at = 0; o->words[i] && at < sizeof words; i++)
            at +=
                (size_t)snprintf(words + at, sizeof words - at, "%s%s", i ? "|" : "", o->words[i]);
    else if (o->value)
        snprintf(words, sizeof words, "%s", o->value);
    char dash[8] = "";
    if (o->letter) snprintf(dash, sizeof dash, "-%c, ", o->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", dash, o->name, words[0] ? " " : "", words);
    fprintf(out, "  %-24s %s\n", left, o->help);
}

static void print_fields(const cli_verb *verb, FILE *out) {
    if (!verb->fields) return;
    fputs("\nfields of a spec, in place of SPEC (kind defaults to rms, eps to 1e-05):\n", out);
    for (size_t i = 0; i < NG_FIELD_COUNT; i++) {
        const ng_field *f = &ng_fields[i];
        if (!cli_verb_takes_field(verb, i)) continue;
        char allowed[128], left[32];
        ng_field_allowed(f, allowed, sizeof allowed);
        snprintf(left, sizeof left, "--%s", f->name);
        fprintf(out, "  %-12s %s: %s%s%s%s\n", left, f->help, allowed, f->needs ? " (needs " : "",
                f->needs ? f->needs : "", f->needs ? ")" : "");
    }
}

void cli_verb_help(const cli_verb *verb, FILE *out) {
    fprintf(out, "usage: normgen %s%s%s\n\n%s.\n", verb->name, *verb->arguments ? " " : "",
            verb->arguments, verb->summary);
    if (verb->details) fprintf(out, "\n%s", verb->details);
    fputs("\noptions:\n", out);
    for (const cli_option *o = verb->options; o->name; o++) print_option(o, out);
    print_option(&help_option, out);
    print_fields(verb, out);
}
