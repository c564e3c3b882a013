// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * How often has a program been executed in this cgroup? A map of ENTRIES cgroups, a view straight from it, and another
 * view of the same map, whose program is declared by BPF_PROG() and counts the map's overflow.
 */
#include <cgview/cgview.h>

struct execs {
	__u64 execs CGVIEW_COUNTER("", "programs executed");
};

#define CGVIEW_VIEW	   execs
#define CGVIEW_MAP	   counts
#define CGVIEW_MAX_CGROUPS ENTRIES
#include <cgview/record.bpf.h>
CGVIEW_NAME(execs, "exec-count");

SEC("tp_btf/sched_process_exec")
int BPF_PROG(counts_exec, struct task_struct *task)
{
	cgview_add(counts, cgview_task_cgroup(task), .execs = 1);
	return 0;
}

CGVIEW_NAME(full, "counts.full");
CGVIEW_HELP(full, "Whether a cgroup had no room");
SEC("iter/cgroup")
int BPF_PROG(full, struct bpf_iter_meta *meta, struct cgroup *cgrp)
{
	if (cgrp)
		BPF_SEQ_PRINTF(meta->seq, "%d\n", cgview_overflowed(counts));
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
