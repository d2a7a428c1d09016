/* SPDX-License-Identifier: Apache-2.0 */
/* `timeout` and terminals send a signal to the program and once more to its group: what comes at
 * once is one request. */
#include "interrupt.h"

#include "options.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

volatile int cli_stop;

enum { ONE_REQUEST_MS = 300 };

static int64_t asked_ms;

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void stop(int number) {
    if (!cli_stop) {
        asked_ms = now_ms();
        cli_stop = number;
    } else if (now_ms() - asked_ms > ONE_REQUEST_MS) {
        signal(number, SIG_DFL);
        raise(number);
    }
}

void cli_interrupt_catch(void) {
    struct sigaction action = {.sa_handler = stop};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* A file descriptor that the other program holds open would be held open as long as this one runs.
 */
enum { FIRST_OF_OTHERS = 4 };

static void *watch(void *ctx) {
    char bytes[64];
    ssize_t n;
    (void)ctx;
    do {
        n = read(STDIN_FILENO, bytes, sizeof bytes);
    } while (n > 0 || (n < 0 && errno == EINTR));
    kill(getpid(), SIGTERM);
    return NULL;
}

int cli_background(void) {
    pthread_t thread;
    syscall(SYS_close_range, FIRST_OF_OTHERS, ~0u, 0); /* Linux 5.9; before that they stay open */
    setpriority(PRIO_PROCESS, 0, 19);
    cli_interrupt_catch();
    int error = pthread_create(&thread, NULL, watch, NULL);
    if (error) return cli_error("--background: no thread: %s", strerror(error));
    pthread_detach(thread);
    return CLI_DONE;
}
