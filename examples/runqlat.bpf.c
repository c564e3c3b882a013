// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * How long do the tasks of this cgroup wait for a CPU? A record view with a histogram. A wait
 * begins when a task is woken or loses its CPU, and ends when it gets one. The view counts the
 * cgroup itself, without those below.
 */
#include <cgview/cgview.h>

struct runqlat {
	struct cgview_hist wait CGVIEW_HIST("ns", "time from being runnable to running");
};

#define CGVIEW_VIEW	   runqlat
#define CGVIEW_MAP	   waits
#define CGVIEW_MAX_CGROUPS 16384
#include <cgview/record.bpf.h>
CGVIEW_HELP(runqlat, "How long tasks wait for a CPU");

CGVIEW_STOPWATCH(waiting);

SEC("tp_btf/sched_wakeup")
int BPF_PROG(runqlat_wakeup, struct task_struct *task)
{
	return cgview_start(waiting, task);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(runqlat_wakeup_new, struct task_struct *task)
{
	return cgview_start(waiting, task);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(runqlat_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	__u64 waited = cgview_stop(waiting, next);

	/* A task that is woken before it sleeps has a stopwatch, too. */
	cgview_stop(waiting, prev);
	if (preempt || !prev_state)
		cgview_start(waiting, prev);
	if (waited)
		cgview_observe(waits, cgview_task_cgroup(next), wait, waited);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
