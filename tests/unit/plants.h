/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does a checker catch a planted fault (engine/util/fault.h)? It runs in a child process, as what the fault
 * breaks may stay broken, or crash. For builds with -Dplant=true.
 */
#ifndef UBTRFS_TESTS_UNIT_PLANTS_H
#define UBTRFS_TESTS_UNIT_PLANTS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* True if the checker, run with this fault, complains (returns not 0) or dies. "none" is no fault. */
static inline bool caught(const char *plant, int (*checker)(void))
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		abort();
	if (!pid) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(0);
		setenv("UBTRFS_PLANT", plant, 1);
		_exit(checker() ? 1 : 0);
	}
	if (waitpid(pid, &status, 0) != pid)
		abort();
	return status != 0;
}

struct plant {
	const char *name;
	int (*checker)(void);
};

/* Each checker is content without a fault, and catches those that stand beside it. */
static inline void check_plants(const struct plant *plants, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		if ((!i || plants[i].checker != plants[i - 1].checker) &&
		    caught("none", plants[i].checker)) {
			fprintf(stderr, "%s: its checker complains of nothing\n", plants[i].name);
			abort();
		}
		if (!caught(plants[i].name, plants[i].checker)) {
			fprintf(stderr, "%s: not caught\n", plants[i].name);
			abort();
		}
	}
}

#endif
