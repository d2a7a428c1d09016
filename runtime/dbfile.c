/* SPDX-License-Identifier: Apache-2.0 */
/* Paths, ownership, permissions and lock holders of a store's file. Somebody else's file is for
 * reading only, and so is one that everybody may write: what this user measured should not end
 * where others can change it, and a journal left by others would be played back into it. */
#include "dbfile.h"

#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Magic numbers: statfs(2) and the kernel's include/uapi/linux/magic.h. */
static const struct {
    uint32_t magic;
    const char *name;
} networks[] = {
    {0x6969, "NFS"},       {0x517b, "SMB"},      {0xff534d42, "CIFS"},   {0xfe534d42, "SMB2"},
    {0x01021997, "9P"},    {0x5346414f, "AFS"},  {0x6b414653, "AFS"},    {0x73757245, "Coda"},
    {0x564c, "NCP"},       {0x00c36400, "Ceph"}, {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"},
    {0x7461636f, "OCFS2"}, {0x01161970, "GFS2"},
};

const char *ng_dbfile_network(uint32_t magic) {
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++)
        if (networks[i].magic == magic) return networks[i].name;
    return NULL;
}

static normgen_status fail_errno(const char *path, const char *what, int error) {
    return ng_fail(NORMGEN_E_STORE, "store %.400s: %s: %s", path, what, strerror(error));
}

/* Makes the directories of `path`; those made here get mode 0700 whatever the umask. */
static normgen_status make_directories(const char *path) {
    char text[NG_DBFILE_PATH];
    memcpy(text, path, strlen(path) + 1);
    for (char *p = strchr(text + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = 0;
        int error = mkdir(text, 0700) == 0 ? 0 : errno;
        if (!error && chmod(text, 0700) != 0)
            return fail_errno(text, "cannot set mode 0700", errno);
        if (error && error != EEXIST && access(text, F_OK) != 0)
            return fail_errno(text, "cannot make this directory", error);
        *p = '/';
    }
    return NORMGEN_OK;
}

/* Nobody can hold locks on a file that did not exist, so closing its descriptor is harmless. */
static normgen_status make_file(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return errno == EEXIST ? NORMGEN_OK : fail_errno(path, "cannot make it", errno);
    normgen_status status = NORMGEN_OK;
    if (fchmod(fd, 0600) != 0) status = fail_errno(path, "cannot set mode 0600", errno);
    close(fd);
    return status;
}

static normgen_status resolve(const char *path, char *out) {
    char full[PATH_MAX];
    if (!realpath(path, full)) {
        if (errno == ENOENT)
            return ng_fail(NORMGEN_E_STORE, "store %.400s: there is no such file; tuning makes it",
                           path);
        return fail_errno(path, "cannot find it", errno);
    }
    if (strlen(full) >= NG_DBFILE_PATH)
        return ng_fail(NORMGEN_E_STORE,
                       "store %.300s...: its full path has %zu bytes, the limit is %d; use a "
                       "shorter one",
                       full, strlen(full), NG_DBFILE_PATH - 1);
    memcpy(out, full, strlen(full) + 1);
    return NORMGEN_OK;
}

/* A journal that someone else put there would be played back into the store. */
static normgen_status check_journal(const char *store, uid_t owner) {
    char path[NG_DBFILE_PATH + 16];
    struct stat st;
    snprintf(path, sizeof path, "%s-journal", store);
    if (lstat(path, &st) != 0 || (S_ISREG(st.st_mode) && st.st_uid == owner)) return NORMGEN_OK;
    return ng_fail(NORMGEN_E_STORE,
                   "store %s belongs to user %u, but its journal %s was put there by user %u: "
                   "remove the journal",
                   store, (unsigned)owner, strrchr(path, '/') + 1, (unsigned)st.st_uid);
}

static void inspect(ng_dbfile *file, const struct stat *st) {
    struct statfs fs;
    const char *network =
        statfs(file->path, &fs) == 0 ? ng_dbfile_network((uint32_t)fs.f_type) : NULL;
    file->ours = false;
    if (st->st_uid != geteuid())
        snprintf(file->note, sizeof file->note,
                 "store %s belongs to user %u: it is read, not written; to tune, name a store of "
                 "your own (NORMGEN_DB)",
                 file->path, (unsigned)st->st_uid);
    else if (st->st_mode & S_IWOTH)
        snprintf(file->note, sizeof file->note,
                 "store %s can be written by everyone: it is read, not written; chmod 600 it",
                 file->path);
    else
        file->ours = true;
    if (file->ours && network)
        snprintf(file->note, sizeof file->note,
                 "store %s is on a network filesystem (%s), where locks are unreliable: give each "
                 "writer a store of its own, then merge them (normgen db merge)",
                 file->path, network);
}

normgen_status ng_dbfile_locate(const char *path, bool create, ng_dbfile *file) {
    ng_dbfile found = {0};
    struct stat st;
    size_t length = strlen(path);
    if (length == 0 || length >= NG_DBFILE_PATH)
        return ng_fail(NORMGEN_E_STORE,
                       "store %.300s%s: its path has %zu bytes, allowed are 1 to %d", path,
                       length > 300 ? "..." : "", length, NG_DBFILE_PATH - 1);
    normgen_status status = NORMGEN_OK;
    if (create && access(path, F_OK) != 0) {
        status = make_directories(path);
        if (!status) status = make_file(path);
    }
    if (!status) status = resolve(path, found.path);
    if (status) return status;
    if (stat(found.path, &st) != 0) return fail_errno(found.path, "cannot look at it", errno);
    if (!S_ISREG(st.st_mode))
        return ng_fail(NORMGEN_E_STORE, "store %s: this is %s; name a file", found.path,
                       S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
    if (st.st_size == 1) /* SQLite takes a file of one byte for an empty one */
        return ng_fail(NORMGEN_E_STORE,
                       "store %s is not a store: name another file, or move it away", found.path);
    inspect(&found, &st);
    status = check_journal(found.path, st.st_uid);
    if (!status) *file = found;
    return status;
}

normgen_status ng_dbfile_writable(const ng_dbfile *file) {
    char directory[NG_DBFILE_PATH];
    if (!file->ours) return ng_fail(NORMGEN_E_STORE, "%s", file->note);
    if (faccessat(AT_FDCWD, file->path, W_OK, AT_EACCESS) != 0)
        return ng_fail(NORMGEN_E_STORE,
                       "store %s is read-only (%s): chmod u+w it, or name another (NORMGEN_DB)",
                       file->path, strerror(errno));
    snprintf(directory, sizeof directory, "%s", file->path);
    *(strrchr(directory, '/') + 1) = 0;
    if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0)
        return ng_fail(NORMGEN_E_STORE,
                       "store %s: its directory is read-only (%s), and a journal must stand there: "
                       "chmod u+w the directory, or name another store (NORMGEN_DB)",
                       file->path, strerror(errno));
    return NORMGEN_OK;
}

/* Lines of /proc/locks: "1: POSIX  ADVISORY  WRITE 4242 fd:01:1835 1073741824 1073742335". */
void ng_dbfile_holder(const char *path, char *text, size_t size) {
    struct stat st;
    char line[256];
    text[0] = 0;
    FILE *f = stat(path, &st) == 0 ? fopen("/proc/locks", "re") : NULL;
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        int pid;
        unsigned major_part, minor_part;
        unsigned long long ino;
        if (sscanf(line, "%*s POSIX %*s %*s %d %x:%x:%llu", &pid, &major_part, &minor_part, &ino) !=
            4)
            continue;
        if (ino != st.st_ino || pid <= 0 || pid == getpid()) continue;
        if (major_part != major(st.st_dev) || minor_part != minor(st.st_dev)) continue;
        snprintf(text, size, " (process %d)", pid);
    }
    fclose(f);
}
