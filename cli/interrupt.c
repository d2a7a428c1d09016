/* SPDX-License-Identifier: Apache-2.0 */
/* The handler stores a number and nothing else; SA_RESETHAND lets the second signal through. */
#include "interrupt.h"

#include "options.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

volatile int cli_stop;

static void stop(int number) { cli_stop = number; }

void cli_interrupt_catch(void) {
    struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
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
