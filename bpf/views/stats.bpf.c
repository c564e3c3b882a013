// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What is this cgroup and what does it use? A value that cgroupfs also shows (cgroup.stat,
 * cpu.stat, pids.*, memory.*) is equal to that in cgroupfs, with one exception: `user` and `system`
 * may differ by less than a tick (see fill_cpu). A value is absent if its controller is not enabled
 * or the kernel does not count it. The root has no CPU, pids and memory values: the kernel keeps
 * none in the root cgroup.
 */
#include <cgview/cgview.h>

CGVIEW_PAGE_BYTES;

/* A cgroup v2 has one set of tasks for each combination of v1 cgroups that its tasks are in. */
#define MAX_SETS 65536

struct stats {
	__u64 id CGVIEW_GAUGE("", "the cgroup's id, its directory's inode number");
	__u64 level CGVIEW_GAUGE("", "how far below the root of the hierarchy");
	__u64 nr_descendants CGVIEW_GAUGE("", "live cgroups below");
	__u64 nr_dying_descendants CGVIEW_GAUGE("", "removed cgroups below that are still in use");
	__u64 nr_threads CGVIEW_GAUGE("", "threads in this cgroup alone") CGVIEW_ABSENT;
	__u64 usage CGVIEW_COUNTER("ns", "CPU time, with descendants")
		CGVIEW_WITH_DESCENDANTS CGVIEW_ABSENT;
	__u64 user CGVIEW_COUNTER("ns", "CPU time in user mode") CGVIEW_ABSENT;
	__u64 system CGVIEW_COUNTER("ns", "CPU time in the kernel") CGVIEW_ABSENT;
	__u64 nr_periods CGVIEW_COUNTER("", "bandwidth periods that have passed") CGVIEW_ABSENT;
	__u64 nr_throttled CGVIEW_COUNTER("", "periods in which it was throttled") CGVIEW_ABSENT;
	__u64 throttled CGVIEW_COUNTER("ns", "time spent throttled, all CPUs") CGVIEW_ABSENT;
	__u64 pids_current CGVIEW_GAUGE("", "tasks, with descendants") CGVIEW_ABSENT;
	__u64 pids_peak CGVIEW_GAUGE("", "most tasks ever") CGVIEW_ABSENT;
	__u64 memory_current CGVIEW_GAUGE("bytes", "memory, with descendants") CGVIEW_ABSENT;
	__u64 memory_peak CGVIEW_GAUGE("bytes", "most memory ever") CGVIEW_ABSENT;
	__u64 swap_current CGVIEW_GAUGE("bytes", "swap, with descendants") CGVIEW_ABSENT;
	__u64 memory_events_high CGVIEW_COUNTER("", "times over memory.high")
		CGVIEW_WITH_DESCENDANTS CGVIEW_ABSENT;
	__u64 memory_events_max CGVIEW_COUNTER("", "times at memory.max")
		CGVIEW_WITH_DESCENDANTS CGVIEW_ABSENT;
	__u64 memory_events_oom CGVIEW_COUNTER("", "allocations that found no memory")
		CGVIEW_WITH_DESCENDANTS CGVIEW_ABSENT;
	__u64 memory_events_oom_kill CGVIEW_COUNTER("", "processes killed for memory")
		CGVIEW_WITH_DESCENDANTS CGVIEW_ABSENT;
};

struct split {
	__u64 user;   /* ns */
	__u64 system; /* ns */
};

/* By cgroup id: user and system time as last shown. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct split);
} shown SEC(".maps");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	long counter;
} atomic_long_t;

struct page_counter {
	atomic_long_t usage;
	unsigned long watermark;
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
	struct page_counter swap;
	atomic_long_t memory_events[16];
};

struct pids_cgroup {
	struct cgroup_subsys_state css;
	atomic_long_t counter;
	__s64 watermark;
};

struct cfs_bandwidth {
	int nr_periods;
	int nr_throttled;
	__u64 throttled_time;
};

struct task_group {
	struct cgroup_subsys_state css;
	struct cfs_bandwidth cfs_bandwidth;
};

#pragma clang attribute pop

enum memcg_memory_event { MEMCG_HIGH, MEMCG_MAX, MEMCG_OOM, MEMCG_OOM_KILL };

/*
 * floor(part * total / whole) for part <= whole < 2^62, by long division: each step takes as many
 * bits of `total` as fit into 64 bits when multiplied.
 */
static __always_inline __u64 scale(__u64 part, __u64 total, __u64 whole)
{
	__u32 bits = 62 - cgview_log2(whole), left = cgview_log2(total) + 1;
	__u64 result = 0, rest = 0;

	if (!bits || bits > 62)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 64 && left; i++) {
		__u32 take = left < bits ? left : bits;

		left -= take;
		rest = (rest << take) + part * (total >> left & ((1ULL << take) - 1));
		result = (result << take) + rest / whole;
		rest %= whole;
	}
	return result;
}

/*
 * Splits the exact run time into user and system as the kernel's cputime_adjust() does for
 * cpu.stat. `split` is the last result, and gets the new one. A global function: the verifier
 * checks it once and not on each path that calls it.
 */
__noinline int split_cpu(struct split *split, __u64 usage, __u64 user, __u64 system)
{
	if (!split || split->user + split->system >= usage)
		return 0;
	if (!user)
		system = usage;
	else if (system)
		system = scale(system, usage, system + user);
	if (system < split->system)
		system = split->system;
	user = usage - system;
	if (user < split->user) {
		user = split->user;
		system = usage - user;
	}
	split->user = user;
	split->system = system;
	return 0;
}

/*
 * The kernel never lets user or system time go back between two reads of cpu.stat; the map `shown`
 * does the same for this view. While the cgroup runs, the view may differ from cpu.stat, by less
 * than a tick.
 */
static __always_inline void fill_cpu(struct cgroup *cgrp, struct stats *r)
{
	struct split split = {cgrp->prev_cputime.utime, cgrp->prev_cputime.stime};
	struct split *seen;

	r->usage = cgrp->bstat.cputime.sum_exec_runtime;
	r->user = r->system = 0;
	if (!r->usage)
		return;
	seen = bpf_map_lookup_elem(&shown, &r->id);
	if (seen) {
		split.user = seen->user > split.user ? seen->user : split.user;
		split.system = seen->system > split.system ? seen->system : split.system;
	}
	split_cpu(&split, r->usage, cgrp->bstat.cputime.utime, cgrp->bstat.cputime.stime);
	r->user = split.user;
	r->system = split.system;
	if (seen)
		*seen = split;
	else
		bpf_map_update_elem(&shown, &r->id, &split, BPF_NOEXIST);
}

/* The state of a count along the list of task sets. To the verifier the addresses are numbers. */
struct count {
	__u64 cgrp;
	__u64 head;
	__u64 next;
	__u64 threads;
};

/* The list may change meanwhile: if a link is of another cgroup, the memory was reused. */
static int count_set(__u32 i, struct count *count)
{
	struct cgrp_cset_link *link;

	if (count->next == count->head)
		return 1;
	link = (void *)count->next - bpf_core_field_offset(struct cgrp_cset_link, cset_link);
	if ((__u64)BPF_CORE_READ(link, cgrp) != count->cgrp)
		return 1;
	count->threads += BPF_CORE_READ(link, cset, nr_tasks);
	count->next = (__u64)BPF_CORE_READ(link, cset_link.next);
	return 0;
}

/* Whether the cgroup itself has no task, by a counter near the other values that are read. */
static __always_inline bool is_empty(struct cgroup *cgrp)
{
	if (bpf_core_field_exists(cgrp->nr_populated_csets))
		return !cgrp->nr_populated_csets;
	return !cgrp->self.nr_populated_csets;
}

static __always_inline __u64 nr_threads(struct cgroup *cgrp)
{
	struct list_head *head = &cgrp->cset_links;
	struct count count;

	if (is_empty(cgrp))
		return 0;
	for (int tries = 0; tries < 3; tries++) {
		bpf_probe_read_kernel(&count.cgrp, sizeof(count.cgrp), &cgrp);
		bpf_probe_read_kernel(&count.head, sizeof(count.head), &head);
		bpf_probe_read_kernel(&count.next, sizeof(count.next), &head->next);
		count.threads = 0;
		bpf_loop(MAX_SETS, count_set, &count, 0);
		if (count.next == count.head)
			return count.threads;
	}
	return CGVIEW_NO_VALUE;
}

static __always_inline void fill_throttling(struct cgroup_subsys_state *css, struct stats *r)
{
	struct task_group *group = (void *)css;

	if (!css || !bpf_core_field_exists(group->cfs_bandwidth))
		return;
	r->nr_periods = cgview_get(group, cfs_bandwidth.nr_periods);
	r->nr_throttled = cgview_get(group, cfs_bandwidth.nr_throttled);
	r->throttled = cgview_get(group, cfs_bandwidth.throttled_time);
}

static __always_inline void fill_pids(struct cgroup_subsys_state *css, struct stats *r)
{
	struct pids_cgroup *pids = (void *)css;

	if (!css)
		return;
	r->pids_current = cgview_get(pids, counter.counter);
	if (bpf_core_field_exists(pids->watermark))
		r->pids_peak = cgview_get(pids, watermark);
}

#define event(name) bpf_core_enum_value(enum memcg_memory_event, name)

static __always_inline void fill_memory(struct cgroup_subsys_state *css, bool v2, struct stats *r)
{
	struct mem_cgroup *memory = (void *)css;

	if (!css)
		return;
	r->memory_current = cgview_get(memory, memory.usage.counter) * cgview_page_bytes;
	r->memory_peak = cgview_get(memory, memory.watermark) * cgview_page_bytes;
	if (!v2)
		return;
	r->swap_current = cgview_get(memory, swap.usage.counter) * cgview_page_bytes;
	r->memory_events_high = cgview_get(memory, memory_events[event(MEMCG_HIGH)].counter);
	r->memory_events_max = cgview_get(memory, memory_events[event(MEMCG_MAX)].counter);
	r->memory_events_oom = cgview_get(memory, memory_events[event(MEMCG_OOM)].counter);
	r->memory_events_oom_kill =
		cgview_get(memory, memory_events[event(MEMCG_OOM_KILL)].counter);
}

static __always_inline int fill_stats(struct cgroup *cgrp, struct stats *r)
{
	__builtin_memset(r, 0xff, sizeof(*r));
	r->id = cgview_record_id(r);
	r->level = cgrp->level;
	r->nr_descendants = cgrp->nr_descendants;
	r->nr_dying_descendants = cgrp->nr_dying_descendants;
	r->nr_threads = nr_threads(cgrp);
	if (!cgrp->level)
		return 0;
	fill_throttling(cgview_css(cgrp, cpu), r);
	if (cgview_is_v2(cgrp))
		fill_cpu(cgrp, r);
	fill_pids(cgview_css(cgrp, pids), r);
	fill_memory(cgview_css(cgrp, memory), cgview_is_v2(cgrp), r);
	return 0;
}

SEC("tp_btf/cgroup_release")
int BPF_PROG(stats_release, struct cgroup *cgrp)
{
	return cgview_forget(&shown, cgrp);
}

CGVIEW_RECORD_FLUSHED(stats, struct stats, fill_stats,
		      "What a cgroup is and uses: CPU time, tasks, memory");

char LICENSE[] SEC("license") = "Dual MIT/GPL";
