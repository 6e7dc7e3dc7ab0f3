// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-abuse: who can claim a session, and several that try to, or try too late. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <kselftest.h>
#include "abuse.h"
#include "result.h"
#include "vfio.h"

#define CONTENDERS 4

static int claim_here(void *arg)
{
	struct ticket t = *(struct ticket *)arg;

	return ka_claim(dev, &t);
}

static int claim_as_user(void *arg)
{
	become(USER);
	return claim_here(arg);
}

static int claim_in_namespace(void *arg)
{
	if (unshare(CLONE_NEWUSER))
		return -EOPNOTSUPP;
	return claim_here(arg);
}

void test_claim(void)
{
	struct ticket t, old, wrong, user;
	struct vfio_keepalive_info info;
	__u64 count = 5;
	char text[5];
	int s, fd, r;

	s = session(LONG, &t);
	wrong = t;
	wrong.token[31] ^= 1;
	is(ka_claim(dev, &t), -EBUSY, "claim: its VMM has it");
	is(ka_claim(dev, &wrong), -EACCES, "claim: wrong token, its VMM has it");
	fd = ka_get_fd_by_name(s, "memory");
	check(pwrite(fd, "guest", 5, 0) == 5, "guest memory is written");
	close(fd);
	fd = ka_get_fd_by_name(s, "event");
	close(s);
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_ORPHANED, "an orphan");
	check(!ka_info(dev, t.id, 0, &info) && info.left_ms > LONG - 5000 && info.left_ms <= LONG,
	      "its time runs");
	check(write(fd, &count, 8) == 8, "interrupts come meanwhile");
	close(fd);
	is(ka_claim(dev, &wrong), -EACCES, "claim: wrong token");
	wrong = (struct ticket){ .id = t.id };
	is(ka_claim(dev, &wrong), -EACCES, "claim: token of zeros");
	wrong = t;
	wrong.id = 0x7fffffff;
	is(ka_claim(dev, &wrong), -ENOENT, "claim: no such session");
	is(in_child(claim_as_user, &t), -EPERM, "claim: another user");
	r = in_child(claim_in_namespace, &t);
	if (r == -EOPNOTSUPP)
		result_skip("the kernel has no user namespaces\n");
	else
		is(r, -EPERM, "claim: the same user of another namespace");
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_ORPHANED, "an orphan still");

	old = t;
	s = ka_claim(dev, &t);
	check(s >= 0, "claim");
	check(memcmp(old.token, t.token, 32), "claim: another token");
	is(ka_confirm(s), 0, "confirm");
	is(ka_claim(dev, &old), -ESTALE, "claim: twice");
	is(ka_claim(dev, &t), -EBUSY, "claim: the next token, too early");
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_CLAIMED, "claimed");
	fd = ka_get_fd_by_name(s, "memory");
	check(fd >= 0 && pread(fd, text, 5, 0) == 5 && !memcmp(text, "guest", 5),
	      "guest memory is the same");
	close(fd);
	fd = ka_get_fd_by_name(s, "event");
	check(fd >= 0 && read(fd, &count, 8) == 8 && count == 5, "no interrupt is lost");
	close(fd);
	is(ka_get_fd_by_name(s, "nothing"), -ENOENT, "an item that is not there");
	close(s);
	is(ka_claim(dev, &old), -ESTALE, "claim: an orphan again, the first token");
	s = ka_claim(dev, &t);
	check(s >= 0, "claim: the next token");
	check(!ka_info(s, 0, 0, &info) && info.claims == 2, "claims are counted");
	is(ka_release(dev, t.id, VFIO_KEEPALIVE_RELEASE_FORCE), 0, "release by force");
	is(ka_get_fd(s, 0), -ENODEV, "released: get_fd");
	is(ka_set_state(s, 0, "x", 1), -ENODEV, "released: set_state");
	is(ka_remove(s, 0), -ENODEV, "released: remove");
	fd = eventfd(0, 0);
	is(ka_add(s, fd, VFIO_KEEPALIVE_EVENTFD, "e", 0, NULL, 0), -ENODEV, "released: add");
	close(fd);
	is(ka_claim(dev, &t), -ENOENT, "released: claim");
	close(s);

	/* A session of a user becomes root's, who has CAP_SYS_ADMIN. */
	{
		int p[2];
		pid_t pid;

		if (pipe(p))
			exit(1);
		pid = fork();
		if (!pid) {
			become(USER);
			s = session(LONG, &user);
			_exit(s < 0 || write(p[1], &user, sizeof(user)) != sizeof(user));
		}
		waitpid(pid, NULL, 0);
		if (read(p[0], &user, sizeof(user)) != sizeof(user))
			exit(1);
		close(p[0]);
		close(p[1]);
	}
	check(!ka_info(dev, user.id, 0, &info) && info.uid == USER && !info.pid,
	      "the orphan of a user");
	s = ka_claim(dev, &user);
	check(s >= 0, "claim with CAP_SYS_ADMIN");
	check(!ka_info(dev, user.id, 0, &info) && info.uid == 0, "then it is root's");
	close(s);
	is(in_child(claim_as_user, &user), -EPERM, "and no more the user's");
	is(ka_release(dev, user.id, 0), 0, "release it");
	is(ka_release(dev, user.id, 0), -ENOENT, "release: twice");
}

/* Processes that claim at once: how many got it, and no other error than @lost. */
static int contend(const struct ticket *ticket, bool *odd)
{
	int go[2], result[2], i, r, won = 0;
	pid_t pids[CONTENDERS];

	if (pipe(go) || pipe(result))
		exit(1);
	for (i = 0; i < CONTENDERS; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		close(go[1]);
		r = read(go[0], &r, 1);
		{
			struct ticket t = *ticket;

			r = ka_claim(dev, &t);
		}
		if (write(result[1], &r, sizeof(r)) != sizeof(r))
			_exit(1);
		/* Not an orphan again before all have tried. */
		pause();
	}
	close(go[0]);
	close(go[1]);
	for (i = 0; i < CONTENDERS; i++) {
		if (read(result[0], &r, sizeof(r)) != sizeof(r))
			exit(1);
		if (r >= 0)
			won++;
		else if (r != -EBUSY)
			*odd = true;
	}
	for (i = 0; i < CONTENDERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	close(result[0]);
	close(result[1]);
	return won;
}

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void test_races(void)
{
	int i, s, claimed = 0, expired = 0, ones = 0;
	bool odd = false, bad = false;
	struct ticket t;
	long until;
	int r;

	for (i = 0; i < 20; i++) {
		s = session(LONG, &t);
		close(s);
		ones += contend(&t, &odd) == 1;
		ka_release(dev, t.id, VFIO_KEEPALIVE_RELEASE_FORCE);
	}
	is(ones, 20, "four processes claim at once: one has it, 20 times");
	check(!odd, "the others are told that somebody has it");

	/* The end of the time and a claim, from before to after it. */
	for (i = 0; i < 400; i++) {
		s = session(8, &t);
		until = now_us() + 8000 + (i % 100 - 50) * 200;
		close(s);
		while (now_us() < until)
			;
		r = ka_claim(dev, &t);
		if (r >= 0) {
			claimed++;
			usleep(2000);
			/* Its time must be over no more, and all of it be there. */
			bad |= ka_state(r, 0) < 0;
			s = ka_get_fd(r, 0);
			bad |= s < 0;
			close(s);
			ka_release(dev, t.id, VFIO_KEEPALIVE_RELEASE_FORCE);
			close(r);
		} else {
			expired++;
			bad |= r != -ENOENT;
			bad |= !ka_wait_gone(dev, t.id, 1000);
		}
	}
	ksft_print_msg("claim and time limit: %d claimed, %d expired\n", claimed, expired);
	check(!bad, "claim and time limit: one of them happens");
	check(claimed && expired, "claim and time limit: both were seen");
}
