// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl metrics: figures for a monitoring system. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handoffs.h"

/**
 * struct metrics - where they go
 * @file:	of the textfile collector, written as a whole; NULL for standard output
 * @http:	as an answer to a request on standard input
 * @open:	OpenMetrics, and not Prometheus' text format, which has names of counters
 *		with their ending in the comments, too
 * @to:		the stream
 * @control:	descriptor of the control device, or -1: kvm-core is not loaded
 */
struct metrics {
	const char *file;
	bool http;
	bool open;
	FILE *to;
	int control;
};

static void head(const struct metrics *m, const char *name, const char *type, const char *help)
{
	const char *end = !m->open && !strcmp(type, "counter") ? "_total" : "";

	/* Text has no type of its own for what is always 1. */
	if (!m->open && !strcmp(type, "info")) {
		type = "gauge";
		end = "_info";
	}
	fprintf(m->to, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, end, help, name, end, type);
}

static void put_instances(const struct metrics *m)
{
	static const char * const states[] = { "loading", "live", "draining", "failed" };
	struct kvm_core_instance_info *list;
	size_t i, n, j;

	n = host_instances(m->control, &list);
	head(m, "kvm_relay_instance", "info", "An instance of KVM that is loaded.");
	for (i = 0; i < n; i++)
		fprintf(m->to, "kvm_relay_instance_info{instance=\"%s\",source=\"%s\"} 1\n",
			list[i].name, list[i].source);
	head(m, "kvm_relay_instance_state", "gauge", "1 for the state that it is in.");
	for (i = 0; i < n; i++)
		for (j = 0; j < sizeof(states) / sizeof(*states); j++)
			fprintf(m->to,
				"kvm_relay_instance_state{instance=\"%s\",state=\"%s\"} %d\n",
				list[i].name, states[j], !strcmp(list[i].state, states[j]));
	head(m, "kvm_relay_instance_default", "gauge", "1 if /dev/kvm opens it.");
	for (i = 0; i < n; i++)
		fprintf(m->to, "kvm_relay_instance_default{instance=\"%s\"} %d\n", list[i].name,
			!!(list[i].flags & KVM_CORE_INSTANCE_DEFAULT));
	head(m, "kvm_relay_instance_vms", "gauge", "VMs that are on it.");
	for (i = 0; i < n; i++)
		fprintf(m->to, "kvm_relay_instance_vms{instance=\"%s\"} %u\n", list[i].name,
			list[i].vms);
	free(list);
}

/* VMs that do not go, as far as that was tried: one line for each reason. */
static void put_stuck(const struct metrics *m)
{
	const struct kvm_core_handoff **stuck, *h;
	struct kvm_core_handoff *all;
	size_t i, j, n, nr, found = 0;
	unsigned int count;
	struct vm *vms;

	n = host_vms(&vms);
	nr = history_all(m->control, &all);
	stuck = calloc(n + 1, sizeof(*stuck));
	if (!stuck)
		die_errno(NULL);
	for (i = 0; i < n; i++) {
		h = history_stuck(all, nr, &vms[i]);
		if (h)
			stuck[found++] = h;
	}
	head(m, "kvm_relay_vms_stuck", "gauge",
	     "VMs whose last handoff, or dry run of one, failed, and that are where they were.");
	for (i = 0; i < found; i++) {
		h = stuck[i];
		if (!h)
			continue;
		count = 0;
		for (j = i; j < found; j++) {
			if (!stuck[j] || stuck[j]->stage != h->stage || stuck[j]->error != h->error)
				continue;
			count++;
			stuck[j] = NULL;
		}
		fprintf(m->to, "kvm_relay_vms_stuck{stage=\"%s\",errno=\"%s\"} %u\n",
			handoff_stage(h->stage), say_errno(h->error), count);
	}
	free(stuck);
	free(all);
	free(vms);
}

static void put_failures(const struct metrics *m)
{
	struct kvm_core_failures f = { .index = 0 };
	unsigned int i;

	head(m, "kvm_relay_handoff_failures", "counter", "Handoffs that failed.");
	for (i = 0;; i++) {
		f.index = i;
		if (ioctl(m->control, KVM_CORE_FAILURES, &f))
			break;
		fprintf(m->to, "kvm_relay_handoff_failures_total{stage=\"%s\",errno=\"%s\",",
			handoff_stage(f.stage), say_errno(f.error));
		fprintf(m->to, "asked_by=\"%s\"} %llu\n",
			f.flags & KVM_CORE_HANDOFF_OWN ? "vmm" : "operator", f.count);
	}
}

static void put_handoffs(const struct metrics *m)
{
	struct kvm_core_stats s = { .argsz = sizeof(s) };
	unsigned long long sum = 0;
	int i;

	if (ioctl(m->control, KVM_CORE_STATS, &s))
		die_errno("KVM_CORE_STATS");
	head(m, "kvm_relay_handoffs", "counter", "Handoffs that were done.");
	fprintf(m->to, "kvm_relay_handoffs_total{asked_by=\"operator\"} %llu\n", s.moved);
	fprintf(m->to, "kvm_relay_handoffs_total{asked_by=\"vmm\"} %llu\n", s.moved_own);
	fprintf(m->to, "kvm_relay_handoffs_total{asked_by=\"adopter\"} %llu\n", s.adopted);
	head(m, "kvm_relay_dry_runs", "counter", "Handoffs that were only tried.");
	fprintf(m->to, "kvm_relay_dry_runs_total{result=\"could\"} %llu\n", s.dry_runs);
	fprintf(m->to, "kvm_relay_dry_runs_total{result=\"could_not\"} %llu\n", s.dry_runs_failed);
	put_failures(m);
	head(m, "kvm_relay_stopped_seconds", "histogram",
	     "How long a guest did not run, of handoffs that were done.");
	for (i = 0; i < KVM_CORE_STOPPED_BUCKETS; i++) {
		sum += s.stopped[i];
		if (i < KVM_CORE_STOPPED_BUCKETS - 1)
			fprintf(m->to, "kvm_relay_stopped_seconds_bucket{le=\"%g\"} %llu\n",
				s.bound_us[i] / 1e6, sum);
		else
			fprintf(m->to, "kvm_relay_stopped_seconds_bucket{le=\"+Inf\"} %llu\n", sum);
	}
	fprintf(m->to, "kvm_relay_stopped_seconds_count %llu\n", sum);
	fprintf(m->to, "kvm_relay_stopped_seconds_sum %.9f\n", s.stopped_ns / 1e9);
}

static void put_sessions(const struct metrics *m)
{
	unsigned long long memory = 0;
	struct vfio_keepalive_info *list;
	unsigned int count, state;
	double least = -1;
	size_t i, n;

	if (!host_has_module("vfio_keepalive"))
		return;
	n = devices_list(&list);
	head(m, "kvm_relay_sessions", "gauge", "Sessions that keep passed-through devices.");
	for (state = VFIO_KEEPALIVE_ACTIVE; state <= VFIO_KEEPALIVE_RELEASED; state++) {
		for (i = 0, count = 0; i < n; i++)
			count += list[i].state == state;
		fprintf(m->to, "kvm_relay_sessions{state=\"%s\"} %u\n", devices_state(state),
			count);
	}
	for (i = 0; i < n; i++) {
		memory += list[i].memory;
		if (list[i].state == VFIO_KEEPALIVE_ORPHANED &&
		    (least < 0 || list[i].left_ms / 1e3 < least))
			least = list[i].left_ms / 1e3;
	}
	head(m, "kvm_relay_sessions_memory_bytes", "gauge", "Memory that they keep.");
	fprintf(m->to, "kvm_relay_sessions_memory_bytes %llu\n", memory);
	head(m, "kvm_relay_orphan_left_seconds", "gauge",
	     "Time until the devices of the next orphan are reset.");
	if (least >= 0)
		fprintf(m->to, "kvm_relay_orphan_left_seconds %.3f\n", least);
	free(list);
}

static void put_rings(const struct metrics *m)
{
	FILE *f = fopen("/sys/module/dirty_ring/parameters/dropped", "re");
	unsigned long long n;

	if (!f)
		return;
	if (fscanf(f, "%llu", &n) == 1) {
		head(m, "kvm_relay_ring_dropped_pages", "counter",
		     "Pages that were written and had no room in a dirty ring.");
		fprintf(m->to, "kvm_relay_ring_dropped_pages_total %llu\n", n);
	}
	fclose(f);
}

static void put_all(struct metrics *m)
{
	bool loaded = host_has_module("kvm_core");

	head(m, "kvm_relay_up", "gauge", "1 if kvm-core is loaded.");
	fprintf(m->to, "kvm_relay_up %d\n", loaded);
	if (loaded) {
		m->control = host_control();
		put_instances(m);
		put_handoffs(m);
		put_stuck(m);
		close(m->control);
	}
	put_sessions(m);
	put_rings(m);
	if (m->open)
		fputs("# EOF\n", m->to);
}

/* All of it, to be freed: a failure in the middle leaves nothing behind. */
static char *text_of(struct metrics *m, size_t *size)
{
	char *text = NULL;

	m->to = open_memstream(&text, size);
	if (!m->to)
		die_errno(NULL);
	put_all(m);
	if (fclose(m->to))
		die_errno(NULL);
	return text;
}

/* Who reads it sees all of the one or all of the other. */
static void to_file(struct metrics *m)
{
	char *temporary, *text;
	size_t size;
	FILE *f;
	int fd;

	text = text_of(m, &size);
	/* The collector reads files that end with .prom. */
	if (asprintf(&temporary, "%s.%d", m->file, getpid()) < 0)
		die_errno(NULL);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f)
		die_errno("%s", temporary);
	if (fwrite(text, 1, size, f) != size || fflush(f) || fsync(fd) || fclose(f) ||
	    rename(temporary, m->file)) {
		unlink(temporary);
		die_errno("%s", m->file);
	}
	free(temporary);
	free(text);
}

/* Whatever is asked for, it is these; only the end of the request has to be seen. */
static void to_http(struct metrics *m)
{
	char line[4096], *text;
	size_t size;

	alarm(10);
	while (fgets(line, sizeof(line), stdin) && *line != '\r' && *line != '\n')
		;
	m->open = true;
	text = text_of(m, &size);
	printf("HTTP/1.1 200 OK\r\n"
	       "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
	       "Content-Length: %zu\r\nConnection: close\r\n\r\n", size);
	fwrite(text, 1, size, stdout);
	free(text);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct metrics *m = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		return 0;
	case 'o':
		m->file = arg;
		return 0;
	case 'H':
		m->http = true;
		return 0;
	case ARGP_KEY_END:
		if (m->file && m->http)
			argp_error(state, "one of --output and --http");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/**
 * metrics_main - kvmctl metrics
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int metrics_main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "output", 'o', "FILE", 0,
		  "Write FILE as a whole, in Prometheus' text format, for the textfile collector",
		  0 },
		{ "http", 'H', NULL, 0,
		  "Answer a request on standard input, as a socket unit of systemd has it", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "Prints figures of the host, as OpenMetrics.",
		.children = common_options,
	};
	struct metrics m = { .control = -1 };

	argp_parse(&argp, argc, argv, 0, NULL, &m);
	if (m.file) {
		to_file(&m);
	} else if (m.http) {
		to_http(&m);
	} else {
		m.to = stdout;
		m.open = true;
		put_all(&m);
	}
	return 0;
}
