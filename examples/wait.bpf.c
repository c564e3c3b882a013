// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What is the longest wait of a task of this cgroup for a CPU? A text view of one line,
 * `<cgroup id> <ns>`, with 0 ns if no task has waited. A wait begins when a task is woken or loses
 * its CPU, ends when it gets one, and counts for the task's cgroup v2. (Some kernels lack the
 * tracepoint sched_stat_wait, and others need kernel.sched_schedstats to be 1.)
 */
#include <cgview/cgview.h>

CGVIEW_HELP(wait, "The cgroup's id and its tasks' longest wait for a CPU in ns");

/* By thread id: when its wait began, in ns. Preallocated, as it is used under run queue locks. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, int);
	__type(value, __u64);
} waiting SEC(".maps");

/* By cgroup id: the longest wait in ns. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u64);
} longest SEC(".maps");

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
	__u64 id = cgview_id(cgview_task_cgroup(task)), none = 0, *max;
	int tid = task->pid;
	__u64 *since = bpf_map_lookup_elem(&waiting, &tid);

	if (!since)
		return;
	max = cgview_lookup_or_add(&longest, &id, &none);
	if (max)
		cgview_max(max, bpf_ktime_get_ns() - *since);
	bpf_map_delete_elem(&waiting, &tid);
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(wait_wakeup, struct task_struct *task)
{
	return begin(task, BPF_NOEXIST);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(wait_wakeup_new, struct task_struct *task)
{
	return begin(task, BPF_NOEXIST);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(wait_switch, bool preempt, struct task_struct *prev, struct task_struct *next,
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
int BPF_PROG(wait_release, struct cgroup *cgrp)
{
	return cgview_forget(&longest, cgrp);
}

SEC("iter/cgroup")
int wait(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	__u64 id, *max;

	if (!cgrp || !cgview_is_v2(cgrp))
		return 0;
	id = cgview_id(cgrp);
	max = bpf_map_lookup_elem(&longest, &id);
	BPF_SEQ_PRINTF(ctx->meta->seq, "%llu %llu\n", id, max ? *max : 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
