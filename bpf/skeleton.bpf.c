// SPDX-License-Identifier: MIT OR Apache-2.0
// How many tasks each cgroup starts. Put this file into a directory of views, /etc/cgview/views.d
// by default. Then read /mnt/cgview/CGROUP/MYVIEW, MYVIEW.json, MYVIEW.prom or MYVIEW.tree; the reason why
// there is none is in /mnt/cgview/.cgview/status. docs/authoring.md is the guide.
#include <cgview/cgview.h>

/* What the view shows: a line for each field. Only append fields, for those who read them. */
struct MYVIEW {
	__u64 forks CGVIEW_COUNTER("", "processes and threads started");
};

/*
 * Defines the view, and a map with a struct MYVIEW for each cgroup. An entry goes with its cgroup.
 */
#define CGVIEW_VIEW MYVIEW
#define CGVIEW_MAP  MYVIEW_map
#include <cgview/record.bpf.h>
CGVIEW_HELP(MYVIEW, "What the tasks of a cgroup start");

/* A collector: it runs each time that a task starts another one. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(MYVIEW_fork, struct task_struct *parent)
{
	cgview_add(MYVIEW_map, cgview_task_cgroup(parent), .forks = 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
