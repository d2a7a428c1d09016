/* SPDX-License-Identifier: Apache-2.0 */
/* Framing and fields of messages. */
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { HEAD = 8 }; /* length of the whole message, its type: 4 bytes each */
static const size_t message_most = (size_t)256 << 20;

void ng_message_fini(ng_message *m) {
    free(m->bytes);
    *m = (ng_message){0};
}

static bool reserve(ng_message *m, size_t size) {
    if (size > message_most) m->bad = true;
    if (m->bad || size <= m->capacity) return !m->bad;
    size_t capacity = m->capacity ? m->capacity : 256;
    while (capacity < size) capacity *= 2;
    unsigned char *bytes = realloc(m->bytes, capacity);
    if (!bytes) return m->bad = true, false;
    m->bytes = bytes;
    m->capacity = capacity;
    return true;
}

static void put(ng_message *m, const void *bytes, size_t size) {
    if (size == 0 || !reserve(m, m->size + size)) return;
    memcpy(m->bytes + m->size, bytes, size);
    m->size += size;
}

void ng_message_start(ng_message *m, ng_message_type type) {
    uint32_t head[2] = {0, (uint32_t)type};
    m->size = m->at = 0;
    m->bad = false;
    put(m, head, HEAD);
}

void ng_put_int(ng_message *m, int64_t value) { put(m, &value, sizeof value); }
void ng_put_real(ng_message *m, double value) { put(m, &value, sizeof value); }
void ng_put_bytes(ng_message *m, const void *bytes, size_t size) {
    ng_put_int(m, (int64_t)size);
    put(m, bytes, size);
}
void ng_put_text(ng_message *m, const char *text) { ng_put_bytes(m, text, strlen(text)); }

int ng_message_open(ng_message *m) {
    uint32_t head[2] = {0, 0};
    m->bad = m->size < HEAD;
    m->at = HEAD;
    if (!m->bad) memcpy(head, m->bytes, HEAD);
    return (int)head[1];
}

static const unsigned char *get(ng_message *m, size_t size) {
    if (m->bad || m->size - m->at < size) return m->bad = true, NULL;
    m->at += size;
    return m->bytes + m->at - size;
}

int64_t ng_get_int(ng_message *m) {
    int64_t v = 0;
    const unsigned char *from = get(m, sizeof v);
    if (from) memcpy(&v, from, sizeof v);
    return v;
}

double ng_get_real(ng_message *m) {
    double v = 0;
    const unsigned char *from = get(m, sizeof v);
    if (from) memcpy(&v, from, sizeof v);
    return v;
}

const void *ng_get_bytes(ng_message *m, size_t *size) {
    int64_t n = ng_get_int(m);
    const unsigned char *from = n < 0 ? NULL : get(m, (size_t)n);
    if (!from) m->bad = true;
    *size = from ? (size_t)n : 0;
    return from;
}

void ng_get_text(ng_message *m, char *text, size_t size) {
    size_t n;
    const void *from = ng_get_bytes(m, &n);
    if (n >= size) n = size - 1;
    if (from) memcpy(text, from, n);
    text[from ? n : 0] = 0;
}

bool ng_wire_send(int fd, ng_message *m, int wait) {
    if (m->bad) return false;
    uint32_t length = (uint32_t)m->size;
    memcpy(m->bytes, &length, sizeof length);
    for (size_t sent = 0; sent < m->size;) {
        ssize_t n = send(fd, m->bytes + sent, m->size - sent, MSG_NOSIGNAL);
        if (n >= 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd p = {fd, POLLOUT, 0};
            if (poll(&p, 1, wait) == 0) return false;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* m->at counts what has arrived; the head is read first, then the rest. */
int ng_wire_receive(int fd, ng_message *m) {
    for (;;) {
        uint32_t length = HEAD;
        if (m->at >= HEAD) memcpy(&length, m->bytes, sizeof length);
        if (length < HEAD) return -1;
        if (m->at >= HEAD && m->at == length) {
            m->size = length;
            return 1;
        }
        m->bad = false;
        if (!reserve(m, length)) return -1;
        ssize_t n = recv(fd, m->bytes + m->at, length - m->at, 0);
        if (n > 0)
            m->at += (size_t)n;
        else if (n < 0 && errno == EAGAIN)
            return 0;
        else if (n == 0 || errno != EINTR)
            return -1;
    }
}
