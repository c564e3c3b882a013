// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * How long do the tasks of this cgroup wait for a CPU? A record view with a histogram; the wait
 * begins when a task is woken or loses its CPU and ends when it gets one. Of this cgroup alone,
 * not of those below.
 */
#include "cgview.h"

struct runqlat {
	struct cgview_hist wait CGVIEW_HIST("ns", "time from being runnable to running");
};

/* By thread id: since when it waits, in ns. Preallocated: this runs under run queue locks. */
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

	/* 0 is the idle task of each CPU. */
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

	/* Non-zero is "no record here"; a cgroup none of whose tasks was seen has an empty one. */
	return !cgview_is_v2(cgrp) || (hist && cgview_hist_merge(&r->wait, hist));
}

CGVIEW_RECORD(runqlat, struct runqlat, fill_runqlat, "How long tasks wait for a CPU");

char LICENSE[] SEC("license") = "Dual MIT/GPL";
