// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * How long did the tasks of a cgroup and of all below it reclaim memory because a cgroup was at its
 * limit? Reclaim because the machine has no memory, and that by kswapd, does not count.
 * Measured between two tracepoints, and counted for the cgroup v2 of the task. The sum of a subtree
 * is made by rstat, as in the kernel, or at once where that cannot be.
 */
#include <cgview/cgview.h>

struct vmscan {
	__u64 reclaim_delay CGVIEW_COUNTER("ns", "time spent reclaiming, with descendants")
		CGVIEW_WITH_DESCENDANTS;
	__u64 reclaim_delay_local CGVIEW_COUNTER("ns",
						 "time spent reclaiming, without descendants");
	__u64 reclaims CGVIEW_COUNTER("", "how often memory was reclaimed, with descendants")
		CGVIEW_WITH_DESCENDANTS;
};

static __always_inline int fill_vmscan(struct cgroup *cgrp, struct vmscan *r)
{
	return cgview_controller_exists(memory) ? 0 : CGVIEW_NO_RECORD;
}

#define CGVIEW_VIEW vmscan
#define CGVIEW_MAP  reclaims
#define CGVIEW_FILL fill_vmscan
#define CGVIEW_RSTAT
#include <cgview/record.bpf.h>
CGVIEW_HELP(vmscan, "How long the tasks of a cgroup spent reclaiming memory");

CGVIEW_STOPWATCH(reclaiming);

SEC("tp_btf/mm_vmscan_memcg_reclaim_begin")
int BPF_PROG(vmscan_begin)
{
	return cgview_start(reclaiming, bpf_get_current_task_btf());
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_end")
int BPF_PROG(vmscan_end)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct cgroup *cgrp = cgview_task_cgroup(task);
	__u64 delay = cgview_stop(reclaiming, task);

	if (!delay)
		return 0;
	cgview_add(reclaims, cgrp, .reclaim_delay_local = delay);
	cgview_add_up(reclaims, cgrp, .reclaim_delay = delay, .reclaims = 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
