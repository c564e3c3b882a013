// SPDX-License-Identifier: MIT OR Apache-2.0
/* Cgroups: ids, fields, ancestors, maps by cgroup id, rstat. Included by cgview.h. */
#ifndef CGVIEW_CGROUP_H
#define CGVIEW_CGROUP_H

/* More than the deepest tree that a path can name has. */
#define CGVIEW_MAX_LEVELS 65536

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
 * The cgroup for which an iterator runs the program. NULL for the run after the last cgroup, and
 * for a cgroup v1: return then.
 */
static __always_inline struct cgroup *cgview_cgroup(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;

	return cgrp && cgview_is_v2(cgrp) ? cgrp : NULL;
}

/*
 * The css of this cgroup for `controller` (cpu, io, memory or pids), for cgview_get(). NULL if the
 * kernel lacks the controller or the cgroup does not have it enabled. A css that the kernel keeps
 * only because another controller depends on it, as io does on memory, counts as not enabled.
 */
#define cgview_css(cgrp, controller)                                                               \
	({                                                                                         \
		struct cgroup_subsys_state *__css = cgview__subsys(cgrp, subsys, controller);      \
                                                                                                   \
		__css && (cgview_follow(__css, flags) & CSS_VISIBLE) ? __css : NULL;               \
	})

/*
 * Whether the machine has the controller, for v2 or v1: the kernel has it, and it is not disabled
 * by cgroup_disable=. If it is, the kernel keeps a css for the root alone, and that without files.
 */
#define cgview_controller_exists(controller)                                                       \
	({                                                                                         \
		struct task_struct *__task = bpf_get_current_task_btf();                           \
		struct cgroup_subsys_state *__css =                                                \
			cgview__subsys(__task, cgroups->subsys, controller);                       \
                                                                                                   \
		__css && (cgview_follow(__css, parent) ||                                          \
			  cgview_follow(__css, flags) & CSS_VISIBLE);                              \
	})

#define cgview__subsys(ptr, field, controller)                                                     \
	({                                                                                         \
		struct cgroup_subsys_state *__subsys = NULL;                                       \
                                                                                                   \
		if (bpf_core_enum_value_exists(enum cgroup_subsys_id, controller##_cgrp_id))       \
			__subsys = cgview_follow(                                                  \
				ptr, field[bpf_core_enum_value(enum cgroup_subsys_id,              \
							       controller##_cgrp_id)]);            \
		__subsys;                                                                          \
	})

/* The task's cgroup v2. The task is an argument of tp_btf, or from bpf_get_current_task_btf(). */
static __always_inline struct cgroup *cgview_task_cgroup(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp;
}

/* The value of a key in a hash; a copy of `initial` if there was none. NULL if the map is full. */
static __always_inline void *cgview_lookup_or_add(void *map, const void *key, const void *initial)
{
	void *value = bpf_map_lookup_elem(map, key);

	if (value)
		return value;
	bpf_map_update_elem(map, key, initial, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
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
