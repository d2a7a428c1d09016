/* SPDX-License-Identifier: Apache-2.0 */
/* SIGINT and SIGTERM as a flag that long work polls. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

/* 0, or the number of the signal that asks to stop. */
extern volatile int cli_stop;
/* From here on the first SIGINT or SIGTERM only sets cli_stop; one that comes 0.3 s later or more
 * ends the program. */
void cli_interrupt_catch(void);

/* For a program that serves another one: lowest priority, none of its descriptors but the standard
 * ones and the next, which may be a lock, and SIGTERM when standard input ends, as it does when the
 * other one is gone. Returns CLI_DONE, or CLI_FAILED after saying why. */
int cli_background(void);

#endif
