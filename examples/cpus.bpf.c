// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * On which CPUs do the tasks of this cgroup run? A record view with a row for each CPU. It counts
 * the cgroup itself, without those below.
 */
#include <cgview/cgview.h>

CGVIEW_NR_CPUS;

struct on_cpu {
	__u32 cpu CGVIEW_KEY("the CPU");
	__u32 _padding;
	__u64 run CGVIEW_COUNTER("ns", "time that tasks ran on it");
	__u64 switches CGVIEW_COUNTER("", "how often a task was put on it");
};

CGVIEW_ROWS(cpus, struct on_cpu, "Where the tasks of a cgroup run");

struct use {
	__u64 run; /* ns */
	__u64 switches;
};

/* When this CPU began to run its task, in ns. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} running SEC(".maps");

/* By cgroup id. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct use);
} uses SEC(".maps");

static __always_inline struct use *use_of(struct task_struct *task)
{
	static const struct use none;
	__u64 id = cgview_id(cgview_task_cgroup(task));

	return cgview_lookup_or_add(&uses, &id, &none);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(cpus_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u64 now = bpf_ktime_get_ns(), *since;
	__u32 zero = 0;
	struct use *use;

	since = bpf_map_lookup_elem(&running, &zero);
	if (!since)
		return 0;
	use = prev->pid && *since ? use_of(prev) : NULL;
	if (use)
		use->run += now - *since;
	*since = now;
	use = next->pid ? use_of(next) : NULL;
	if (use)
		use->switches++;
	return 0;
}

SEC("tp_btf/cgroup_release")
int BPF_PROG(cpus_release, struct cgroup *cgrp)
{
	return cgview_forget(&uses, cgrp);
}

SEC("iter/cgroup")
int cpus(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	struct on_cpu row = {};
	__u64 id;

	if (!cgrp || !cgview_is_v2(cgrp))
		return 0;
	id = cgview_id(cgrp);
	for (__u32 cpu = 0; cpu < cgview_nr_cpus; cpu++) {
		struct use *use = bpf_map_lookup_percpu_elem(&uses, &id, cpu);

		row.cpu = cpu;
		row.run = use ? use->run : 0;
		row.switches = use ? use->switches : 0;
		bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
