// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * On which CPUs do the tasks of this cgroup and of those below stall? A record view with a row for
 * each CPU, of the numbers whose average cpu.pressure, memory.pressure and io.pressure show. If PSI
 * is off, there are no rows.
 */
#include <cgview/cgview.h>

CGVIEW_NR_CPUS;

struct stall {
	__u32 cpu CGVIEW_KEY("the CPU");
	__u32 running CGVIEW_GAUGE("", "tasks that run or wait for the CPU");
	__u32 iowait CGVIEW_GAUGE("", "tasks that wait for I/O");
	__u32 memstall CGVIEW_GAUGE("", "tasks that wait for memory");
	/*
	 * The kernel's counters have 32 bits: read them twice within 4 s and subtract modulo 2^32.
	 * They include the time up to the last change of the cgroup's state on the CPU.
	 */
	__u32 io_some_ns CGVIEW_GAUGE("", "time that some waited for I/O, modulo 2^32");
	__u32 memory_some_ns CGVIEW_GAUGE("", "time that some waited for memory, modulo 2^32");
	__u32 memory_full_ns CGVIEW_GAUGE("", "time that all waited for memory, modulo 2^32");
	__u32 cpu_some_ns CGVIEW_GAUGE("", "time that some waited for the CPU, modulo 2^32");
};

CGVIEW_ROWS(psi, struct stall, "Where the tasks of a cgroup stall");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct psi_group_cpu {
	__u32 tasks[3]; /* by enum psi_task_count: iowait, memstall, running */
	__u32 times[5]; /* by enum psi_states: io some, full, memory some, full, cpu some */
};

struct psi_group {
	struct psi_group *parent;
	struct psi_group_cpu *pcpu;
};

struct cgroup_subsys_state___psi {
	struct cgroup___psi *cgroup;
	struct list_head sibling, children;
};

struct cgroup___psi {
	struct cgroup_subsys_state___psi self;
	struct psi_group *psi;
};
#pragma clang attribute pop

/* For cgview_per_cpu(). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} anchor SEC(".maps");

/* The root cgroup has no pointer to its group, but the group of each child has it as parent. */
static __always_inline struct psi_group *psi_of(struct cgroup___psi *cgrp, int level)
{
	void *children = (void *)cgrp + bpf_core_field_offset(struct cgroup___psi, self.children);
	void *child = BPF_CORE_READ(cgrp, self.children.next);

	if (level || child == children)
		return BPF_CORE_READ(cgrp, psi);
	child -= bpf_core_field_offset(struct cgroup_subsys_state___psi, sibling);
	return BPF_CORE_READ((struct cgroup_subsys_state___psi *)child, cgroup, psi, parent);
}

SEC("iter/cgroup")
int psi(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	struct psi_group *psi;

	if (!cgrp || !cgview_is_v2(cgrp))
		return 0;
	psi = psi_of((void *)cgrp, cgrp->level);
	for (__u32 cpu = 0; psi && cpu < cgview_nr_cpus; cpu++) {
		struct psi_group_cpu all = {}, *kernels;
		struct stall row = {.cpu = cpu};

		kernels = cgview_per_cpu(&anchor, BPF_CORE_READ(psi, pcpu), cpu);
		BPF_CORE_READ_INTO(&all.tasks, kernels, tasks);
		BPF_CORE_READ_INTO(&all.times, kernels, times);
		row.iowait = all.tasks[0];
		row.memstall = all.tasks[1];
		row.running = all.tasks[2];
		row.io_some_ns = all.times[0];
		row.memory_some_ns = all.times[2];
		row.memory_full_ns = all.times[3];
		row.cpu_some_ns = all.times[4];
		bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
