// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A template: each inclusion defines a map with a value for each cgroup v2, by cgroup id. The
 * kernel calls the map's release program when a cgroup is gone, and the program deletes the entry.
 *
 *	#define CGVIEW_MAP longest		the name of the map
 *	#define CGVIEW_VALUE __u64		the type of a value
 *	#include <cgview/map.bpf.h>
 *
 * map.h lists what programs do with the map. Any of these may be defined too, before the inclusion:
 *	CGVIEW_MAX_CGROUPS	the number of entries; default 65536. Only cgroups for which a
 *				program asked by cgview_value() or an addition have one.
 *	CGVIEW_PERCPU		a value for each CPU; cgview_value() gives that of this CPU.
 *	CGVIEW_RSTAT		cgview_add_up() adds to one entry only, and a flush of rstat makes
 *				the sums. Where the kernel allows no program on the flush, the sums
 *				are made at once. The view has to flush: record.bpf.h does so.
 *	CGVIEW_KEPT		as CGVIEW_KEEP.
 * All are undefined afterwards.
 *
 * Why no entry stays for a cgroup that is gone: rmdir first takes CSS_ONLINE away, then waits for
 * all RCU readers, and only then may the last reference go, which is when the kernel calls the
 * release program. A program is an RCU reader, and adds an entry only if the cgroup has CSS_ONLINE
 * or a socket of this packet holds a reference to it. The release program stands before all
 * programs that can use the map, so it is attached first.
 */
#ifndef CGVIEW_MAP
#error "define CGVIEW_MAP, the name of the map, before <cgview/map.bpf.h>"
#endif
#ifndef CGVIEW_VALUE
#error "define CGVIEW_VALUE, the type of the map's values, before <cgview/map.bpf.h>"
#endif
#ifndef CGVIEW_MAX_CGROUPS
#define CGVIEW_MAX_CGROUPS 65536
#endif
#ifdef CGVIEW_PERCPU
#define cgview__type BPF_MAP_TYPE_PERCPU_HASH
#else
#define cgview__type BPF_MAP_TYPE_HASH
#endif
#ifdef CGVIEW_KEPT
#define cgview__kept CGVIEW_KEEP
#else
#define cgview__kept
#endif

#define cgview__m(what) cgview__join(cgview_, what, cgview__join(_, CGVIEW_MAP, ))
#define cgview__numbers (sizeof(CGVIEW_VALUE) / sizeof(__u64))

#define cgview__entry  cgview__m(entry)
#define cgview__sum    cgview__m(sum)
#define cgview__packet cgview__m(packet)
#define cgview__rest   cgview__m(rest)

typedef CGVIEW_VALUE cgview__m(type);

struct cgview__entry {
	CGVIEW_VALUE value;
#ifdef CGVIEW_RSTAT
	CGVIEW_VALUE pending; /* flushed from children, not yet in `value` */
#endif
};

struct {
	__uint(type, cgview__type);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CGVIEW_MAX_CGROUPS);
	__type(key, __u64);
	__type(value, struct cgview__entry);
} CGVIEW_MAP SEC(".maps") cgview__kept;

static const struct cgview__entry cgview__m(zero);
static volatile bool cgview__m(overflow);

static __always_inline CGVIEW_VALUE *cgview__m(find)(struct cgroup *cgrp)
{
	__u64 id = cgview_id(cgrp);

	return cgview_is_v2(cgrp) ? bpf_map_lookup_elem(&CGVIEW_MAP, &id) : NULL;
}

static cgview__outline struct cgview__entry *cgview__m(new)(__u64 id)
{
	struct cgview__entry *entry;

	bpf_map_update_elem(&CGVIEW_MAP, &id, &cgview__m(zero), BPF_NOEXIST);
	/* Also if another CPU was first. */
	entry = bpf_map_lookup_elem(&CGVIEW_MAP, &id);
	if (!entry)
		cgview__m(overflow) = true;
	return entry;
}

static __always_inline struct cgview__entry *cgview__m(entry_of)(__u64 id, bool may_add)
{
	struct cgview__entry *entry = bpf_map_lookup_elem(&CGVIEW_MAP, &id);

	return entry || !may_add ? entry : cgview__m(new)(id);
}

static __always_inline CGVIEW_VALUE *cgview__m(value)(struct cgroup *cgrp)
{
	struct cgview__entry *entry;

	if (!cgview_is_v2(cgrp))
		return NULL;
	entry = cgview__m(entry_of)(cgview_id(cgrp), cgview_follow(cgrp, self.flags) & CSS_ONLINE);
	return entry ? &entry->value : NULL;
}

static __always_inline void cgview__m(add)(struct cgroup *cgrp, CGVIEW_VALUE amount)
{
	CGVIEW_VALUE *value = cgview__m(value)(cgrp);

	if (value)
		cgview__add_all(value, &amount, cgview__numbers);
}

/* A cgroup, which is a number to the verifier, and the amount for it and its ancestors. */
struct cgview__sum {
	__u64 cgrp;
	CGVIEW_VALUE amount;
};

static cgview__outline int cgview__m(add_level)(__u32 i, struct cgview__sum *sum)
{
	struct cgroup *cgrp = (void *)sum->cgrp;
	struct cgroup_subsys_state *parent = cgview_get(cgrp, self.parent);
	struct kernfs_node *node = cgview_get(cgrp, kn);
	struct cgview__entry *entry;

	entry = cgview__m(entry_of)(cgview_get(node, id),
				    cgview_get(cgrp, self.flags) & CSS_ONLINE);
	if (entry)
		cgview__add_all(&entry->value, &sum->amount, cgview__numbers);
	if (!parent)
		return 1;
	sum->cgrp = (__u64)cgview_get(parent, cgroup);
	return 0;
}

static __always_inline void cgview__m(add_levels)(struct cgroup *cgrp, const CGVIEW_VALUE *amount)
{
	struct cgview__sum sum = {.amount = *amount};

	bpf_probe_read_kernel(&sum.cgrp, sizeof(sum.cgrp), &cgrp);
	bpf_loop(CGVIEW_MAX_LEVELS, cgview__m(add_level), &sum, 0);
}

struct cgview__packet {
	struct __sk_buff *skb;
	CGVIEW_VALUE amount;
};

static cgview__outline int cgview__m(add_packet)(__u32 level, struct cgview__packet *packet)
{
	__u64 id = bpf_skb_ancestor_cgroup_id(packet->skb, level);
	struct cgview__entry *entry;

	if (!id)
		return 1;
	entry = cgview__m(entry_of)(id, true);
	if (entry)
		cgview__add_all(&entry->value, &packet->amount, cgview__numbers);
	return 0;
}

static __always_inline void cgview__m(add_up_skb)(struct __sk_buff *skb, CGVIEW_VALUE amount)
{
	struct cgview__packet packet = {skb, amount};

	bpf_loop(CGVIEW_MAX_LEVELS, cgview__m(add_packet), &packet, 0);
}

#ifndef CGVIEW_RSTAT

static __always_inline void cgview__m(add_up)(struct cgroup *cgrp, CGVIEW_VALUE amount)
{
	if (cgview_is_v2(cgrp))
		cgview__m(add_levels)(cgrp, &amount);
}

SEC("tp_btf/cgroup_release")
int cgview__prog(cgview__m(release), struct cgroup *cgrp)
{
	__u64 id = cgview_id(cgrp);

	if (cgview_is_v2(cgrp))
		bpf_map_delete_elem(&CGVIEW_MAP, &id);
	return 0;
}

#else /* CGVIEW_RSTAT */

cgview__optional(cgview__m(flush));
#define cgview__can_flush cgview__join(cgview_has_, cgview__m(flush), )

/* By cgroup id: what was not flushed yet. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CGVIEW_MAX_CGROUPS);
	__type(key, __u64);
	__type(value, CGVIEW_VALUE);
} cgview__m(unflushed) SEC(".maps");

/*
 * The first time it makes entries for the cgroup and all its ancestors: a flush has interrupts off,
 * and the kernel gives memory for no more than some fifty entries until they are on again.
 */
static __always_inline CGVIEW_VALUE *cgview__m(unflushed_of)(struct cgroup *cgrp)
{
	__u64 id = cgview_id(cgrp);
	CGVIEW_VALUE *here = bpf_map_lookup_elem(&cgview__m(unflushed), &id);

	if (here)
		return here;
	cgview__m(add_levels)(cgrp, &cgview__m(zero).value);
	if (!bpf_map_lookup_elem(&CGVIEW_MAP, &id))
		return NULL;
	return cgview_lookup_or_add(&cgview__m(unflushed), &id, &cgview__m(zero));
}

static __always_inline void cgview__m(add_up)(struct cgroup *cgrp, CGVIEW_VALUE amount)
{
	CGVIEW_VALUE *here;

	if (!cgview_is_v2(cgrp))
		return;
	here = cgview__can_flush ? cgview__m(unflushed_of)(cgrp) : NULL;
	if (!here) {
		cgview__m(add_levels)(cgrp, &amount);
		return;
	}
	cgview__add_all(here, &amount, cgview__numbers);
	cgview_updated(cgrp, bpf_get_smp_processor_id());
}

struct cgview__rest {
	__u64 id;
	CGVIEW_VALUE amount;
};

static int cgview__m(take_cpu)(__u32 cpu, struct cgview__rest *rest)
{
	CGVIEW_VALUE *there = bpf_map_lookup_percpu_elem(&cgview__m(unflushed), &rest->id, cpu);

	if (there)
		cgview__take_all(there, &rest->amount, cgview__numbers);
	return 0;
}

/* The last flush comes after the release, which deletes the entries: pass on what is left here. */
SEC("tp_btf/cgroup_release")
int cgview__prog(cgview__m(release), struct cgroup *cgrp)
{
	struct cgview__rest rest = {.id = cgview_id(cgrp)};
	struct cgview__entry *entry = bpf_map_lookup_elem(&CGVIEW_MAP, &rest.id);

	if (!entry || !cgview_is_v2(cgrp))
		return 0;
	bpf_loop(cgview_nr_cpus, cgview__m(take_cpu), &rest, 0);
	cgview__take_all(&entry->pending, &rest.amount, cgview__numbers);
	cgview__m(add_levels)(cgrp, &rest.amount);
	bpf_map_delete_elem(&cgview__m(unflushed), &rest.id);
	bpf_map_delete_elem(&CGVIEW_MAP, &rest.id);
	return 0;
}

/* The kernel calls bpf_rstat_flush() for each updated cgroup and CPU, children before parents. */
SEC("?fentry/bpf_rstat_flush")
int cgview__prog(cgview__m(flush), struct cgroup *cgrp, struct cgroup *parent, int cpu)
{
	__u64 id = cgview_id(cgrp);
	CGVIEW_VALUE *here = bpf_map_lookup_percpu_elem(&cgview__m(unflushed), &id, cpu);
	struct cgview__entry *entry = bpf_map_lookup_elem(&CGVIEW_MAP, &id);
	CGVIEW_VALUE amount = {};
	bool any = false;

	if (!cgview_is_v2(cgrp))
		return 0;
	if (here)
		any |= cgview__take_all(here, &amount, cgview__numbers);
	if (entry)
		any |= cgview__take_all(&entry->pending, &amount, cgview__numbers);
	if (!any)
		return 0;
	if (entry)
		cgview__add_all(&entry->value, &amount, cgview__numbers);
	if (!parent)
		return 0;
	id = cgview_id(parent);
	entry = cgview__m(value)(parent) ? bpf_map_lookup_elem(&CGVIEW_MAP, &id) : NULL;
	if (entry)
		cgview__add_all(&entry->pending, &amount, cgview__numbers);
	else
		cgview__m(add_levels)(parent, &amount);
	return 0;
}

static __always_inline void cgview__m(prepare)(struct cgroup *cgrp)
{
	if (cgview__can_flush)
		cgview_flush(cgrp);
}

#undef cgview__can_flush
#endif /* CGVIEW_RSTAT */

#undef cgview__entry
#undef cgview__sum
#undef cgview__packet
#undef cgview__rest
#undef cgview__type
#undef cgview__kept

/* record.bpf.h goes on to use the names. */
#ifndef cgview__v
#undef cgview__m
#undef cgview__numbers
#undef CGVIEW_MAP
#undef CGVIEW_VALUE
#undef CGVIEW_MAX_CGROUPS
#undef CGVIEW_PERCPU
#undef CGVIEW_RSTAT
#undef CGVIEW_KEPT
#endif
