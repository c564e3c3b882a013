// SPDX-License-Identifier: MIT OR Apache-2.0
/* Cgroups: ids, fields, ancestors, maps by cgroup id, rstat. Included by cgview.h. */
#ifndef CGVIEW_CGROUP_H
#define CGVIEW_CGROUP_H

/* cgview_for_each_ancestor() leaves out cgroups from this level on; the root is at level 0. */
#define CGVIEW_MAX_LEVEL 64

/*
 * Reads a field through a pointer that the verifier takes for another type, or for a number: a
 * mem_cgroup of which it knows the css, for instance. 0 if the memory cannot be read. It costs far
 * less than BPF_CORE_READ() in a sweep.
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
 * Reads a field, or a chain of fields, through a pointer whose type the verifier knows. Unlike a
 * plain load it makes an object load fast: for each pointer that it follows, the verifier of Linux
 * 6.12 and 6.18 searches all kernel types by name, which takes up to a millisecond. A pointer read
 * this way is for reading only: kfuncs refuse it.
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

/* The cgroup's id: the inode number of its directory. */
static __always_inline __u64 cgview_id(struct cgroup *cgrp)
{
	return cgview_follow(cgrp, kn->id);
}

/* Ids are unique within one hierarchy only: a map by cgroup id holds cgroups of v2 alone. */
static __always_inline bool cgview_is_v2(struct cgroup *cgrp)
{
	return cgview_follow(cgrp, root->hierarchy_id) == 0;
}

/*
 * The css of this cgroup for `controller` (cpu, io, memory or pids), for cgview_get(). NULL if the
 * kernel lacks the controller or the cgroup does not have it enabled. A css that the kernel keeps
 * only because another controller depends on it, as io does on memory, counts as not enabled.
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

/* The task's cgroup v2. The task is an argument of tp_btf, or from bpf_get_current_task_btf(). */
static __always_inline struct cgroup *cgview_task_cgroup(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp;
}

/* The id of the cgroup's ancestor at `level`, 0 to the cgroup's own; 0 if it cannot be read. */
static __always_inline __u64 cgview_ancestor_id(struct cgroup *cgrp, int level)
{
	struct cgroup *ancestor;

	if (bpf_core_read(&ancestor, sizeof(ancestor), &cgrp->ancestors[level]))
		return 0;
	return BPF_CORE_READ(ancestor, kn, id);
}

/*
 * A loop over the ancestors of the cgroup and the cgroup itself, from the root down, with `id` set
 * to the id of each. A counter that is raised for each of them is the sum of its subtree at any
 * moment, and keeps the share of a removed child.
 */
#define cgview_for_each_ancestor(id, cgrp)                                                         \
	for (int __level = 0; __level < CGVIEW_MAX_LEVEL && __level <= (cgrp)->level &&            \
			      ((id) = cgview_ancestor_id(cgrp, __level));                          \
	     __level++)

/* The value of a key in a hash; a copy of `initial` if there was none. NULL if the map is full. */
static __always_inline void *cgview_lookup_or_add(void *map, const void *key, const void *initial)
{
	void *value = bpf_map_lookup_elem(map, key);

	if (value)
		return value;
	bpf_map_update_elem(map, key, initial, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

/*
 * For SEC("tp_btf/cgroup_release"): deletes the entry of a cgroup v2 from a map by cgroup id.
 * Without it, entries of gone cgroups fill the map. Always 0, the value to return from the program.
 */
static __always_inline int cgview_forget(void *map, struct cgroup *cgrp)
{
	__u64 id = cgview_id(cgrp);

	if (cgview_is_v2(cgrp))
		bpf_map_delete_elem(map, &id);
	return 0;
}

/* Flushes rstat of the cgroup and all below. It sleeps: for iter.s/cgroup programs only. */
static __always_inline void cgview_flush(struct cgroup *cgrp)
{
	if (bpf_ksym_exists(css_rstat_flush))
		css_rstat_flush(&cgrp->self);
	else
		cgroup_rstat_flush(cgrp);
}

/* Marks the cgroup as updated on `cpu`, so that the next flush calls bpf_rstat_flush() for it. */
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
