/* SPDX-License-Identifier: Apache-2.0 */
/* It must not know any verb, option or field by itself: only how an option calls its value. */
#include "complete.h"

#include "cpu.h"
#include "models.h"
#include "regime.h"
#include "verbs.h"

#include <string.h>
#include <unistd.h>

/* What is completed: `typed` up to the last byte, with `fixed` bytes of it before the value, such
 * as
 * "--isa=x86-64-v3,". */
typedef struct completion {
    const char *typed;
    size_t fixed;
} completion;

static void offer(const completion *c, const char *word) {
    if (strncmp(word, c->typed + c->fixed, strlen(c->typed + c->fixed)) == 0)
        printf("%.*s%s\n", (int)c->fixed, c->typed, word);
}

static void offer_all(const completion *c, const char *const words[]) {
    for (size_t i = 0; words[i]; i++) offer(c, words[i]);
}

static void offer_option(const completion *c, const char *name) {
    char text[64];
    snprintf(text, sizeof text, "--%s", name);
    offer(c, text);
}

/* ---- values ---- */

static void offer_isas(const completion *c) {
    for (size_t i = 0; i < ng_isa_count; i++) offer(c, ng_isas[i].name);
}

static void offer_regimes(const completion *c) {
    for (int i = 0; i < NG_REGIME_COUNT; i++) offer(c, ng_regime_names[i]);
}

/* Presets of one model stand together. What is wrong with them is no matter for a shell. */
static void offer_models(const completion *c) {
    ng_spec_list list = {0};
    char text[CLI_MODEL_TEXT], last[CLI_MODEL_TEXT] = "";
    if (!freopen("/dev/null", "w", stderr) || cli_models_read_all(&list) != CLI_DONE) return;
    for (size_t i = 0; i < list.count; i++) {
        cli_model_text(list.items[i].name, text);
        if (strcmp(text, last) != 0) offer(c, text);
        memcpy(last, text, sizeof last);
    }
    ng_spec_list_fini(&list);
}

static const struct {
    const char *option;
    void (*offer)(const completion *c);
} listers[] = {{"isa", offer_isas}, {"regimes", offer_regimes}, {"model", offer_models}};

static void offer_value(completion c, const cli_option *o) {
    static const char *const files[] = {"FILE", "PATH", "DIR"};
    if (o->form == CLI_WORD) offer_all(&c, o->words);
    if (o->form != CLI_TEXT) return;
    const char *comma = strrchr(c.typed + c.fixed, ',');
    if (comma && strcmp(o->value, "NAMES") == 0) c.fixed = (size_t)(comma - c.typed) + 1;
    for (size_t i = 0; i < sizeof listers / sizeof listers[0]; i++)
        if (strcmp(o->name, listers[i].option) == 0) listers[i].offer(&c);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(o->value, files[i]) == 0) puts(CLI_COMPLETE_FILES);
}

static void offer_field_value(const completion *c, const ng_field *f) {
    for (const ng_word *w = f->words; w && w->text; w++) offer(c, w->text);
}

/* ---- words ---- */

static const cli_option *option_of(const cli_verb *v, const char *name, size_t length) {
    for (const cli_option *o = v->options; o->name; o++)
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0) return o;
    return NULL;
}

static const cli_option *letter_of(const cli_verb *v, const char *word) {
    for (const cli_option *o = v->options; o->name; o++)
        if (o->letter && word[0] == '-' && word[1] == o->letter && !word[2]) return o;
    return NULL;
}

static const ng_field *field_of(const cli_verb *v, const char *name, size_t length) {
    const ng_field *f = ng_field_find(name, length);
    return f && cli_verb_takes_field(v, (size_t)(f - ng_fields)) ? f : NULL;
}

/* Offers the values of the option or field `word` ("--name" or "-n", maybe with "=…"); false when
 * it takes none. */
static bool offer_after(const cli_verb *v, const char *word, completion c) {
    const char *name = strncmp(word, "--", 2) == 0 ? word + 2 : NULL;
    size_t length = name ? strcspn(name, "=") : 0;
    const cli_option *o = name ? option_of(v, name, length) : letter_of(v, word);
    const ng_field *f = name && !o ? field_of(v, name, length) : NULL;
    if (f) offer_field_value(&c, f);
    if (o && o->form != CLI_FLAG) offer_value(c, o);
    return f || (o && o->form != CLI_FLAG);
}

static void offer_options(const cli_verb *v, const completion *c) {
    for (const cli_option *o = v->options; o->name; o++) offer_option(c, o->name);
    for (size_t i = 0; i < NG_FIELD_COUNT; i++)
        if (cli_verb_takes_field(v, i)) offer_option(c, ng_fields[i].name);
    offer_option(c, "help");
}

static void offer_verbs(const cli_verb *const verbs[], const completion *c) {
    for (size_t i = 0; verbs[i]; i++) offer(c, verbs[i]->name);
}

static void complete(const cli_verb *v, const char *before, const char *typed, bool first) {
    completion c = {.typed = typed};
    const char *equals = strncmp(typed, "--", 2) == 0 ? strchr(typed, '=') : NULL;
    if (equals) {
        c.fixed = (size_t)(equals - typed) + 1;
        offer_after(v, typed, c);
    } else if (!(before[0] == '-' && !strchr(before, '=') && offer_after(v, before, c))) {
        if (typed[0] == '-')
            offer_options(v, &c);
        else if (v == &cli_verb_db && first)
            offer_all(&c, cli_db_words);
        else if (v->most_words > 0)
            puts(CLI_COMPLETE_FILES);
    }
}

int cli_complete(const cli_verb *const verbs[], int argc, char **argv) {
    completion c = {.typed = argc > 0 ? argv[argc - 1] : ""};
    if (argc <= 1) {
        offer_verbs(verbs, &c);
        offer_all(&c, (const char *const[]){"help", "--help", "--version", NULL});
        return CLI_DONE;
    }
    if (strcmp(argv[0], "help") == 0) {
        if (argc == 2) offer_verbs(verbs, &c);
        return CLI_DONE;
    }
    for (size_t i = 0; verbs[i]; i++)
        if (strcmp(verbs[i]->name, argv[0]) == 0)
            complete(verbs[i], argv[argc - 2], argv[argc - 1], argc == 2);
    return CLI_DONE;
}
