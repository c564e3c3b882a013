// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * How long did the tasks of a cgroup and of all below it reclaim memory because a cgroup was at its
 * limit? Reclaim because the machine has no memory, and that by kswapd, does not count.
 * Measured between two tracepoints, and counted for the cgroup v2 of the task. The sum of a subtree
 * is made by rstat, as in the kernel: an event adds to a number of the cgroup and CPU, and a flush
 * passes the number on to the parent. Where a kernel does not allow a program on the flush, the
 * event adds to all ancestors at once. The share of a removed cgroup stays in its ancestors.
 */
#include <cgview/cgview.h>

CGVIEW_NR_CPUS;
CGVIEW_OPTIONAL(vmscan_flush);

/* Only cgroups that have reclaimed, and their ancestors, have an entry. */
#define MAX_CGROUPS 16384

struct vmscan {
	__u64 reclaim_delay CGVIEW_COUNTER("ns", "time spent reclaiming, with descendants")
		CGVIEW_WITH_DESCENDANTS CGVIEW_ABSENT;
	__u64 reclaim_delay_local CGVIEW_COUNTER("ns", "time spent reclaiming, without descendants")
		CGVIEW_ABSENT;
	__u64 reclaims CGVIEW_COUNTER("", "how often memory was reclaimed, with descendants")
		CGVIEW_WITH_DESCENDANTS CGVIEW_ABSENT;
};

struct reclaim {
	__u64 delay; /* ns */
	__u64 count;
};

struct total {
	struct reclaim own;
	struct reclaim subtree;
	struct reclaim pending; /* flushed from children, not yet in `subtree` */
};

/* When the task began to reclaim, in ns. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} started SEC(".maps");

/* By cgroup id: what was not flushed yet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_CGROUPS);
	__type(key, __u64);
	__type(value, struct reclaim);
} unflushed SEC(".maps");

/* By cgroup id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_CGROUPS);
	__type(key, __u64);
	__type(value, struct total);
} totals SEC(".maps");

static __always_inline void add(struct reclaim *to, const struct reclaim *amount)
{
	__sync_fetch_and_add(&to->delay, amount->delay);
	__sync_fetch_and_add(&to->count, amount->count);
}

/* An atomic exchange: another CPU may add meanwhile. */
static __always_inline void take(struct reclaim *from, struct reclaim *amount)
{
	amount->delay += __sync_lock_test_and_set(&from->delay, 0);
	amount->count += __sync_lock_test_and_set(&from->count, 0);
}

static __always_inline struct total *total_of(__u64 id)
{
	static const struct total none;

	return cgview_lookup_or_add(&totals, &id, &none);
}

static __always_inline void add_to_ancestors(struct cgroup *cgrp, const struct reclaim *amount)
{
	__u64 id;

	cgview_for_each_ancestor(id, cgrp)
	{
		struct total *total = total_of(id);

		if (total)
			add(&total->subtree, amount);
	}
}

static __always_inline void add_unflushed(struct cgroup *cgrp, const struct reclaim *amount)
{
	__u64 id = cgview_id(cgrp);
	struct reclaim *here = bpf_map_lookup_elem(&unflushed, &id);

	if (here)
		add(here, amount);
	else
		bpf_map_update_elem(&unflushed, &id, amount, BPF_NOEXIST);
	cgview_updated(cgrp, bpf_get_smp_processor_id());
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_begin")
int BPF_PROG(vmscan_begin)
{
	__u64 *start = bpf_task_storage_get(&started, bpf_get_current_task_btf(), 0,
					    BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (start)
		*start = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_end")
int BPF_PROG(vmscan_end)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 *start = bpf_task_storage_get(&started, task, 0, 0);
	struct cgroup *cgrp = cgview_task_cgroup(task);
	struct reclaim amount = {.count = 1};
	struct total *total;

	if (!start || !*start)
		return 0;
	amount.delay = bpf_ktime_get_ns() - *start;
	*start = 0;
	total = total_of(cgview_id(cgrp));
	if (total)
		add(&total->own, &amount);
	if (cgview_has_vmscan_flush)
		add_unflushed(cgrp, &amount);
	else
		add_to_ancestors(cgrp, &amount);
	return 0;
}

/* The kernel calls bpf_rstat_flush() for each updated cgroup and CPU, children before parents. */
SEC("?fentry/bpf_rstat_flush")
int BPF_PROG(vmscan_flush, struct cgroup *cgrp, struct cgroup *parent, int cpu)
{
	__u64 id = cgview_id(cgrp);
	struct reclaim *here = bpf_map_lookup_percpu_elem(&unflushed, &id, cpu);
	struct total *total = bpf_map_lookup_elem(&totals, &id);
	struct reclaim amount = {};

	if (here)
		take(here, &amount);
	if (total)
		take(&total->pending, &amount);
	if (!amount.delay && !amount.count)
		return 0;
	if (total)
		add(&total->subtree, &amount);
	total = parent ? total_of(cgview_id(parent)) : NULL;
	if (total)
		add(&total->pending, &amount);
	return 0;
}

/* The last flush comes after the release, which deletes the entries: pass on what is left here. */
SEC("tp_btf/cgroup_release")
int BPF_PROG(vmscan_release, struct cgroup *cgrp)
{
	__u64 id = cgview_id(cgrp);
	struct total *total = bpf_map_lookup_elem(&totals, &id);
	struct reclaim amount = {};

	if (!total || !cgview_is_v2(cgrp))
		return 0;
	for (__u32 cpu = 0; cgview_has_vmscan_flush && cpu < cgview_nr_cpus; cpu++) {
		struct reclaim *there = bpf_map_lookup_percpu_elem(&unflushed, &id, cpu);

		if (there)
			take(there, &amount);
	}
	take(&total->pending, &amount);
	if (amount.delay || amount.count)
		add_to_ancestors(cgrp, &amount);
	bpf_map_delete_elem(&unflushed, &id);
	bpf_map_delete_elem(&totals, &id);
	return 0;
}

static __always_inline void prepare_vmscan(struct cgroup *cgrp)
{
	if (cgview_has_vmscan_flush)
		cgview_flush(cgrp);
}

static __always_inline int fill_vmscan(struct cgroup *cgrp, struct vmscan *r)
{
	__u64 id = cgview_id(cgrp);
	struct total *total = bpf_map_lookup_elem(&totals, &id);

	if (!cgview_is_v2(cgrp)) {
		__builtin_memset(r, 0xff, sizeof(*r));
		return 0;
	}
	if (!total)
		return 0;
	r->reclaim_delay = total->subtree.delay;
	r->reclaim_delay_local = total->own.delay;
	r->reclaims = total->subtree.count;
	return 0;
}

CGVIEW_RECORD_PREPARED(vmscan, struct vmscan, prepare_vmscan, fill_vmscan,
		       "How long the tasks of a cgroup spent reclaiming memory");

char LICENSE[] SEC("license") = "Dual MIT/GPL";
