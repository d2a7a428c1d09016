/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that knows differences between LLVM versions (19 to 22). */
#ifndef NG_LLVM_COMPAT_H
#define NG_LLVM_COMPAT_H

#include <llvm-c/Core.h>
#include <llvm/Config/llvm-config.h>

/* llvm.masked.load and .store have an alignment operand until 21 and a parameter attribute
 * since 22. */
#define NG_MASKED_ALIGN_OPERAND (LLVM_VERSION_MAJOR < 22)

/* "llvm=19.1.7 gen=1 numerics=1": measurements are kept under it. */
#define NG_TEXT_OF(x) #x
#define NG_TEXT(x) NG_TEXT_OF(x)
#define NG_TOOLCHAIN_TEXT                                                                          \
    "llvm=" LLVM_VERSION_STRING                                                                    \
    " gen=" NG_TEXT(NG_GEN_REVISION) " numerics=" NG_TEXT(NORMGEN_NUMERICS)

#endif
