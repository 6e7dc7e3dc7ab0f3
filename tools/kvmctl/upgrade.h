/* SPDX-License-Identifier: GPL-2.0-only */
/* What an upgrade has to know to go on, and to go back. */
#ifndef __UPGRADE_H
#define __UPGRADE_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

#include "handoffs.h"

#define UPGRADE_DIR	"/run/kvm-relay"

/* Phases, in order; that of the state is begun and not ended. */
#define PHASE_LOAD	"load"
#define PHASE_CHECK	"check"
#define PHASE_MOVE	"move"
#define PHASE_VERIFY	"verify"
#define PHASE_UNLOAD	"unload"
#define PHASE_DONE	"done"
/* It goes back, or is back. */
#define PHASE_BACK	"back"
#define PHASE_UNDONE	"undone"

/*
 * The state is a JSON object:
 *
 *   epoch    of host_epoch()
 *   began    seconds since 1970
 *   phase    one of the above
 *   target   name, source, file, params; loaded: the upgrade has loaded it
 *   from     array of those that go: name, source, params, state before; file: from which
 *            the same build can be loaded again, or absent
 *   default  the instance that /dev/kvm opened before
 *   vms      object: for the number of each VM the instance that it was on
 *   no_way_back  instances without a file are unloaded as well
 *   keep     none is unloaded
 *   failed   VMs that stay where they were
 *   options  of the command line: deadline_us, timeout_ms, jobs, retry, max_failures
 */
/* upgrade-state.c */
bool state_lock(void);
json_t *state_load(void);
void state_save(json_t *state);
void state_remove(void);
bool state_is_open(const json_t *state);
const char *state_string(const json_t *o, const char *key);
void state_phase(json_t *state, const char *phase);

/* An instance that has no VM any more is let go by those that have /dev/kvm open for a moment. */
#define UNLOAD_WAIT_S	10

/**
 * struct upgrade - the command line, and what there is
 * @o:		how VMs are moved
 * @dry:	only say what would be done
 * @resume:	go on with the one that was interrupted
 * @keep:	unload nothing
 * @no_way_back: unload also what cannot be loaded again
 * @what:	number or file
 * @params:	of the module
 * @control:	descriptor of the control device
 * @state:	of this one
 * @last:	of the one before, or NULL
 * @began:	of the phase
 */
struct upgrade {
	struct handoff_options o;
	bool dry;
	bool resume;
	bool keep;
	bool no_way_back;
	const char *what;
	char *params;
	int control;
	json_t *state;
	json_t *last;
	struct timespec began;
};

/* Of retry and max_failures: not given on the command line. */
#define UPGRADE_NOT_GIVEN (~0U)

/* upgrade-step.c: what going on and going back have in common */
json_t *upgrade_target(const struct upgrade *u);
const char *upgrade_name(const struct upgrade *u);
void upgrade_tell(const struct upgrade *u, const char *event, const char *format, ...)
	__printf(3, 4);
bool upgrade_is_in(const struct upgrade *u, const char *phase);
void upgrade_begin(struct upgrade *u, const char *phase);
double upgrade_seconds(const struct upgrade *u);
const char *upgrade_time(const json_t *state);
void upgrade_handoffs(struct upgrade *u, struct handoffs *h, const char *phase);
bool upgrade_is_from(const struct upgrade *u, const char *instance);
bool upgrade_drain(const struct upgrade *u, const char *name, bool drain);
bool upgrade_info(const struct upgrade *u, const char *name,
		  struct kvm_core_instance_info *info);
bool upgrade_load(const json_t *what);
json_t *upgrade_options_json(const struct handoff_options *o);
void upgrade_options(struct upgrade *u);

/* upgrade-plan.c */
json_t *upgrade_plan(struct upgrade *u);
bool upgrade_unloads(const struct upgrade *u, const json_t *f);
void upgrade_say_plan(struct upgrade *u);

/* upgrade-back.c */
bool upgrade_go_back(struct upgrade *u);

#endif
