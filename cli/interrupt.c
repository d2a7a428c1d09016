/* SPDX-License-Identifier: Apache-2.0 */
/* The handler stores a number and nothing else; SA_RESETHAND lets the second signal through. */
#include "interrupt.h"

#include <signal.h>

volatile int cli_stop;

static void stop(int number) { cli_stop = number; }

void cli_interrupt_catch(void) {
    struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}
