/* SPDX-License-Identifier: Apache-2.0 */
/* Loading objects into this process with ORC's LLJIT. Every object has a dylib of its own, so their
 * symbols may be equal. Pages are never writable and executable at once. */
#include "gen.h"

#include "error.h"

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct ng_jit {
    LLVMOrcLLJITRef lljit;
    pthread_mutex_t lock; /* of loaded */
    unsigned loaded;
};

/* Without this, LLVM prints to stderr; the error also reaches the caller of the look-up. */
static void drop_report(void *ctx, LLVMErrorRef error) {
    (void)ctx;
    LLVMConsumeError(error);
}

static normgen_status orc_failed(normgen_status status, const char *what, LLVMErrorRef error) {
    char *text = LLVMGetErrorMessage(error);
    ng_fail(status, "%s: %.600s", what, text);
    LLVMDisposeErrorMessage(text);
    return status;
}

normgen_status ng_jit_new(ng_jit **out) {
    ng_jit *jit = calloc(1, sizeof *jit);
    if (!jit) return ng_fail(NORMGEN_E_MEMORY, "out of memory for a JIT");
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    LLVMErrorRef error = LLVMOrcCreateLLJIT(&jit->lljit, NULL);
    if (error) {
        free(jit);
        return orc_failed(NORMGEN_E_UNSUPPORTED, "no JIT on this machine", error);
    }
    LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(jit->lljit),
                                            drop_report, NULL);
    pthread_mutex_init(&jit->lock, NULL);
    *out = jit;
    return NORMGEN_OK;
}

static LLVMErrorRef new_dylib(ng_jit *jit, LLVMOrcJITDylibRef *dylib) {
    char name[32];
    pthread_mutex_lock(&jit->lock);
    snprintf(name, sizeof name, "kernel%u", jit->loaded++);
    pthread_mutex_unlock(&jit->lock);
    return LLVMOrcExecutionSessionCreateJITDylib(LLVMOrcLLJITGetExecutionSession(jit->lljit), dylib,
                                                 name);
}

typedef struct answer {
    LLVMErrorRef error;
    LLVMOrcExecutorAddress address;
} answer;

static void take_answer(LLVMErrorRef error, LLVMOrcCSymbolMapPairs pairs, size_t n, void *ctx) {
    answer *a = ctx;
    a->error = error;
    if (!error && n == 1) a->address = pairs[0].Sym.Address;
}

/* LLJIT links on the thread that asks, so the answer is there when the call returns. */
static LLVMErrorRef look_up(ng_jit *jit, LLVMOrcJITDylibRef dylib, const char *symbol,
                            LLVMOrcExecutorAddress *address) {
    answer a = {0};
    LLVMOrcCJITDylibSearchOrderElement order = {dylib, LLVMOrcJITDylibLookupFlagsMatchAllSymbols};
    LLVMOrcCLookupSetElement set = {LLVMOrcLLJITMangleAndIntern(jit->lljit, symbol),
                                    LLVMOrcSymbolLookupFlagsRequiredSymbol};
    LLVMOrcExecutionSessionLookup(LLVMOrcLLJITGetExecutionSession(jit->lljit),
                                  LLVMOrcLookupKindStatic, &order, 1, &set, 1, take_answer,
                                  &a); /* takes the symbol's reference */
    *address = a.address;
    return a.error;
}

normgen_status ng_jit_load(ng_jit *jit, const ng_object *object, normgen_fn *fn) {
    LLVMOrcJITDylibRef dylib;
    LLVMOrcExecutorAddress address = 0;
    LLVMErrorRef error = new_dylib(jit, &dylib);
    if (!error) {
        LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(
            (const char *)object->bytes, object->size, object->symbol);
        error = LLVMOrcLLJITAddObjectFile(jit->lljit, dylib, buffer); /* takes the buffer */
    }
    if (!error) error = look_up(jit, dylib, object->symbol, &address);
    if (error)
        return orc_failed(
            NORMGEN_E_UNSUPPORTED,
            "the kernel cannot be loaded: perhaps this system forbids executable memory", error);
    *fn = (normgen_fn)(uintptr_t)address;
    return NORMGEN_OK;
}

void ng_jit_free(ng_jit *jit) {
    if (!jit) return;
    LLVMErrorRef error = LLVMOrcDisposeLLJIT(jit->lljit);
    if (error) LLVMConsumeError(error);
    pthread_mutex_destroy(&jit->lock);
    free(jit);
}
