/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels as text for people: the optimized IR, or the disassembly of the object's code. */
#include "elfcheck.h"
#include "gen.h"

#include "error.h"

#include <llvm-c/Disassembler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static LLVMDisasmContextRef disassembler(const ng_isa *isa) {
    LLVMDisasmContextRef d = LLVMCreateDisasmCPUFeatures(isa->triple, isa->llvm_cpu,
                                                         isa->llvm_features, NULL, 0, NULL, NULL);
    if (d) LLVMSetDisasmOptions(d, LLVMDisassembler_Option_PrintImmHex);
    return d;
}

/* One line an instruction: offset, text. */
static normgen_status disassemble(LLVMDisasmContextRef d, const unsigned char *code, size_t size,
                                  char **text) {
    size_t length = 0;
    FILE *f = open_memstream(text, &length);
    if (!f) return ng_fail(NORMGEN_E_MEMORY, "out of memory for a disassembly");
    for (size_t at = 0, n; at < size; at += n) {
        char line[256];
        n = LLVMDisasmInstruction(d, (uint8_t *)(uintptr_t)(code + at), size - at, at, line,
                                  sizeof line);
        if (n == 0) {
            fprintf(f, "%6zx:\t.byte 0x%02x\n", at, code[at]);
            n = 1;
        } else {
            fprintf(f, "%6zx:%s\n", at, line);
        }
    }
    if (fclose(f) == 0) return NORMGEN_OK;
    free(*text);
    return ng_fail(NORMGEN_E_MEMORY, "out of memory for a disassembly");
}

normgen_status ng_show(const ng_program *p, const ng_schedule *s, const ng_isa *isa, ng_view view,
                       char **text) {
    if (view == NG_VIEW_IR) return ng_compile_ir(p, s, isa, text);
    ng_object object;
    const unsigned char *code;
    size_t size;
    normgen_status st = ng_compile(p, s, isa, &object);
    if (st != NORMGEN_OK) return st;
    LLVMDisasmContextRef d = disassembler(isa);
    st = d ? ng_elf_text(object.bytes, object.size, &code, &size)
           : ng_fail(NORMGEN_E_GENERATOR, "LLVM has no disassembler for %s", isa->name);
    if (st == NORMGEN_OK) st = disassemble(d, code, size, text);
    if (d) LLVMDisasmDispose(d);
    ng_object_fini(&object);
    return st;
}
