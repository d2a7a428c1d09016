/* SPDX-License-Identifier: Apache-2.0 */
/* Specs that mean nothing, with the two fields that a message has to name. Every way to give a spec
 * must refuse them. */
#ifndef NG_TESTS_REFUSED_H
#define NG_TESTS_REFUSED_H

static const struct {
    const char *kind, *fields, *a, *b;
} refused[] = {
    {"l2", "hidden=64 eps=1e-06 bias=f32 eps_mode=max", "bias", "eps_mode"},
    {"layer", "hidden=100 eps=1e-05 groups=3", "hidden", "groups"},
    {"rms", "hidden=4112 eps=1e-05 y=q8_0", "hidden", "y"},
    {"rms", "hidden=48 eps=1e-05 y=q8_1", "hidden", "y"},
    {"rms", "hidden=96 eps=1e-05 y=q8_0 groups=2", "hidden", "y"},
    {"rms", "hidden=127 eps=1e-06 rope=half", "rope", "hidden"},
    {"rms", "hidden=512 eps=1e-06 rope=half", "rope", "hidden"},
    {"rms", "hidden=100 eps=1e-05 y=i8 quant=group32", "hidden", "quant"},
    {"rms", "hidden=128 eps=1e-05 y=u8 quant=group32", "y", "quant"},
    {"rms", "hidden=128 eps=1e-05 y=i8", "y", "quant"},
    {"rms", "hidden=128 eps=1e-05 stat_first=129", "stat_first", "hidden"},
    {"rms", "hidden=128 eps=1e-05 rounding=gated", "rounding", "gate"},
    {"rms", "hidden=128 eps=1e-05 heads=2 groups=2", "groups", "heads"},
    {"rms", "hidden=128 eps=1e-05 groups=2 y=i8 quant=row", "groups", "quant"},
    {"rms", "hidden=128 eps=1e-05 x=i8 y=f32 rounding=llama", "x", "rounding"},
    {"rms", "hidden=128 eps=1e-05 y2=f32", "y2", "y"},
    {"rms", "hidden=128 eps=1e-06 rope=half after=f32", "rope", "after"},
    {"rms", "hidden=128 eps=1e-05 weight=none stats=partial", "stats", "eps"},
    {"rms", "hidden=128 eps=0 stats=partial", "stats", "weight"},
    {"rms", "hidden=128 eps=0 rstd=yes stats=apply", "stats", "rstd"},
    {"dyt", "hidden=128 eps=1e-05", "eps", "kind"},
    {"layer", "hidden=128 eps=1e-05 residual=f32 sum=f32 post_weight=f32", "post_weight", "kind"},
};

#endif
