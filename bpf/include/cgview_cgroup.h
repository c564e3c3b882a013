// SPDX-License-Identifier: MIT OR Apache-2.0
/* Small helpers about cgroups. Included by cgview.h. */
#ifndef CGVIEW_CGROUP_H
#define CGVIEW_CGROUP_H

/* Deeper ancestors get no share of what cgview_for_each_ancestor() hands out. */
#define CGVIEW_MAX_LEVEL 64

/*
 * Reads a field of a live object through a pointer that the verifier takes for another type, or for
 * none: a mem_cgroup of which it knows the css, say. Far cheaper than BPF_CORE_READ() in a sweep.
 */
#define cgview_get(ptr, field)                                                                     \
	({                                                                                         \
		typeof((ptr)->field) __value;                                                      \
		if (bpf_ksym_exists(bpf_rdonly_cast))                                              \
			__value = ((typeof(ptr))bpf_rdonly_cast(                                   \
					   ptr, bpf_core_type_id_kernel(typeof(*(ptr)))))          \
					  ->field;                                                 \
		else                                                                               \
			bpf_core_read(&__value, sizeof(__value), &(ptr)->field);                   \
		__value;                                                                           \
	})

/*
 * Reads a field, or a chain of them, where the verifier could follow the pointers but is better spared
 * it: Linux 6.12 and 6.18 search all types of the kernel by name for each pointer on the way, up to a
 * millisecond each. What it gives is for reading only: no kfunc takes such a pointer.
 */
#define cgview_follow(ptr, field)                                                                  \
	({                                                                                         \
		typeof((ptr)->field) __value;                                                      \
		if (bpf_ksym_exists(bpf_rdonly_cast))                                              \
			__value = cgview_get(ptr, field);                                          \
		else                                                                               \
			__value = (ptr)->field;                                                    \
		__value;                                                                           \
	})

static __always_inline __u64 cgview_id(struct cgroup *cgrp)
{
	return cgview_follow(cgrp, kn->id);
}

/* Ids are unique within one hierarchy only: views that key maps by them keep to cgroup v2. */
static __always_inline bool cgview_is_v2(struct cgroup *cgrp)
{
	return cgview_follow(cgrp, root->hierarchy_id) == 0;
}

/*
 * A controller's state of this very cgroup; NULL where it is not in the kernel or not enabled, also
 * where it works unseen because another needs it, as memory does for io.
 */
#define cgview_css(cgrp, controller)                                                               \
	({                                                                                         \
		struct cgroup_subsys_state *__css = NULL;                                          \
                                                                                                   \
		if (bpf_core_enum_value_exists(enum cgroup_subsys_id, controller##_cgrp_id))       \
			__css = cgview_follow(cgrp,                                                \
					      subsys[bpf_core_enum_value(enum cgroup_subsys_id,    \
									 controller##_cgrp_id)]);  \
		__css && (cgview_follow(__css, flags) & CSS_VISIBLE) ? __css : NULL;               \
	})

/* The cgroup v2 that a task is in; a task from bpf_get_current_task_btf() or a tp_btf argument. */
static __always_inline struct cgroup *cgview_task_cgroup(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp;
}

static __always_inline __u64 cgview_ancestor_id(struct cgroup *cgrp, int level)
{
	struct cgroup *ancestor;

	if (bpf_core_read(&ancestor, sizeof(ancestor), &cgrp->ancestors[level]))
		return 0;
	return BPF_CORE_READ(ancestor, kn, id);
}

/*
 * Runs what follows for the cgroup and each of its ancestors, `id` being its id, the root's first:
 * a counter that is added to for each of them holds the subtree's sum at any moment, and keeps the
 * share of a child that is removed.
 */
#define cgview_for_each_ancestor(id, cgrp)                                                         \
	for (int __level = 0; __level < CGVIEW_MAX_LEVEL && __level <= (cgrp)->level &&            \
			      ((id) = cgview_ancestor_id(cgrp, __level));                          \
	     __level++)

/* The value of a key in a hash map, made from `initial` where there is none; NULL if the map is full. */
static __always_inline void *cgview_lookup_or_add(void *map, const void *key, const void *initial)
{
	void *value = bpf_map_lookup_elem(map, key);

	if (value)
		return value;
	bpf_map_update_elem(map, key, initial, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

/* Deletes a cgroup's entry from a map by cgroup id; for SEC("tp_btf/cgroup_release"). */
static __always_inline int cgview_forget(void *map, struct cgroup *cgrp)
{
	__u64 id = cgview_id(cgrp);

	if (cgview_is_v2(cgrp))
		bpf_map_delete_elem(map, &id);
	return 0;
}

/* Brings rstat of the cgroup and all below up to date; sleeps. */
static __always_inline void cgview_flush(struct cgroup *cgrp)
{
	if (bpf_ksym_exists(css_rstat_flush))
		css_rstat_flush(&cgrp->self);
	else
		cgroup_rstat_flush(cgrp);
}

/* Tells rstat that the cgroup has something to flush on this CPU. */
static __always_inline void cgview_updated(struct cgroup *cgrp, int cpu)
{
	if (bpf_ksym_exists(css_rstat_updated)) {
		struct cgroup *trusted = bpf_cgroup_acquire(cgrp);

		if (!trusted)
			return;
		css_rstat_updated(&trusted->self, cpu);
		bpf_cgroup_release(trusted);
	} else {
		cgroup_rstat_updated(cgrp, cpu);
	}
}

#endif
