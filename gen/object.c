/* SPDX-License-Identifier: Apache-2.0 */
/* From a lowered function to object bytes: one context, module and target machine per call, so that
 * any number of threads may compile. What comes out is checked to be a leaf: no undefined symbol,
 * no writable data. */
#include "elfcheck.h"
#include "gen.h"
#include "lower.h"
#include "object.h"

#include "error.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* O2 and O3 cost 6 to 15 ms a kernel and gain nothing: loops and vectors are already what they
 * should be. */
#define PIPELINE "function(early-cse)"

const char ng_toolchain[] = NG_TOOLCHAIN_TEXT;

static void initialize_targets(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser(); /* for inline assembler */
    LLVMInitializeX86Disassembler();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeAArch64Disassembler();
}
static pthread_once_t targets_once = PTHREAD_ONCE_INIT;

/* Moves an LLVM message into the error text. */
static normgen_status llvm_failed(const char *what, char *message) {
    normgen_status st = ng_fail(NORMGEN_E_GENERATOR, "LLVM %s: %.800s", what,
                                message ? message : "no reason given");
    LLVMDisposeMessage(message);
    return st;
}

normgen_status ng_machine_make(const ng_isa *isa, LLVMTargetMachineRef *machine) {
    LLVMTargetRef target;
    char *message = NULL;
    pthread_once(&targets_once, initialize_targets);
    if (LLVMGetTargetFromTriple(isa->triple, &target, &message))
        return llvm_failed("has no such target", message);
    LLVMTargetMachineOptionsRef options = LLVMCreateTargetMachineOptions();
    LLVMTargetMachineOptionsSetCPU(options, isa->llvm_cpu);
    LLVMTargetMachineOptionsSetFeatures(options, isa->llvm_features);
    LLVMTargetMachineOptionsSetCodeGenOptLevel(options, LLVMCodeGenLevelLess);
    LLVMTargetMachineOptionsSetRelocMode(options, LLVMRelocPIC);
    LLVMTargetMachineOptionsSetCodeModel(options, LLVMCodeModelSmall);
    *machine = LLVMCreateTargetMachineWithOptions(target, isa->triple, options);
    LLVMDisposeTargetMachineOptions(options);
    return *machine
               ? NORMGEN_OK
               : ng_fail(NORMGEN_E_GENERATOR, "LLVM makes no target machine for %s", isa->name);
}

/* ---- modules ---- */

void ng_build_begin(ng_build *g, const ng_isa *isa, LLVMTargetMachineRef machine) {
    g->context = LLVMContextCreate();
    g->module = LLVMModuleCreateWithNameInContext("normgen", g->context);
    g->b = LLVMCreateBuilderInContext(g->context);
    g->t_i1 = LLVMInt1TypeInContext(g->context);
    g->t_i8 = LLVMInt8TypeInContext(g->context);
    g->t_i16 = LLVMInt16TypeInContext(g->context);
    g->t_i32 = LLVMInt32TypeInContext(g->context);
    g->t_i64 = LLVMInt64TypeInContext(g->context);
    g->t_half = LLVMHalfTypeInContext(g->context);
    g->t_float = LLVMFloatTypeInContext(g->context);
    g->t_double = LLVMDoubleTypeInContext(g->context);
    g->t_ptr = LLVMPointerTypeInContext(g->context, 0);
    LLVMSetTarget(g->module, isa->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(g->module, layout);
    LLVMDisposeTargetData(layout);
}

void ng_build_end(ng_build *g) {
    if (g->b) LLVMDisposeBuilder(g->b);
    if (g->module) LLVMDisposeModule(g->module);
    if (g->context) LLVMContextDispose(g->context);
}

void ng_string_attribute(const ng_build *g, ng_v fn, const char *key, const char *value) {
    LLVMAttributeRef a = LLVMCreateStringAttribute(g->context, key, (unsigned)strlen(key), value,
                                                   (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

void ng_enum_attribute(const ng_build *g, ng_v fn, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(g->context, kind, 0));
}

void ng_function_attributes(const ng_build *g, ng_v fn, const ng_isa *isa) {
    ng_string_attribute(g, fn, "target-cpu", isa->llvm_cpu);
    ng_string_attribute(g, fn, "target-features", isa->llvm_features);
    ng_string_attribute(g, fn, "no-builtins", "");
    ng_enum_attribute(g, fn, "nounwind");
}

normgen_status ng_module_finish(const ng_build *g, LLVMTargetMachineRef machine,
                                const char *pipeline) {
    char *message = NULL;
    if (LLVMVerifyModule(g->module, LLVMReturnStatusAction, &message))
        return llvm_failed("rejects the code", message);
    LLVMDisposeMessage(message);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(g->module, pipeline, machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!error) return NORMGEN_OK;
    char *text = LLVMGetErrorMessage(error);
    normgen_status st = ng_fail(NORMGEN_E_GENERATOR, "LLVM passes: %.800s", text);
    LLVMDisposeErrorMessage(text);
    return st;
}

normgen_status ng_module_object(const ng_build *g, LLVMTargetMachineRef machine,
                                unsigned char **bytes, size_t *size) {
    char *message = NULL;
    LLVMMemoryBufferRef buffer = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, g->module, LLVMObjectFile, &message, &buffer))
        return llvm_failed("emits no object", message);
    size_t n = LLVMGetBufferSize(buffer);
    unsigned char *copy = malloc(n);
    if (copy) memcpy(copy, LLVMGetBufferStart(buffer), n);
    LLVMDisposeMemoryBuffer(buffer);
    if (!copy) return ng_fail(NORMGEN_E_MEMORY, "out of memory for an object of %zu bytes", n);
    *bytes = copy;
    *size = n;
    return NORMGEN_OK;
}

/* ---- kernels ---- */

/* Builds, verifies and optimizes the module of l->g. */
static normgen_status make_module(ng_lower *l, LLVMTargetMachineRef machine, const char *symbol) {
    char bits[16];
    ng_build_begin(&l->g, l->isa, machine);
    if (!ng_lower_function(l, symbol))
        return ng_fail(NORMGEN_E_MEMORY, "out of memory while generating code");
    ng_function_attributes(&l->g, l->g.fn, l->isa);
    snprintf(bits, sizeof bits, "%d", l->s->vec);
    ng_string_attribute(&l->g, l->g.fn, "min-legal-vector-width", bits);
    ng_string_attribute(&l->g, l->g.fn, "prefer-vector-width", bits);
    LLVMSetVisibility(l->g.fn, LLVMHiddenVisibility);
    return ng_module_finish(&l->g, machine, PIPELINE);
}

static normgen_status emit(ng_lower *l, LLVMTargetMachineRef machine, const char *symbol,
                           ng_object *out) {
    ng_object object = {0};
    normgen_status st = ng_module_object(&l->g, machine, &object.bytes, &object.size);
    if (st == NORMGEN_OK) st = ng_elf_check_leaf(object.bytes, object.size, &object.code_bytes);
    if (st != NORMGEN_OK) {
        free(object.bytes);
        return st;
    }
    snprintf(object.symbol, sizeof object.symbol, "%s", symbol);
    *out = object;
    return NORMGEN_OK;
}

/* Compiles to an object (out) or to IR text (ir). */
static normgen_status compile(const ng_program *p, const ng_schedule *s, const ng_isa *isa,
                              bool limit, const char *symbol, ng_object *out, char **ir) {
    char reason[NG_SCHEDULE_TEXT];
    LLVMTargetMachineRef machine = NULL;
    ng_lower l = {.p = p, .s = s, .isa = isa, .limit = limit};
    if (!ng_schedule_legal(p, isa, s, reason))
        return ng_fail(NORMGEN_E_SCHEDULE, "schedule not legal on %s: %s", isa->name, reason);
    normgen_status st = ng_machine_make(isa, &machine);
    if (st == NORMGEN_OK) st = make_module(&l, machine, symbol);
    if (st == NORMGEN_OK && out) st = emit(&l, machine, symbol, out);
    if (st == NORMGEN_OK && ir) {
        char *text = LLVMPrintModuleToString(l.g.module);
        *ir = strdup(text);
        LLVMDisposeMessage(text);
        if (!*ir) st = ng_fail(NORMGEN_E_MEMORY, "out of memory for the text of a kernel");
    }
    ng_build_end(&l.g);
    if (machine) LLVMDisposeTargetMachine(machine);
    return st;
}

normgen_status ng_compile(const ng_program *p, const ng_schedule *s, const ng_isa *isa,
                          ng_object *out) {
    return compile(p, s, isa, false, "normgen_kernel", out, NULL);
}

normgen_status ng_compile_as(const ng_program *p, const ng_schedule *s, const ng_isa *isa,
                             const char *symbol, ng_object *out) {
    return compile(p, s, isa, false, symbol, out, NULL);
}

normgen_status ng_compile_limit(const ng_program *p, const ng_schedule *s, const ng_isa *isa,
                                ng_object *out) {
    return compile(p, s, isa, true, "normgen_limit", out, NULL);
}

normgen_status ng_compile_ir(const ng_program *p, const ng_schedule *s, const ng_isa *isa,
                             char **text) {
    return compile(p, s, isa, false, "normgen_kernel", NULL, text);
}

void ng_object_fini(ng_object *object) {
    if (!object) return;
    free(object->bytes);
    *object = (ng_object){0};
}
