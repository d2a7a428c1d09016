/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays in memory, and their files. What a file claims about itself is compared with what is
 * there before memory is taken for it. */
#include "array.h"

#include "decimal.h"
#include "error.h"
#include "npy.h"
#include "types.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALIGN = 64 };

#define COUNT_MAX ((size_t)PTRDIFF_MAX)
#define HEADER_MAX ((size_t)64 * 1024) /* longest header that is read */

bool cli_array_measure(cli_array *a) {
    size_t count = 1;
    bool empty = false;
    for (int i = 0; i < a->dims; i++) {
        if (a->shape[i] == 0) empty = true;
        if (a->shape[i] != 0 && __builtin_mul_overflow(count, (size_t)a->shape[i], &count))
            return false;
    }
    if (count > COUNT_MAX / ng_types[a->type].bytes) return false;
    a->count = empty ? 0 : count;
    a->bytes = a->count * ng_types[a->type].bytes;
    return true;
}

static unsigned char *aligned(size_t bytes) {
    if (bytes > COUNT_MAX - ALIGN) return NULL;
    return aligned_alloc(ALIGN, (bytes / ALIGN + 1) * ALIGN);
}

static normgen_status no_memory(size_t bytes) {
    return ng_fail(NORMGEN_E_MEMORY, "out of memory for an array of %zu bytes", bytes);
}

normgen_status cli_array_new(int type, int dims, const int64_t *shape, cli_array *array) {
    cli_array a = {.type = type, .dims = dims};
    if (dims) memcpy(a.shape, shape, (size_t)dims * sizeof *shape);
    if (!cli_array_measure(&a)) return no_memory(COUNT_MAX);
    a.data = aligned(a.bytes);
    if (!a.data) return no_memory(a.bytes);
    *array = a;
    return NORMGEN_OK;
}

void cli_array_fini(cli_array *array) {
    free(array->data);
    *array = (cli_array){0};
}

const char *cli_array_describe(const cli_array *a, char *text, size_t size) {
    size_t at = (size_t)snprintf(text, size, "%s", ng_types[a->type].name);
    for (int i = 0; i < a->dims && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%lld", i ? " x " : " ",
                               (long long)a->shape[i]);
    if (a->dims == 0 && at < size) snprintf(text + at, size - at, " scalar");
    return text;
}

bool cli_path_is_stream(const char *path) { return strcmp(path, "-") == 0; }

static bool is_text(const char *path) {
    size_t n = strlen(path);
    return cli_path_is_stream(path) || (n > 4 && strcmp(path + n - 4, ".txt") == 0);
}

/* ---- reading .npy ---- */

/* Reads until `size` bytes are there or the file ends. */
static ssize_t read_some(int fd, void *to, size_t size) {
    size_t done = 0;
    while (done < size) {
        size_t want = size - done < ((size_t)1 << 30) ? size - done : (size_t)1 << 30;
        ssize_t n = read(fd, (char *)to + done, want);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static normgen_status read_exactly(int fd, void *to, size_t size, const char *what) {
    ssize_t n = read_some(fd, to, size);
    if (n < 0) return ng_fail(NORMGEN_E_IO, "it cannot be read: %s", strerror(errno));
    if ((size_t)n == size) return NORMGEN_OK;
    return ng_fail(NORMGEN_E_IO, "it is cut off: %s has %zd of %zu bytes", what, n, size);
}

/* Magic, version, length, dictionary; *size is all of it. */
static normgen_status read_header(int fd, int v2, cli_array *a, size_t *size) {
    unsigned char b[12];
    normgen_status st = read_exactly(fd, b, 8, "the magic number");
    if (st != NORMGEN_OK) return st;
    if (memcmp(b, "\x93NUMPY", 6) != 0)
        return ng_fail(NORMGEN_E_IO, "it is no .npy file (text arrays are called *.txt)");
    int major = b[6], minor = b[7];
    if (major < 1 || major > 3 || minor != 0)
        return ng_fail(NORMGEN_E_IO, ".npy format %d.%d is not known; normgen reads 1.0 to 3.0",
                       major, minor);
    size_t field = major == 1 ? 2 : 4, length = 0;
    st = read_exactly(fd, b + 8, field, "the header's length");
    if (st != NORMGEN_OK) return st;
    for (size_t i = field; i-- > 0;) length = length << 8 | b[8 + i];
    if (length > HEADER_MAX)
        return ng_fail(NORMGEN_E_IO, "its header has %zu bytes; normgen reads up to %zu", length,
                       HEADER_MAX);
    char *text = malloc(length + 1);
    if (!text) return no_memory(length);
    st = read_exactly(fd, text, length, "the header");
    if (st == NORMGEN_OK) st = cli_npy_parse(text, length, v2, a);
    free(text);
    *size = 8 + field + length;
    return st;
}

/* A size that a regular file's header claims is compared with the file before memory is taken. */
static normgen_status check_size(int fd, size_t header, const cli_array *a, bool *regular) {
    struct stat info;
    *regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    if (!*regular || (size_t)info.st_size - header == a->bytes) return NORMGEN_OK;
    char text[256];
    size_t there = (size_t)info.st_size - header;
    return ng_fail(NORMGEN_E_IO, "%s: %s needs %zu bytes, and %zu are there",
                   there < a->bytes ? "it is cut off" : "something stands after the array",
                   cli_array_describe(a, text, sizeof text), a->bytes, there);
}

/* Grows with what arrives: a pipe's header may claim anything. */
static normgen_status read_data(int fd, bool regular, cli_array *a) {
    size_t capacity = regular || a->bytes < ((size_t)1 << 20) ? a->bytes : (size_t)1 << 20;
    size_t done = 0;
    unsigned char *data = aligned(capacity);
    normgen_status st = data ? NORMGEN_OK : no_memory(capacity);
    while (st == NORMGEN_OK) {
        st = read_exactly(fd, data + done, capacity - done, "the array");
        done = capacity;
        if (st != NORMGEN_OK || done == a->bytes) break;
        capacity = a->bytes / 2 < capacity ? a->bytes : 2 * capacity;
        unsigned char *grown = aligned(capacity);
        if (grown) memcpy(grown, data, done);
        free(data);
        data = grown;
        if (!data) st = no_memory(capacity);
    }
    if (st != NORMGEN_OK)
        free(data);
    else
        a->data = data;
    return st;
}

static normgen_status read_npy(int fd, int v2, cli_array *a) {
    size_t header = 0;
    bool regular = false;
    normgen_status st = read_header(fd, v2, a, &header);
    if (st == NORMGEN_OK) st = check_size(fd, header, a, &regular);
    if (st == NORMGEN_OK) st = read_data(fd, regular, a);
    return st;
}

/* ---- reading text ---- */

typedef struct text_reader {
    cli_array *array;
    size_t capacity; /* elements */
    int64_t rows, columns;
    long line;
} text_reader;

static normgen_status push_value(text_reader *t, double value) {
    cli_array *a = t->array;
    if (a->count == t->capacity) {
        size_t capacity = t->capacity ? 2 * t->capacity : 256;
        unsigned char *grown = aligned(capacity * ng_types[a->type].bytes);
        if (!grown) return no_memory(capacity);
        if (a->data) memcpy(grown, a->data, a->count * ng_types[a->type].bytes);
        free(a->data);
        a->data = grown;
        t->capacity = capacity;
    }
    ng_type_write(a->type, a->data, a->count++, value);
    return NORMGEN_OK;
}

static normgen_status push_line(text_reader *t, char *line) {
    int64_t columns = 0;
    char *rest = line;
    rest[strcspn(rest, "#")] = 0;
    for (char *word; (word = strtok_r(rest, " \t\r\n,", &rest)); columns++) {
        double value;
        if (!ng_decimal_parse(word, &value))
            return ng_fail(NORMGEN_E_IO, "line %ld: '%.40s' is no number", t->line, word);
        normgen_status st = push_value(t, value);
        if (st != NORMGEN_OK) return st;
    }
    if (columns == 0) return NORMGEN_OK;
    if (t->rows && columns != t->columns)
        return ng_fail(NORMGEN_E_IO, "line %ld has %lld numbers, the lines before it %lld", t->line,
                       (long long)columns, (long long)t->columns);
    t->columns = columns;
    t->rows++;
    return NORMGEN_OK;
}

static normgen_status read_text(FILE *in, int type, cli_array *a) {
    *a = (cli_array){.type = type, .dims = 2};
    text_reader t = {.array = a};
    char *line = NULL;
    size_t size = 0;
    normgen_status st = NORMGEN_OK;
    while (st == NORMGEN_OK && getline(&line, &size, in) >= 0) {
        t.line++;
        st = push_line(&t, line);
    }
    free(line);
    if (st == NORMGEN_OK && ferror(in))
        st = ng_fail(NORMGEN_E_IO, "it cannot be read: %s", strerror(errno));
    if (st == NORMGEN_OK && t.rows == 0) st = ng_fail(NORMGEN_E_IO, "it has no numbers");
    a->shape[0] = t.rows;
    a->shape[1] = t.columns;
    a->bytes = a->count * ng_types[type].bytes;
    return st;
}

normgen_status cli_array_read(const char *path, const cli_array_rules *rules, cli_array *array) {
    cli_array a = {0};
    normgen_status st;
    bool stream = cli_path_is_stream(path);
    int fd = stream ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ng_fail(NORMGEN_E_IO, "%s: %s", path, strerror(errno));
    if (is_text(path)) {
        FILE *in = stream ? stdin : fdopen(fd, "r");
        st = in ? read_text(in, rules->text_type, &a) : no_memory(0);
        if (in && !stream) fclose(in);
    } else {
        st = read_npy(fd, rules->v2, &a);
        close(fd);
    }
    if (st != NORMGEN_OK) {
        cli_array_fini(&a);
        return ng_fail_in(st, "%s", stream ? "standard input" : path);
    }
    *array = a;
    return NORMGEN_OK;
}

/* ---- writing ---- */

/* Shortest decimal that reads back as the same element. */
static void print_element(const cli_array *a, size_t i, char *text, size_t size) {
    double value = ng_type_read(a->type, a->data, i);
    for (int digits = 1; digits <= 17; digits++) {
        unsigned char again[8] = {0};
        snprintf(text, size, "%.*g", digits, value);
        ng_type_write(a->type, again, 0, strtod(text, NULL));
        if (memcmp(again, a->data + i * ng_types[a->type].bytes, ng_types[a->type].bytes) == 0)
            return;
    }
}

static void write_text(const cli_array *a, FILE *out) {
    size_t columns = a->dims > 0 ? (size_t)a->shape[a->dims - 1] : 1;
    for (size_t i = 0; i < a->count; i++) {
        char text[40];
        print_element(a, i, text, sizeof text);
        fprintf(out, "%14s%s", text, (i + 1) % columns ? " " : "\n");
    }
}

static void write_array(const char *path, const cli_array *a, FILE *out) {
    if (is_text(path)) {
        write_text(a, out);
        return;
    }
    char header[1024];
    fwrite(header, 1, cli_npy_header(a, header, sizeof header), out);
    if (a->bytes) fwrite(a->data, 1, a->bytes, out);
}

static normgen_status write_failed(const char *path) {
    return ng_fail(NORMGEN_E_IO, "%s: it cannot be written: %s", path, strerror(errno));
}

/* Opens `beside` where the path names a regular file or nothing, else the path itself. A symbolic
 * link stays one: the file it leads to is replaced. */
static FILE *open_output(const char *path, cli_output *o) {
    struct stat info;
    bool there = stat(path, &info) == 0;
    char *real = there ? realpath(path, NULL) : NULL;
    size_t n = (size_t)snprintf(o->path, sizeof o->path, "%s", real ? real : path);
    free(real);
    if (there && !S_ISREG(info.st_mode)) return fopen(path, "we");
    size_t m = (size_t)snprintf(o->beside, sizeof o->beside, "%s.XXXXXX", o->path);
    if (n >= sizeof o->path || m >= sizeof o->beside) {
        o->beside[0] = 0;
        errno = ENAMETOOLONG;
        return NULL;
    }
    int fd = mkostemp(o->beside, O_CLOEXEC);
    if (fd < 0) {
        o->beside[0] = 0;
        return NULL;
    }
    mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, there ? info.st_mode & 0777 : 0666 & ~mask);
    FILE *out = fdopen(fd, "w");
    if (!out) close(fd);
    return out;
}

normgen_status cli_output_write(const char *path, const cli_array *array, cli_output *output) {
    *output = (cli_output){0};
    if (cli_path_is_stream(path)) {
        write_text(array, stdout);
        return NORMGEN_OK;
    }
    FILE *out = open_output(path, output);
    if (!out) {
        normgen_status st = write_failed(path);
        cli_output_abort(output);
        return st;
    }
    write_array(path, array, out);
    bool bad = ferror(out) != 0;
    if (fclose(out) == 0 && !bad) return NORMGEN_OK;
    normgen_status st = write_failed(path);
    cli_output_abort(output);
    return st;
}

normgen_status cli_output_commit(cli_output *output) {
    if (!output->beside[0]) return NORMGEN_OK;
    if (rename(output->beside, output->path) != 0) {
        normgen_status st = write_failed(output->path);
        cli_output_abort(output);
        return st;
    }
    output->beside[0] = 0;
    return NORMGEN_OK;
}

void cli_output_abort(cli_output *output) {
    if (output->beside[0]) unlink(output->beside);
    output->beside[0] = 0;
}
