// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * How many processes and threads did the tasks of a cgroup and of all below it start? Summed by
 * rstat: a fork adds to one number, at any depth, and a flush passes it on to the parent. Where the
 * kernel allows no program on the flush, a fork adds to all ancestors at once.
 */
#include <cgview/cgview.h>

CGVIEW_OPTIONAL(forks_flush);

struct forks {
	__u64 forks CGVIEW_COUNTER("", "tasks started, with descendants") CGVIEW_WITH_DESCENDANTS;
	__u64 _pending; /* not flushed yet, or flushed from children and not yet in `forks` */
};

/* By cgroup id. Forks are rare enough for one number for all CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct forks);
} totals SEC(".maps");

static __always_inline struct forks *total_of(__u64 id)
{
	static const struct forks none;

	return cgview_lookup_or_add(&totals, &id, &none);
}

static __always_inline void add_to_ancestors(struct cgroup *cgrp, __u64 forks)
{
	__u64 id;

	cgview_for_each_ancestor(id, cgrp)
	{
		struct forks *total = total_of(id);

		if (total)
			__sync_fetch_and_add(&total->forks, forks);
	}
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(forks_fork, struct task_struct *parent)
{
	struct cgroup *cgrp = cgview_task_cgroup(parent);
	struct forks *total = total_of(cgview_id(cgrp));

	if (!cgview_has_forks_flush) {
		add_to_ancestors(cgrp, 1);
		return 0;
	}
	if (total)
		__sync_fetch_and_add(&total->_pending, 1);
	cgview_updated(cgrp, bpf_get_smp_processor_id());
	return 0;
}

/* The kernel calls bpf_rstat_flush() for each updated cgroup, children before parents. */
SEC("?fentry/bpf_rstat_flush")
int BPF_PROG(forks_flush, struct cgroup *cgrp, struct cgroup *parent)
{
	__u64 id = cgview_id(cgrp), forks;
	struct forks *total = bpf_map_lookup_elem(&totals, &id);

	if (!total || !(forks = __sync_lock_test_and_set(&total->_pending, 0)))
		return 0;
	__sync_fetch_and_add(&total->forks, forks);
	total = parent ? total_of(cgview_id(parent)) : NULL;
	if (total)
		__sync_fetch_and_add(&total->_pending, forks);
	return 0;
}

/* The last flush comes after the release, which deletes the entry: pass on what is left here. */
SEC("tp_btf/cgroup_release")
int BPF_PROG(forks_release, struct cgroup *cgrp)
{
	__u64 id = cgview_id(cgrp);
	struct forks *total = bpf_map_lookup_elem(&totals, &id);

	if (total && cgview_is_v2(cgrp))
		add_to_ancestors(cgrp, __sync_lock_test_and_set(&total->_pending, 0));
	return cgview_forget(&totals, cgrp);
}

static __always_inline int fill_forks(struct cgroup *cgrp, struct forks *r)
{
	__u64 id = cgview_id(cgrp);
	struct forks *total = bpf_map_lookup_elem(&totals, &id);

	if (total)
		*r = *total;
	return !cgview_is_v2(cgrp);
}

CGVIEW_RECORD_FLUSHED(forks, struct forks, fill_forks, "What is started in a cgroup");

char LICENSE[] SEC("license") = "Dual MIT/GPL";
