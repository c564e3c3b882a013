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

/* By thread id: when its wait began, in ns. Preallocated, as it is used under run queue locks. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, int);
	__type(value, __u64);
} waiting SEC(".maps");

/* By cgroup id: the waits in ns. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct cgview_hist);
} waits SEC(".maps");

static __always_inline int begin(struct task_struct *task, __u64 flags)
{
	__u64 now = bpf_ktime_get_ns();
	int tid = task->pid;

	/* Each CPU's idle task has id 0. */
	if (tid)
		bpf_map_update_elem(&waiting, &tid, &now, flags);
	return 0;
}

static __always_inline void end(struct task_struct *task)
{
	static const struct cgview_hist none;
	__u64 id = cgview_id(cgview_task_cgroup(task)), *since;
	struct cgview_hist *hist;
	int tid = task->pid;

	since = bpf_map_lookup_elem(&waiting, &tid);
	if (!since)
		return;
	hist = cgview_lookup_or_add(&waits, &id, &none);
	if (hist)
		cgview_hist_add(hist, bpf_ktime_get_ns() - *since);
	bpf_map_delete_elem(&waiting, &tid);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(runqlat_wakeup, struct task_struct *task)
{
	return begin(task, BPF_NOEXIST);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(runqlat_wakeup_new, struct task_struct *task)
{
	return begin(task, BPF_NOEXIST);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(runqlat_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	int tid = prev->pid;

	if (preempt || !prev_state)
		begin(prev, BPF_ANY);
	else
		bpf_map_delete_elem(&waiting, &tid);
	end(next);
	return 0;
}

SEC("tp_btf/cgroup_release")
int BPF_PROG(runqlat_release, struct cgroup *cgrp)
{
	return cgview_forget(&waits, cgrp);
}

static __always_inline int fill_runqlat(struct cgroup *cgrp, struct runqlat *r)
{
	__u64 id = cgview_id(cgrp);
	struct cgview_hist *hist = bpf_map_lookup_elem(&waits, &id);

	/* A cgroup whose tasks never waited has an empty histogram, not "no record". */
	return !cgview_is_v2(cgrp) || (hist && cgview_hist_merge(&r->wait, hist));
}

CGVIEW_RECORD(runqlat, struct runqlat, fill_runqlat, "How long tasks wait for a CPU");

char LICENSE[] SEC("license") = "Dual MIT/GPL";
