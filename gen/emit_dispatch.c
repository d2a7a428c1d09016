/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatcher of a bundle, as LLVM code for the baseline of an architecture. Per spec a constant
 * table [levels][regimes] of kernels and two functions: check the arguments, look up the level that
 * was found once, count the limits that the call's bytes exceed, mind the alignment, jump. The only
 * writable data are the level and the limits, set once, atomically. */
#include "emit_ir.h"

#include "elfcheck.h"
#include "error.h"
#include "gen.h"
#include "normgen/bundle.h"
#include "types.h"

#include <stdio.h>
#include <stdlib.h>

#define PROCEED (-1) /* of a spec's settle function: go on */

typedef struct dispatcher {
    ng_build g;
    const ng_bundle *b;
    const ng_isa *level[NG_MAX_LEVELS]; /* of this architecture */
    int index[NG_MAX_LEVELS];           /* in the bundle */
    int levels;
    ng_t t_entry, t_spec, t_bundle, t_kernel, t_run, t_run_rows;
    ng_v v_level, v_limits; /* globals */
    ng_v v_detect, v_meet, v_levels_meet;
} dispatcher;

static bool x86(const dispatcher *d) { return d->level[0]->arch == NG_X86_64; }

static void start_function(dispatcher *d, ng_v fn) {
    d->g.fn = fn;
    ng_block_start(&d->g, ng_block_new(&d->g, "entry"));
}

/* ---- tables ---- */

static ng_v hide(ng_v v) {
    LLVMSetLinkage(v, LLVMInternalLinkage);
    return v;
}

static ng_v text_of(dispatcher *d, const char *text) {
    ng_v v_text = LLVMConstStringInContext(d->g.context, text, (unsigned)strlen(text), false);
    ng_v v = hide(LLVMAddGlobal(d->g.module, LLVMTypeOf(v_text), "text"));
    LLVMSetInitializer(v, v_text);
    LLVMSetGlobalConstant(v, true);
    LLVMSetUnnamedAddress(v, LLVMGlobalUnnamedAddr);
    return v;
}

static ng_v constant_of(dispatcher *d, const char *name, ng_v v_value) {
    ng_v v = hide(LLVMAddGlobal(d->g.module, LLVMTypeOf(v_value), name));
    LLVMSetInitializer(v, v_value);
    LLVMSetGlobalConstant(v, true);
    return v;
}

static ng_v kernel_of(dispatcher *d, int index) {
    const char *symbol = d->b->kernel[index].object.symbol;
    ng_v v = LLVMGetNamedFunction(d->g.module, symbol);
    if (v) return v;
    v = LLVMAddFunction(d->g.module, symbol, d->t_kernel);
    LLVMSetVisibility(v, LLVMHiddenVisibility);
    return v;
}

/* One text for every schedule, however many entries have it. */
static ng_v schedule_text(dispatcher *d, int kernel) {
    char name[NG_SCHEDULE_TEXT + 16];
    snprintf(name, sizeof name, "schedule.%s", d->b->kernel[kernel].schedule_text);
    ng_v v = LLVMGetNamedGlobal(d->g.module, name);
    if (v) return v;
    v = text_of(d, d->b->kernel[kernel].schedule_text);
    LLVMSetValueName2(v, name, strlen(name));
    return v;
}

static ng_v entry_of(dispatcher *d, const ng_bundle_spec *s, int level, int regime) {
    ng_v v_null = LLVMConstNull(d->g.t_ptr);
    ng_v fields[4] = {v_null, v_null, v_null, ng_i64(&d->g, 0)};
    if (s->can[d->index[level]]) {
        const ng_bundle_choice *c = &s->at[d->index[level]][regime];
        fields[0] = kernel_of(d, c->any.kernel);
        fields[1] = kernel_of(d, c->cached.kernel);
        fields[2] = schedule_text(d, c->any.kernel);
        fields[3] = ng_i64(&d->g, (int64_t)c->alignment - 1);
    }
    return LLVMConstNamedStruct(d->t_entry, fields, 4);
}

static ng_v entries_of(dispatcher *d, const ng_bundle_spec *s) {
    ng_v v[NG_MAX_LEVELS * NG_REGIME_COUNT];
    unsigned n = 0;
    for (int level = 0; level < d->levels; level++)
        for (int r = 0; r < NG_REGIME_COUNT; r++) v[n++] = entry_of(d, s, level, r);
    return constant_of(d, "entries", LLVMConstArray2(d->t_entry, v, n));
}

static ng_v spec_table(dispatcher *d, const ng_bundle_spec *s, ng_v v_entries) {
    char streams[NORMGEN_MAX_STREAMS * 24] = "";
    for (int i = 0, at = 0; i < s->program.streams && at < (int)sizeof streams; i++)
        at += snprintf(streams + at, sizeof streams - (size_t)at, "%s%s", i ? " " : "",
                       ng_roles[s->program.stream[i].role].name);
    ng_v fields[5] = {text_of(d, s->name), text_of(d, s->text), text_of(d, streams),
                      ng_i64(&d->g, s->streamed), v_entries};
    return LLVMConstNamedStruct(d->t_spec, fields, 5);
}

static ng_v level_names(dispatcher *d) {
    ng_v v[NG_MAX_LEVELS];
    for (int i = 0; i < d->levels; i++) v[i] = text_of(d, d->level[i]->name);
    return constant_of(d, "levels", LLVMConstArray2(d->g.t_ptr, v, (unsigned)d->levels));
}

/* ---- a spec's functions ---- */

/* Whether some level of this architecture has no kernel of the spec: only the weakest may. */
static bool has_gap(const dispatcher *d, const ng_bundle_spec *s) { return !s->can[d->index[0]]; }

static ng_v load_level(dispatcher *d) {
    ng_v v = ng_load(&d->g, d->g.t_i32, d->v_level, 4);
    LLVMSetOrdering(v, LLVMAtomicOrderingAcquire);
    return v;
}

/* What is less is not found yet, or has nothing for this spec. */
static int least_level(const dispatcher *d, const ng_bundle_spec *s) {
    return has_gap(d, s) ? 2 : 1;
}
static ng_v no_level(dispatcher *d, const ng_bundle_spec *s, ng_v v_level) {
    return ng_is(&d->g, LLVMIntULT, v_level, ng_i32(&d->g, least_level(d, s)));
}

/* Detects what runs here unless that is known. */
static void ask_once(dispatcher *d) {
    ng_build *g = &d->g;
    ng_t t_void = LLVMFunctionType(LLVMVoidTypeInContext(g->context), NULL, 0, false);
    LLVMBasicBlockRef b_ask = ng_block_new(g, "ask"), b_known = ng_block_new(g, "known");
    ng_v v_unknown = ng_is(g, LLVMIntEQ, load_level(d), ng_i32(g, 0));
    LLVMBuildCondBr(g->b, v_unknown, b_ask, b_known);
    ng_block_start(g, b_ask);
    LLVMBuildCall2(g->b, t_void, d->v_detect, NULL, 0, "");
    LLVMBuildBr(g->b, b_known);
    ng_block_start(g, b_known);
}

/* The function for calls in doubt and for the first one: the exact checks, detection. */
static ng_v make_settle(dispatcher *d, const ng_bundle_spec *s) {
    ng_build *g = &d->g;
    ng_v fn = hide(LLVMAddFunction(g->module, "settle", d->t_run_rows));
    start_function(d, fn);
    ng_binding bind = {.v_args = LLVMGetParam(fn, 0),
                       .v_first = LLVMGetParam(fn, 1),
                       .v_last = LLVMGetParam(fn, 2)};
    ng_enum_attribute(g, fn, "noinline");
    ng_enum_attribute(g, fn, "cold");
    ng_enum_attribute(g, fn, "minsize");
    ng_enum_attribute(g, fn, "optsize");
    ng_bind_load(g, &s->program, &bind);
    ng_bind_check(g, &s->program, &bind,
                  ng_emit_levels(&s->program) ? d->v_levels_meet : d->v_meet);
    ask_once(d);
    ng_v v = ng_pick(g, no_level(d, s, load_level(d)), ng_i32(g, NG_EMIT_CPU), ng_i32(g, PROCEED));
    LLVMBuildRet(g->b, v);
    return fn;
}

static void branch_rarely(dispatcher *d, ng_v v_if, LLVMBasicBlockRef b_rare,
                          LLVMBasicBlockRef b_else) {
    const ng_build *g = &d->g;
    ng_v v = LLVMBuildCondBr(g->b, v_if, b_rare, b_else);
    LLVMMetadataRef weights[3] = {LLVMMDStringInContext2(g->context, "branch_weights", 14),
                                  LLVMValueAsMetadata(ng_i32(g, 1)),
                                  LLVMValueAsMetadata(ng_i32(g, 4000))};
    LLVMMetadataRef node = LLVMMDNodeInContext2(g->context, weights, 3);
    LLVMSetMetadata(v, LLVMGetMDKindIDInContext(g->context, "prof", 4),
                    LLVMMetadataAsValue(g->context, node));
}

/* How many of the three limits the bytes of the call exceed. */
static ng_v regime_of(dispatcher *d, const ng_program *p, ng_v v_rows) {
    const ng_build *g = &d->g;
    size_t row, shared;
    ng_program_footprint(p, &row, &shared);
    ng_v v_bytes =
        ng_add(g, ng_mul(g, v_rows, ng_i64(g, (int64_t)row)), ng_i64(g, (int64_t)shared));
    ng_v v = ng_i64(g, 0);
    for (int i = 0; i < NG_REGIME_COUNT - 1; i++) {
        ng_v v_limit = ng_load(g, g->t_i64, ng_offset(g, d->v_limits, ng_i64(g, 8 * i)), 8);
        LLVMSetOrdering(v_limit, LLVMAtomicOrderingMonotonic);
        v = ng_add(g, v, ng_wide(g, ng_is(g, LLVMIntUGT, v_bytes, v_limit)));
    }
    return v;
}

/* `any`, or `cached` where a streamed output's base or a stride is not aligned. */
static ng_v pick_kernel(dispatcher *d, const ng_bundle_spec *s, const ng_binding *bind,
                        ng_v v_entry) {
    const ng_build *g = &d->g;
    ng_v v_any = ng_load(g, g->t_ptr, v_entry, 8), v_low = ng_i64(g, 0);
    if (!s->streamed) return v_any;
    for (int i = 0; i < s->program.streams; i++)
        if (s->streamed >> i & 1u)
            v_low =
                ng_or(g, v_low, ng_or(g, bind->base[i], ng_or(g, bind->stride[i], bind->outer[i])));
    size_t mask_at = offsetof(normgen_bundle_entry, mask);
    size_t cached_at = offsetof(normgen_bundle_entry, cached);
    ng_v v_mask = ng_load(g, g->t_i64, ng_offset(g, v_entry, ng_i64(g, (int64_t)mask_at)), 8);
    ng_v v_cached = ng_load(g, g->t_ptr, ng_offset(g, v_entry, ng_i64(g, (int64_t)cached_at)), 8);
    ng_v v_fits = ng_is(g, LLVMIntEQ, ng_and(g, v_low, v_mask), ng_i64(g, 0));
    return ng_pick(g, v_fits, v_any, v_cached);
}

/* ---- the floating-point environment: docs/numerics.md rule 8 ---- */

static ng_v control_word(dispatcher *d, ng_v v_slot) {
    const ng_build *g = &d->g;
    if (!x86(d)) return ng_intrinsic(g, "llvm.aarch64.get.fpcr", NULL, 0, NULL, 0);
    ng_intrinsic(g, "llvm.x86.sse.stmxcsr", NULL, 0, &v_slot, 1);
    return ng_load(g, g->t_i32, v_slot, 4);
}

static ng_v is_odd_environment(dispatcher *d, ng_v v_word) {
    const ng_build *g = &d->g;
    if (!x86(d)) return ng_is(g, LLVMIntNE, v_word, ng_i64(g, 0));
    return ng_is(g, LLVMIntNE, ng_and(g, v_word, ng_i32(g, 0xffc0)), ng_i32(g, 0x1f80));
}

static void set_control_word(dispatcher *d, ng_v v_slot, ng_v v_word) {
    const ng_build *g = &d->g;
    if (!x86(d)) {
        ng_intrinsic(g, "llvm.aarch64.set.fpcr", NULL, 0, &v_word, 1);
        return;
    }
    ng_store(g, v_word, v_slot, 4);
    ng_intrinsic(g, "llvm.x86.sse.ldmxcsr", NULL, 0, &v_slot, 1);
}

/* Calls the kernel and returns. */
static void call_kernel(dispatcher *d, ng_v v_kernel, ng_v v_bound, const ng_binding *bind,
                        ng_v v_slot) {
    const ng_build *g = &d->g;
    ng_v args[3] = {v_bound, bind->v_from, bind->v_to};
    LLVMBasicBlockRef b_odd = ng_block_new(g, "environment"), b_plain = ng_block_new(g, "call");
    ng_v v_word = control_word(d, v_slot);
    branch_rarely(d, is_odd_environment(d, v_word), b_odd, b_plain);
    ng_block_start(g, b_plain);
    LLVMBuildCall2(g->b, d->t_kernel, v_kernel, args, 3, "");
    LLVMBuildRet(g->b, ng_i32(g, NG_EMIT_OK));
    ng_block_start(g, b_odd);
    set_control_word(d, v_slot, x86(d) ? ng_i32(g, 0x1f80) : ng_i64(g, 0));
    LLVMBuildCall2(g->b, d->t_kernel, v_kernel, args, 3, "");
    set_control_word(d, v_slot, v_word);
    LLVMBuildRet(g->b, ng_i32(g, NG_EMIT_OK));
}

static ng_v stack(dispatcher *d, ng_t type, unsigned align) {
    ng_v v = LLVMBuildAlloca(d->g.b, type, "");
    LLVMSetAlignment(v, align);
    return v;
}

/* A null `args` ends here. */
static void check_args(dispatcher *d, ng_v v_args) {
    const ng_build *g = &d->g;
    LLVMBasicBlockRef b_null = ng_block_new(g, "null"), b_go = ng_block_new(g, "args");
    branch_rarely(d, LLVMBuildIsNull(g->b, v_args, ""), b_null, b_go);
    ng_block_start(g, b_null);
    LLVMBuildRet(g->b, ng_i32(g, NG_EMIT_NULL));
    ng_block_start(g, b_go);
}

/* entries[level - 1][regime] */
static ng_v entry_address(dispatcher *d, ng_v v_entries, ng_v v_level, ng_v v_regime) {
    const ng_build *g = &d->g;
    ng_v v_row = ng_sub(g, ng_wide(g, v_level), ng_i64(g, 1));
    ng_v v_index = ng_add(g, ng_mul(g, v_row, ng_i64(g, NG_REGIME_COUNT)), v_regime);
    return ng_offset(g, v_entries, ng_mul(g, v_index, ng_i64(g, sizeof(normgen_bundle_entry))));
}

static ng_v make_rows(dispatcher *d, const ng_bundle_spec *s, ng_v v_entries) {
    ng_build *g = &d->g;
    char symbol[160];
    ng_v v_settle = make_settle(d, s);
    ng_emit_symbol(d->b, s, true, symbol);
    ng_v fn = LLVMAddFunction(g->module, symbol, d->t_run_rows);
    start_function(d, fn);
    ng_binding bind = {.v_args = LLVMGetParam(fn, 0),
                       .v_first = LLVMGetParam(fn, 1),
                       .v_last = LLVMGetParam(fn, 2)};
    ng_v v_bound = stack(d, LLVMArrayType2(g->t_i8, sizeof(normgen_bound_args)), 16);
    ng_v v_slot = stack(d, g->t_i32, 4);
    check_args(d, bind.v_args);
    ng_bind_load(g, &s->program, &bind);
    LLVMBasicBlockRef b_doubt = ng_block_new(g, "doubt"), b_wrong = ng_block_new(g, "wrong");
    LLVMBasicBlockRef b_run = ng_block_new(g, "run"), b_here = ng_block_here(g);
    ng_v v_level = load_level(d);
    ng_v v_sign = ng_sub(g, ng_wide(g, v_level), ng_i64(g, least_level(d, s)));
    branch_rarely(d, ng_bind_doubt(g, &s->program, &bind, v_sign), b_doubt, b_run);

    ng_block_start(g, b_doubt);
    ng_v args[3] = {bind.v_args, bind.v_first, bind.v_last};
    ng_v v_status = LLVMBuildCall2(g->b, d->t_run_rows, v_settle, args, 3, "");
    ng_v v_settled = load_level(d);
    LLVMBuildCondBr(g->b, ng_is(g, LLVMIntEQ, v_status, ng_i32(g, PROCEED)), b_run, b_wrong);
    ng_block_start(g, b_wrong);
    LLVMBuildRet(g->b, v_status);

    ng_block_start(g, b_run);
    ng_v phi = ng_phi(g, v_level, b_here);
    ng_phi_add(phi, v_settled, b_doubt);
    ng_bind_store(g, &s->program, &bind, v_bound);
    ng_v v_regime = regime_of(d, &s->program, ng_sub(g, bind.v_to, bind.v_from));
    ng_v v_entry = entry_address(d, v_entries, phi, v_regime);
    call_kernel(d, pick_kernel(d, s, &bind, v_entry), v_bound, &bind, v_slot);
    return fn;
}

static void make_whole(dispatcher *d, const ng_bundle_spec *s, ng_v v_rows_fn) {
    ng_build *g = &d->g;
    char symbol[160];
    ng_emit_symbol(d->b, s, false, symbol);
    ng_v fn = LLVMAddFunction(g->module, symbol, d->t_run);
    start_function(d, fn);
    ng_v v_args = LLVMGetParam(fn, 0);
    check_args(d, v_args);
    ng_v args[3] = {v_args, ng_i64(g, 0), ng_load(g, g->t_i64, v_args, 8)};
    ng_v v = LLVMBuildCall2(g->b, d->t_run_rows, v_rows_fn, args, 3, "");
    LLVMSetTailCall(v, true);
    LLVMBuildRet(g->b, v);
}

/* ---- functions of the whole ---- */

static void make_isa(dispatcher *d, ng_v v_names) {
    ng_build *g = &d->g;
    char symbol[96];
    snprintf(symbol, sizeof symbol, "%s_isa", d->b->prefix);
    start_function(d,
                   LLVMAddFunction(g->module, symbol, LLVMFunctionType(g->t_ptr, NULL, 0, false)));
    ask_once(d);
    ng_v v_level = load_level(d), v_none = ng_is(g, LLVMIntEQ, v_level, ng_i32(g, 0));
    LLVMBasicBlockRef b_some = ng_block_new(g, "some"), b_none = ng_block_new(g, "none");
    LLVMBuildCondBr(g->b, v_none, b_none, b_some);
    ng_block_start(g, b_none);
    LLVMBuildRet(g->b, text_of(d, ""));
    ng_block_start(g, b_some);
    ng_v v_at = ng_mul(g, ng_sub(g, ng_wide(g, v_level), ng_i64(g, 1)), ng_i64(g, 8));
    LLVMBuildRet(g->b, ng_load(g, g->t_ptr, ng_offset(g, v_names, v_at), 8));
}

static void make_getter(dispatcher *d, ng_v v_table) {
    char symbol[96];
    snprintf(symbol, sizeof symbol, "%s_bundle", d->b->prefix);
    ng_t t = LLVMFunctionType(d->g.t_ptr, NULL, 0, false);
    start_function(d, LLVMAddFunction(d->g.module, symbol, t));
    LLVMBuildRet(d->g.b, v_table);
}

static ng_v bundle_table(dispatcher *d, ng_v v_names, ng_v v_specs) {
    const ng_build *g = &d->g;
    ng_v fields[] = {ng_i64(g, sizeof(normgen_bundle)),
                     ng_i32(g, NORMGEN_BUNDLE_ABI),
                     ng_i32(g, NORMGEN_NUMERICS),
                     text_of(d, d->b->prefix),
                     text_of(d, ng_toolchain),
                     ng_i64(g, d->levels),
                     ng_i64(g, NG_REGIME_COUNT),
                     ng_i64(g, (int64_t)d->b->specs),
                     v_names,
                     v_specs};
    return constant_of(d, "bundle",
                       LLVMConstNamedStruct(d->t_bundle, fields, sizeof fields / sizeof fields[0]));
}

/* ---- the module ---- */

static ng_t struct_type(const ng_build *g, const char *name, ng_t *fields, unsigned n) {
    ng_t t = LLVMStructCreateNamed(g->context, name);
    LLVMStructSetBody(t, fields, n, false);
    return t;
}

/* The structs of normgen/bundle.h. */
static void make_types(dispatcher *d) {
    const ng_build *g = &d->g;
    ng_t p = g->t_ptr, w = g->t_i64, h = g->t_i32;
    d->t_entry = struct_type(g, "entry", (ng_t[]){p, p, p, w}, 4);
    d->t_spec = struct_type(g, "spec", (ng_t[]){p, p, p, w, p}, 5);
    d->t_bundle = struct_type(g, "bundle", (ng_t[]){w, h, h, p, p, w, w, w, p, p}, 10);
    d->t_kernel = LLVMFunctionType(LLVMVoidTypeInContext(g->context), (ng_t[]){p, w, w}, 3, false);
    d->t_run = LLVMFunctionType(h, (ng_t[]){p}, 1, false);
    d->t_run_rows = LLVMFunctionType(h, (ng_t[]){p, w, w}, 3, false);
}

static void make_state(dispatcher *d) {
    const ng_build *g = &d->g;
    ng_t t_limits = LLVMArrayType2(g->t_i64, NG_REGIME_COUNT - 1);
    d->v_level = hide(LLVMAddGlobal(g->module, g->t_i32, "level"));
    LLVMSetInitializer(d->v_level, ng_i32(g, 0));
    d->v_limits = hide(LLVMAddGlobal(g->module, t_limits, "limits"));
    LLVMSetInitializer(d->v_limits, LLVMConstNull(t_limits));
    LLVMSetAlignment(d->v_limits, 8);
}

static normgen_status make_module(dispatcher *d) {
    ng_v *v = calloc(d->b->specs, sizeof *v);
    if (!v) return ng_fail(NORMGEN_E_MEMORY, "no memory for a dispatcher");
    make_types(d);
    make_state(d);
    d->v_detect = ng_detect(&d->g, d->level, d->levels, d->v_level, d->v_limits);
    d->v_meet = ng_bind_meet(&d->g);
    d->v_levels_meet = ng_levels_meet(&d->g, d->v_meet);
    ng_enum_attribute(&d->g, d->v_detect, "noinline");
    ng_enum_attribute(&d->g, d->v_meet, "noinline");
    ng_enum_attribute(&d->g, d->v_levels_meet, "noinline");
    for (size_t i = 0; i < d->b->specs; i++) {
        ng_v v_entries = entries_of(d, &d->b->spec[i]);
        make_whole(d, &d->b->spec[i], make_rows(d, &d->b->spec[i], v_entries));
        v[i] = spec_table(d, &d->b->spec[i], v_entries);
    }
    ng_v v_names = level_names(d);
    make_isa(d, v_names);
    ng_v v_specs = constant_of(d, "specs", LLVMConstArray2(d->t_spec, v, d->b->specs));
    make_getter(d, bundle_table(d, v_names, v_specs));
    free(v);
    const ng_isa *baseline = x86(d) ? &ng_isa_spelled_out : d->level[0];
    for (ng_v fn = LLVMGetFirstFunction(d->g.module); fn; fn = LLVMGetNextFunction(fn))
        if (!LLVMIsDeclaration(fn)) ng_function_attributes(&d->g, fn, baseline);
    return NORMGEN_OK;
}

normgen_status ng_emit_dispatcher(const ng_bundle *b, ng_arch arch, unsigned char **bytes,
                                  size_t *size) {
    dispatcher d = {.b = b};
    LLVMTargetMachineRef machine = NULL;
    for (int i = 0; i < b->levels; i++)
        if (b->level[i]->arch == arch) {
            d.index[d.levels] = i;
            d.level[d.levels++] = b->level[i];
        }
    normgen_status st =
        ng_machine_make(arch == NG_X86_64 ? &ng_isa_spelled_out : d.level[0], &machine);
    if (st != NORMGEN_OK) return st;
    ng_build_begin(&d.g, d.level[0], machine);
    st = make_module(&d);
    if (st == NORMGEN_OK) st = ng_module_finish(&d.g, machine, "default<O2>");
    if (st == NORMGEN_OK) st = ng_module_object(&d.g, machine, bytes, size);
    ng_build_end(&d.g);
    LLVMDisposeTargetMachine(machine);
    return st;
}
