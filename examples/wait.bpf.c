// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What is the longest wait of a task of this cgroup for a CPU? A text view of one line,
 * `<cgroup id> <ns>`, with 0 ns if no task has waited. A wait begins when a task is woken or loses
 * its CPU, ends when it gets one, and counts for the task's cgroup v2. (Some kernels lack the
 * tracepoint sched_stat_wait, and others need kernel.sched_schedstats to be 1.)
 */
#include <cgview/cgview.h>

CGVIEW_HELP(wait, "The cgroup's id and its tasks' longest wait for a CPU in ns");

/* By cgroup: the longest wait in ns. */
#define CGVIEW_MAP   longest
#define CGVIEW_VALUE __u64
#include <cgview/map.bpf.h>

CGVIEW_STOPWATCH(waiting);

SEC("tp_btf/sched_wakeup")
int BPF_PROG(wait_wakeup, struct task_struct *task)
{
	return cgview_start(waiting, task);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(wait_wakeup_new, struct task_struct *task)
{
	return cgview_start(waiting, task);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(wait_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	__u64 waited = cgview_stop(waiting, next);

	/* A task that is woken before it sleeps has a stopwatch, too. */
	cgview_stop(waiting, prev);
	if (preempt || !prev_state)
		cgview_start(waiting, prev);
	if (waited)
		cgview_max(cgview_value(longest, cgview_task_cgroup(next)), waited);
	return 0;
}

SEC("iter/cgroup")
int wait(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = cgview_cgroup(ctx);
	__u64 *max;

	if (!cgrp)
		return 0;
	max = cgview_find(longest, cgrp);
	BPF_SEQ_PRINTF(ctx->meta->seq, "%llu %llu\n", cgview_id(cgrp), max ? *max : 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
