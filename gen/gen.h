/* SPDX-License-Identifier: Apache-2.0 */
/* The generator: from (row program, schedule, ISA level) to an object, and from objects to callable
 * code. Everything goes through object bytes: the JIT, the disassembly view and ahead-of-time files
 * see the same ones. */
#ifndef NG_GEN_H
#define NG_GEN_H

#include "gentable.h"

/* Raised whenever emitted code changes: part of the toolchain text that measurements are kept
 * under. */
#define NG_GEN_REVISION 21

/* "llvm=19.1.7 gen=1 numerics=1" */
extern const char ng_toolchain[];

/* Compiles a kernel; the schedule must be legal for the level (E_SCHEDULE otherwise). Every call
 * owns its LLVM context: safe from many threads. The object is checked to be a leaf without
 * undefined symbols. */
normgen_status ng_compile(const ng_program *program, const ng_schedule *schedule, const ng_isa *isa,
                          ng_object *out);
/* The same with a symbol of the caller's, at most 63 characters. The symbol is hidden: it links
 * within one program or library only. */
normgen_status ng_compile_as(const ng_program *program, const ng_schedule *schedule,
                             const ng_isa *isa, const char *symbol, ng_object *out);
/* The limit of the program: moves the bytes of all row streams under the same axes (vec, block,
 * store, prefetch), without arithmetic, shared or scalar streams. Takes the same arguments as the
 * kernel, out of place. */
normgen_status ng_compile_limit(const ng_program *program, const ng_schedule *schedule,
                                const ng_isa *isa, ng_object *out);
void ng_object_fini(ng_object *object);
/* The optimized IR as text, freed with free(). */
normgen_status ng_compile_ir(const ng_program *program, const ng_schedule *schedule,
                             const ng_isa *isa, char **text);
/* IR or disassembly as text, freed with free(). */
normgen_status ng_show(const ng_program *program, const ng_schedule *schedule, const ng_isa *isa,
                       ng_view view, char **text);

/* See gentable.h. */
normgen_status ng_jit_new(ng_jit **jit);
normgen_status ng_jit_load(ng_jit *jit, const ng_object *object, normgen_fn *fn);
void ng_jit_free(ng_jit *jit);

normgen_status ng_emit(ng_emit_request *request);

#endif
