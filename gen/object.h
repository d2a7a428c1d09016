/* SPDX-License-Identifier: Apache-2.0 */
/* Modules and what becomes of them, for kernels and for a bundle's dispatcher. */
#ifndef NG_OBJECT_H
#define NG_OBJECT_H

#include "build.h"
#include "cpu.h"

#include <llvm-c/TargetMachine.h>

/* A target machine of the level, the caller's. E_GENERATOR. */
normgen_status ng_machine_make(const ng_isa *isa, LLVMTargetMachineRef *machine);
/* A context with an empty module for the machine and a builder; freed with ng_build_end. */
void ng_build_begin(ng_build *g, const ng_isa *isa, LLVMTargetMachineRef machine);
void ng_build_end(ng_build *g);
/* Function attributes of all our code: the level's instructions, no calls made up by LLVM. */
void ng_function_attributes(const ng_build *g, ng_v fn, const ng_isa *isa);
void ng_string_attribute(const ng_build *g, ng_v fn, const char *key, const char *value);
void ng_enum_attribute(const ng_build *g, ng_v fn, const char *name);
/* Verifies and optimizes; E_GENERATOR. */
normgen_status ng_module_finish(const ng_build *g, LLVMTargetMachineRef machine,
                                const char *pipeline);
/* Object bytes, freed with free(). */
normgen_status ng_module_object(const ng_build *g, LLVMTargetMachineRef machine,
                                unsigned char **bytes, size_t *size);

#endif
