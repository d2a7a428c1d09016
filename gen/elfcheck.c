/* SPDX-License-Identifier: Apache-2.0 */
/* ELF objects of our own making, read with bounds checks all the same: a broken one is an error,
 * never a crash. */
#include "elfcheck.h"

#include "error.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>

typedef struct image {
    const unsigned char *bytes;
    size_t size;
    Elf64_Ehdr header;
} image;

static bool read_at(const image *m, size_t at, void *to, size_t n) {
    if (at > m->size || n > m->size - at) return false;
    memcpy(to, m->bytes + at, n);
    return true;
}

static bool section_at(const image *m, size_t i, Elf64_Shdr *section) {
    return i < m->header.e_shnum &&
           read_at(m, m->header.e_shoff + i * sizeof *section, section, sizeof *section) &&
           (section->sh_type == SHT_NOBITS ||
            (section->sh_offset <= m->size && section->sh_size <= m->size - section->sh_offset));
}

static normgen_status open_image(image *m, const unsigned char *bytes, size_t size) {
    *m = (image){.bytes = bytes, .size = size};
    if (!read_at(m, 0, &m->header, sizeof m->header) ||
        memcmp(m->header.e_ident, ELFMAG, SELFMAG) != 0 ||
        m->header.e_ident[EI_CLASS] != ELFCLASS64 || m->header.e_shentsize != sizeof(Elf64_Shdr))
        return ng_fail(NORMGEN_E_GENERATOR, "object of %zu bytes is not a 64-bit ELF object", size);
    return NORMGEN_OK;
}

typedef bool (*allowance)(const void *ctx, const char *symbol);

/* The first undefined symbol of a symbol table that is not allowed (NULL: none is). */
static normgen_status check_symbols(const image *m, const Elf64_Shdr *table, allowance allowed,
                                    const void *ctx) {
    Elf64_Shdr names;
    Elf64_Sym symbol;
    if (!section_at(m, table->sh_link, &names))
        return ng_fail(NORMGEN_E_GENERATOR, "object has no symbol names");
    for (size_t at = sizeof symbol; at + sizeof symbol <= table->sh_size; at += sizeof symbol) {
        if (!read_at(m, table->sh_offset + at, &symbol, sizeof symbol)) break;
        if (symbol.st_shndx != SHN_UNDEF || symbol.st_name >= names.sh_size) continue;
        const char *name = (const char *)m->bytes + names.sh_offset + symbol.st_name;
        size_t length = strnlen(name, names.sh_size - symbol.st_name);
        if (allowed && symbol.st_name + length < names.sh_size && allowed(ctx, name)) continue;
        return ng_fail(NORMGEN_E_GENERATOR, "code is not a leaf: it needs the symbol '%.*s'",
                       (int)length, name);
    }
    return NORMGEN_OK;
}

normgen_status ng_elf_text(const unsigned char *bytes, size_t size, const unsigned char **code,
                           size_t *code_bytes) {
    image m;
    Elf64_Shdr s;
    normgen_status st = open_image(&m, bytes, size);
    for (size_t i = 0; st == NORMGEN_OK && section_at(&m, i, &s); i++)
        if (s.sh_type == SHT_PROGBITS && (s.sh_flags & SHF_EXECINSTR) && s.sh_size) {
            *code = bytes + s.sh_offset;
            *code_bytes = s.sh_size;
            return NORMGEN_OK;
        }
    return st == NORMGEN_OK ? ng_fail(NORMGEN_E_GENERATOR, "object has no code") : st;
}

normgen_status ng_elf_check_leaf(const unsigned char *bytes, size_t size, size_t *code_bytes) {
    image m;
    Elf64_Shdr s;
    const unsigned char *code;
    normgen_status st = open_image(&m, bytes, size);
    for (size_t i = 0; st == NORMGEN_OK && section_at(&m, i, &s); i++) {
        if (s.sh_type == SHT_SYMTAB) st = check_symbols(&m, &s, NULL, NULL);
        if ((s.sh_flags & SHF_ALLOC) && (s.sh_flags & (SHF_WRITE | SHF_TLS)) && s.sh_size &&
            st == NORMGEN_OK)
            st = ng_fail(NORMGEN_E_GENERATOR, "kernel is not a leaf: it has writable data");
    }
    return st == NORMGEN_OK ? ng_elf_text(bytes, size, &code, code_bytes) : st;
}

normgen_status ng_elf_check_needs(const unsigned char *bytes, size_t size, allowance allowed,
                                  const void *ctx) {
    image m;
    Elf64_Shdr s;
    normgen_status st = open_image(&m, bytes, size);
    for (size_t i = 0; st == NORMGEN_OK && section_at(&m, i, &s); i++)
        if (s.sh_type == SHT_SYMTAB) st = check_symbols(&m, &s, allowed, ctx);
    return st;
}
