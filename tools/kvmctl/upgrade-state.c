// SPDX-License-Identifier: GPL-2.0-only
/* The file that an upgrade leaves behind; upgrade.h tells what is in it. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvmctl.h"
#include "upgrade.h"

#define STATE	UPGRADE_DIR "/upgrade.json"

/**
 * state_lock - be the only one at work, until this program ends
 *
 * Return: false if another is.
 */
bool state_lock(void)
{
	int fd;

	if (mkdir(UPGRADE_DIR, 0755) && errno != EEXIST)
		die_errno(UPGRADE_DIR);
	fd = open(UPGRADE_DIR "/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		die_errno(UPGRADE_DIR "/lock");
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return true;
	close(fd);
	return false;
}

/**
 * state_load - that of the last upgrade
 *
 * Return: a reference; NULL if there is none since kvm-core was loaded.
 */
json_t *state_load(void)
{
	json_error_t error;
	json_t *state;

	if (access(STATE, F_OK))
		return NULL;
	state = json_load_file(STATE, 0, &error);
	if (!state)
		die(STATE ": %s", error.text);
	/* VMs of the same numbers were others, and the instances are gone. */
	if ((unsigned long long)json_integer_value(json_object_get(state, "epoch")) == host_epoch())
		return state;
	json_decref(state);
	return NULL;
}

/**
 * state_save - whatever happens to this program, this is known
 * @state: all of it
 */
void state_save(json_t *state)
{
	const char *temporary = STATE ".new";
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || json_dumpfd(state, fd, JSON_INDENT(2)) || fsync(fd) || close(fd) ||
	    rename(temporary, STATE))
		die_errno(STATE);
}

/**
 * state_remove - there has been none
 */
void state_remove(void)
{
	if (unlink(STATE) && errno != ENOENT)
		die_errno(STATE);
}

/**
 * state_is_open - is there something left to be done, or undone?
 * @state: or NULL
 */
bool state_is_open(const json_t *state)
{
	const char *phase = state ? state_string(state, "phase") : PHASE_DONE;

	return strcmp(phase, PHASE_DONE) && strcmp(phase, PHASE_UNDONE);
}

/**
 * state_string - a member that is a string
 * @o: an object
 * @key: of the member
 *
 * Return: "" if it is none.
 */
const char *state_string(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/**
 * state_phase - this is what it does from now on
 * @state: all of it, which is saved
 * @phase: one of PHASE_*
 */
void state_phase(json_t *state, const char *phase)
{
	json_object_set_new(state, "phase", json_string(phase));
	state_save(state);
}
