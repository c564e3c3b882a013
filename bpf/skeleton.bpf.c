// SPDX-License-Identifier: MIT OR Apache-2.0
// How many tasks each cgroup starts. Put this file into a directory of views, /etc/cgview/views.d
// by default. Then read /mnt/cgview/CGROUP/MYVIEW, MYVIEW.json, MYVIEW.prom or MYVIEW.tree; the reason why
// there is none is in /mnt/cgview/.cgview/status. docs/authoring.md is the guide.
#include <cgview/cgview.h>

/* What the view shows: a line for each field. Only append fields, for those who read them. */
struct MYVIEW {
	__u64 forks CGVIEW_COUNTER("", "processes and threads started");
};

/* What the collector keeps, by cgroup id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct MYVIEW);
} MYVIEW_map SEC(".maps");

/* A collector: it runs each time that a task starts another one. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(MYVIEW_fork, struct task_struct *parent)
{
	__u64 id = cgview_id(cgview_task_cgroup(parent));
	struct MYVIEW none = {}, *it = cgview_lookup_or_add(&MYVIEW_map, &id, &none);

	if (it)
		__sync_fetch_and_add(&it->forks, 1);
	return 0;
}

/* A cgroup that goes takes its entry with it. */
SEC("tp_btf/cgroup_release")
int BPF_PROG(MYVIEW_release, struct cgroup *cgrp)
{
	return cgview_forget(&MYVIEW_map, cgrp);
}

/* Makes the record of one cgroup, for a read. */
static __always_inline int MYVIEW_fill(struct cgroup *cgrp, struct MYVIEW *record)
{
	__u64 id = cgview_id(cgrp);
	struct MYVIEW *it = bpf_map_lookup_elem(&MYVIEW_map, &id);

	if (it)
		*record = *it;
	return !cgview_is_v2(cgrp);
}

CGVIEW_RECORD(MYVIEW, struct MYVIEW, MYVIEW_fill, "What the tasks of a cgroup start");

char LICENSE[] SEC("license") = "Dual MIT/GPL";
