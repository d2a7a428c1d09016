/* SPDX-License-Identifier: Apache-2.0 */
/* A folder that changes as one step: everything is written and synced beside it, then the two names
 * are exchanged. Whoever looks sees the old folder or the new one, also after a kill or a power
 * failure. Only what an earlier manifest names is ever removed, and what a killed run left behind
 * under a name of ours (FOLDER.new-PID, FOLDER.old-PID). */
#include "emit.h"

#include "error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH = 4096, DEEP = 8 };

normgen_status ng_folder_take(ng_folder *f, const char *path, void *bytes, size_t size) {
    ng_file *grown = realloc(f->file, (f->files + 1) * sizeof *grown);
    if (!grown) {
        free(bytes);
        return ng_fail(NORMGEN_E_MEMORY, "no memory for file %s", path);
    }
    f->file = grown;
    f->file[f->files] = (ng_file){.bytes = bytes, .size = size};
    snprintf(f->file[f->files++].path, sizeof f->file[0].path, "%s", path);
    return NORMGEN_OK;
}

void ng_folder_fini(ng_folder *f) {
    for (size_t i = 0; i < f->files; i++) free(f->file[i].bytes);
    free(f->file);
    *f = (ng_folder){0};
}

static normgen_status failed(const char *what, const char *path) {
    return ng_fail(NORMGEN_E_IO, "%s '%s': %s", what, path, strerror(errno));
}

/* ---- reading a folder ---- */

typedef struct reader {
    const char *manifest; /* text, or NULL */
    char foreign[PATH];   /* the first file that it does not name */
} reader;

static bool is_named(const reader *r, const char *manifest_name, const char *path) {
    char quoted[PATH];
    if (!r->manifest) return false;
    if (strcmp(path, manifest_name) == 0) return true;
    return (size_t)snprintf(quoted, sizeof quoted, "\"%s\": {", path) < sizeof quoted &&
           strstr(r->manifest, quoted);
}

static bool is_folder(int parent, const char *name) {
    struct stat st;
    return fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Calls each(ctx, folder, name, path) for what is below, folders after what is in them. */
typedef bool (*visitor)(void *ctx, int folder, const char *name, const char *path, bool is_dir);
static bool visit(int parent, const char *name, const char *path, int depth, visitor each,
                  void *ctx) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    bool go = dir != NULL;
    if (!dir && fd >= 0) close(fd);
    for (struct dirent *e; go && (e = readdir(dir));) {
        char below[PATH];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        int n = snprintf(below, sizeof below, "%s%s%s", path, *path ? "/" : "", e->d_name);
        bool deeper = is_folder(dirfd(dir), e->d_name);
        go = (size_t)n < sizeof below;
        if (go && deeper && depth < DEEP)
            go = visit(dirfd(dir), e->d_name, below, depth + 1, each, ctx);
        if (go) go = each(ctx, dirfd(dir), e->d_name, below, deeper);
    }
    if (dir) closedir(dir);
    return go;
}

static char *read_text(const char *folder, const char *name) {
    char path[PATH], *text = NULL;
    size_t size = 0, n = 0;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path) return NULL;
    FILE *f = fopen(path, "re");
    if (!f) return NULL;
    do {
        char *grown = realloc(text, size + 4097);
        if (!grown) break;
        text = grown;
        n = fread(text + size, 1, 4096, f);
        text[size += n] = 0;
    } while (n == 4096);
    fclose(f);
    return text;
}

typedef struct look {
    reader r;
    const char *manifest_name;
} look;

static bool look_at(void *ctx, int folder, const char *name, const char *path, bool is_dir) {
    look *l = ctx;
    (void)folder, (void)name;
    if (is_dir || is_named(&l->r, l->manifest_name, path)) return true;
    snprintf(l->r.foreign, sizeof l->r.foreign, "%s", path);
    return false;
}

/* Nothing, an empty folder, or an earlier bundle may stand there. *exists tells which. */
static normgen_status check_place(const char *path, const char *manifest_name, bool *exists) {
    struct stat st;
    *exists = lstat(path, &st) == 0;
    if (!*exists)
        return errno == ENOENT ? NORMGEN_OK : failed("cannot look at the output folder", path);
    if (!S_ISDIR(st.st_mode))
        return ng_fail(NORMGEN_E_IO,
                       "'%s' is no folder; name one that does not exist yet, is empty, "
                       "or holds an earlier bundle",
                       path);
    char *manifest = read_text(path, manifest_name);
    look l = {.r = {.manifest = manifest}, .manifest_name = manifest_name};
    visit(AT_FDCWD, path, "", 0, look_at, &l);
    free(manifest);
    if (!*l.r.foreign) return NORMGEN_OK;
    return ng_fail(
        NORMGEN_E_IO,
        "'%s' holds '%s', which no bundle's manifest names: the folder is replaced as a "
        "whole, so name one that does not exist yet, is empty, or holds an earlier bundle",
        path, l.r.foreign);
}

/* ---- writing ---- */

static bool remove_one(void *ctx, int folder, const char *name, const char *path, bool is_dir) {
    (void)ctx, (void)path;
    return unlinkat(folder, name, is_dir ? AT_REMOVEDIR : 0) == 0;
}

static void remove_all(const char *path) {
    visit(AT_FDCWD, path, "", 0, remove_one, NULL);
    rmdir(path);
}

static normgen_status make_folders(char *path, size_t from) {
    for (char *slash = path + from; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST) return failed("cannot make folder", path);
    }
    return NORMGEN_OK;
}

static normgen_status write_file(const char *root, const ng_file *file) {
    char path[PATH + 256];
    snprintf(path, sizeof path, "%s/%s", root, file->path);
    normgen_status st = make_folders(path, strlen(root) + 1);
    if (st != NORMGEN_OK) return st;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return failed("cannot create", path);
    for (size_t at = 0; at < file->size;) {
        ssize_t n = write(fd, file->bytes + at, file->size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            st = failed("cannot write", path);
            break;
        }
        at += (size_t)n;
    }
    if (st == NORMGEN_OK && fsync(fd) != 0) st = failed("cannot write", path);
    if (close(fd) != 0 && st == NORMGEN_OK) st = failed("cannot write", path);
    return st;
}

static bool sync_folder(void *ctx, int folder, const char *name, const char *path, bool is_dir) {
    (void)ctx, (void)path;
    int fd = is_dir ? openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0) return true;
    fsync(fd);
    close(fd);
    return true;
}

static void sync_path(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

/* What did not change keeps its time, so that builds that depend on it do not run again. */
static void keep_times(const ng_folder *f, const char *old, const char *new) {
    for (size_t i = 0; i < f->files; i++) {
        char path[PATH];
        struct stat st;
        const ng_file *file = &f->file[i];
        char *text = NULL;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", old, file->path) >= sizeof path ||
            lstat(path, &st) != 0 || (size_t)st.st_size != file->size)
            continue;
        text = read_text(old, file->path);
        snprintf(path, sizeof path, "%s/%s", new, file->path);
        if (text && memcmp(text, file->bytes, file->size) == 0)
            utimensat(AT_FDCWD, path, (struct timespec[2]){st.st_atim, st.st_mtim}, 0);
        free(text);
    }
}

/* ---- the step ---- */

/* Where the filesystem knows no exchange, two renames: a kill in between leaves no folder of that
 * name, but the old one beside it as OLD. */
static normgen_status exchange(const char *new, const char *path, const char *old) {
    if (syscall(SYS_renameat2, AT_FDCWD, new, AT_FDCWD, path, 2u /* RENAME_EXCHANGE */) == 0) {
        remove_all(new);
        return NORMGEN_OK;
    }
    if (errno != EINVAL && errno != ENOSYS) return failed("cannot replace the folder", path);
    if (rename(path, old) != 0) return failed("cannot move the old folder away", path);
    if (rename(new, path) != 0) {
        normgen_status st = failed("cannot replace the folder", path);
        rename(old, path);
        return st;
    }
    remove_all(old);
    return NORMGEN_OK;
}

static normgen_status write_new(const ng_folder *f, const char *new) {
    if (mkdir(new, 0777) != 0)
        return ng_fail(NORMGEN_E_IO,
                       "cannot make a folder beside the output folder (%s): %s; the folder above "
                       "has to be writable",
                       new, strerror(errno));
    for (size_t i = 0; i < f->files; i++) {
        normgen_status st = write_file(new, &f->file[i]);
        if (st != NORMGEN_OK) return st;
    }
    visit(AT_FDCWD, new, "", 0, sync_folder, NULL);
    sync_path(new);
    return NORMGEN_OK;
}

/* Whether a name is BASE.new-PID or BASE.old-PID of a process that is no more. */
static bool is_left_over(const char *name, const char *base) {
    size_t n = strlen(base);
    if (strncmp(name, base, n) != 0) return false;
    if (strncmp(name + n, ".new-", 5) != 0 && strncmp(name + n, ".old-", 5) != 0) return false;
    char *end;
    long pid = strtol(name + n + 5, &end, 10);
    return *end == 0 && end != name + n + 5 && pid > 0 && kill((pid_t)pid, 0) != 0 &&
           errno == ESRCH;
}

/* What killed runs left beside the folder; called when the folder itself is whole. */
static void remove_left_overs(const char *whole) {
    char above[PATH], path[2 * PATH];
    snprintf(above, sizeof above, "%s", whole);
    char *slash = strrchr(above, '/');
    const char *base = slash ? whole + (slash - above) + 1 : whole;
    if (slash) slash[slash == above] = 0;
    DIR *dir = opendir(slash ? above : ".");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!is_left_over(e->d_name, base)) continue;
        snprintf(path, sizeof path, "%s/%s", slash ? above : ".", e->d_name);
        remove_all(path);
    }
    if (dir) closedir(dir);
}

/* The path without slashes at its end, and with a name of its own: not "." or "..". */
static normgen_status whole_path(const char *path, char whole[PATH]) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    if (n + 64 >= PATH) return ng_fail(NORMGEN_E_IO, "the output folder's path is too long");
    snprintf(whole, PATH, "%.*s", (int)n, path);
    const char *name = strrchr(whole, '/');
    name = name ? name + 1 : whole;
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && *name) return NORMGEN_OK;
    char *real = realpath(path, NULL);
    bool fits = real && strlen(real) + 64 < PATH && strcmp(real, "/") != 0;
    if (fits) snprintf(whole, PATH, "%s", real);
    free(real);
    return fits ? NORMGEN_OK : ng_fail(NORMGEN_E_IO, "'%s' cannot be an output folder", path);
}

static normgen_status above_exists(const char *path) {
    char above[PATH];
    struct stat st;
    snprintf(above, sizeof above, "%s", path);
    char *slash = strrchr(above, '/');
    if (!slash || slash == above) return NORMGEN_OK;
    *slash = 0;
    if (stat(above, &st) == 0 && S_ISDIR(st.st_mode)) return NORMGEN_OK;
    return make_folders(strcat(above, "/"), 1);
}

normgen_status ng_folder_write(const ng_folder *f, const char *path, const char *manifest) {
    char whole[PATH], new[PATH + 32], old[PATH + 32], above[PATH];
    bool exists;
    normgen_status st = whole_path(path, whole);
    if (st == NORMGEN_OK) st = check_place(whole, manifest, &exists);
    if (st == NORMGEN_OK) st = above_exists(whole);
    if (st != NORMGEN_OK) return st;
    snprintf(new, sizeof new, "%s.new-%ld", whole, (long)getpid());
    snprintf(old, sizeof old, "%s.old-%ld", whole, (long)getpid());
    st = write_new(f, new);
    if (st == NORMGEN_OK && exists) keep_times(f, whole, new);
    if (st == NORMGEN_OK && !exists && rename(new, whole) != 0)
        st = failed("cannot name the folder", whole);
    if (st == NORMGEN_OK && exists) st = exchange(new, whole, old);
    if (st != NORMGEN_OK) {
        remove_all(new);
        return st;
    }
    remove_left_overs(whole);
    snprintf(above, sizeof above, "%s", whole);
    char *slash = strrchr(above, '/');
    if (slash) *slash = 0;
    sync_path(slash ? (*above ? above : "/") : ".");
    return NORMGEN_OK;
}
