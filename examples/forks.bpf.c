// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * How many processes and threads did the tasks of a cgroup and of all below it start? Summed by
 * rstat: a fork adds to one number, at any depth, and a flush passes it on to the parent. Where the
 * kernel allows no program on the flush, a fork adds to all ancestors at once.
 */
#include <cgview/cgview.h>

struct forks {
	__u64 forks CGVIEW_COUNTER("", "tasks started, with descendants") CGVIEW_WITH_DESCENDANTS;
};

#define CGVIEW_VIEW forks
#define CGVIEW_MAP  counts
#define CGVIEW_RSTAT
#include <cgview/record.bpf.h>
CGVIEW_HELP(forks, "What is started in a cgroup and all below it");

SEC("tp_btf/sched_process_fork")
int BPF_PROG(forks_fork, struct task_struct *parent)
{
	cgview_add_up(counts, cgview_task_cgroup(parent), .forks = 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
