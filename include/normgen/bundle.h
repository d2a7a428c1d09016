/* SPDX-License-Identifier: Apache-2.0 */
/* The table that a bundle of `normgen emit` exports, and how libnormgen is told of it. A program
 * that only calls the bundle's own functions needs neither this header nor libnormgen.
 *
 * The function PREFIX_bundle() of a bundle returns its table: constant, valid as long as the bundle
 * is loaded, safe from any thread. */
#ifndef NORMGEN_BUNDLE_H
#define NORMGEN_BUNDLE_H

#include "normgen/normgen.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever the structs below or normgen_bound_args do. */
#define NORMGEN_BUNDLE_ABI 1

/* What serves one regime (l1, l2, llc, dram, in this order) at one ISA level. */
typedef struct normgen_bundle_entry {
    normgen_fn any;       /* NULL: this level cannot do the spec */
    normgen_fn cached;    /* for calls whose addresses `any` does not allow */
    const char *schedule; /* canonical text of any's */
    uint64_t mask;        /* alignment - 1 of bases and strides that `any` needs of the streams
                             in `streamed` */
} normgen_bundle_entry;

typedef struct normgen_bundle_spec {
    const char *name;    /* of the bundle's functions, without its prefix */
    const char *spec;    /* canonical text */
    const char *streams; /* "x weight y": what the bound streams are, in their order */
    uint64_t streamed;   /* bit s: stream s may be written past the caches */
    const normgen_bundle_entry *entries; /* [levels][regimes] */
} normgen_bundle_spec;

typedef struct normgen_bundle {
    size_t struct_size;
    uint32_t abi;          /* NORMGEN_BUNDLE_ABI */
    uint32_t numerics;     /* NORMGEN_NUMERICS */
    const char *prefix;    /* of the bundle's symbols */
    const char *toolchain; /* what generated it */
    size_t levels, regimes, specs;
    const char *const *level; /* names of ISA levels, weakest first */
    const normgen_bundle_spec *spec;
} normgen_bundle;

#ifdef __cplusplus
}
#endif
#endif
