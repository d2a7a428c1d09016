/* SPDX-License-Identifier: Apache-2.0 */
/* Spec files: Lua that returns one spec or lists of them (specs/README.md is the language). The
 * fields of `spec { ... }` are those of ng_fields, and `name`. */
#ifndef NG_SPECFILE_H
#define NG_SPECFILE_H

#include "lua.h"
#include "spec.h"

/* What one spec file may use. */
extern const ng_lua_limits ng_specfile_limits;
#define NG_SPECFILE_BYTES ((size_t)1 << 20)

/* Reads a spec file and appends its specs, resolved, in the order of its lists; the same file
 * gives the same list on every run. A spec that the list holds already under its name is not added
 * again. E_SPEC with path, line, field, value and what is allowed; E_IO when the file cannot be
 * read; E_MEMORY. After a failure the list is as before. */
normgen_status ng_specfile_read(const char *path, ng_spec_list *list);

#endif
