// SPDX-License-Identifier: MIT OR Apache-2.0
/* What the programs of record.bpf.h share with each other and with cgview. Included by cgview.h. */
#ifndef CGVIEW_RECORD_H
#define CGVIEW_RECORD_H

/* What a fill function returns when there is no record for the cgroup; else it returns 0. */
enum cgview_flags { CGVIEW_NO_RECORD = 1 };

/*
 * One element of a sweep's result, followed by the record of that cgroup. Element 0 is the header:
 * its `id` counts the swept cgroups, its other fields are unused. Elements 1 to count are the swept
 * cgroups, parents before children. Cgroups for which the array has no room count too: cgview then
 * makes a larger array and repeats the sweep. cgview zeroes the header before each run.
 */
struct cgview_swept {
	__u64 id;
	__u64 parent_id;
	__u32 level;
	enum cgview_flags flags;
	__u64 serial;
};

/* The context of a sweep program. */
struct cgview_sweep {
	__u64 root_id;
};

#define CGVIEW_ENOENT 2
#define CGVIEW_ENXIO  6

static __always_inline void cgview__no_prepare(struct cgroup *cgrp)
{
}

/*
 * An element that held the same cgroup in the last sweep keeps its ids and level, which never
 * change. The ids lie in another cache line: reading them took most of the time of a large sweep.
 * The kernel gives each serial number only once, except 0, which each hierarchy's root has.
 */
static __always_inline void cgview__element_start(struct cgview_swept *element, struct cgroup *cgrp)
{
	__u64 serial = cgrp->self.serial_nr;

	if (serial && element->serial == serial)
		return;
	element->serial = serial;
	element->id = cgview_id(cgrp);
	element->level = cgrp->level;
	element->parent_id = element->level ? cgview_follow(cgrp, self.parent->cgroup->kn->id) : 0;
}

/* In a fill function: the id of the record's cgroup, at less cost in a sweep than cgview_id(). */
static __always_inline __u64 cgview_record_id(const void *record)
{
	return ((const struct cgview_swept *)record - 1)->id;
}

static __always_inline bool cgview__first(struct bpf_iter__cgroup *ctx)
{
	return ctx->meta->seq_num == 0;
}

static __always_inline void cgview__rcu_lock(void)
{
	if (bpf_ksym_exists(bpf_rcu_read_lock))
		bpf_rcu_read_lock();
}

static __always_inline void cgview__rcu_unlock(void)
{
	if (bpf_ksym_exists(bpf_rcu_read_lock))
		bpf_rcu_read_unlock();
}

/* memcpy() of a large record is too much code. */
#define cgview__copy(to, from)                                                                     \
	do {                                                                                       \
		if (sizeof(*(to)) <= 512)                                                          \
			__builtin_memcpy(to, from, sizeof(*(to)));                                 \
		else                                                                               \
			bpf_probe_read_kernel(to, sizeof(*(to)), from);                            \
	} while (0)

#endif
