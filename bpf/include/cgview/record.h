// SPDX-License-Identifier: MIT OR Apache-2.0
/* CGVIEW_RECORD() and the programs and maps that it defines. Included by cgview.h. */
#ifndef CGVIEW_RECORD_H
#define CGVIEW_RECORD_H

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
	__u32 flags;
	__u64 serial;
};

/* In `flags`: the fill function has returned non-zero, so there is no record for this cgroup. */
#define CGVIEW_NO_RECORD 1

/* The context of a sweep program. */
struct cgview_sweep {
	__u64 root_id;
};

#define CGVIEW_ENOENT 2
#define CGVIEW_ENXIO  6

static __always_inline void cgview__no_prepare(struct cgroup *cgrp)
{
}

/* For a large record memset() is too much code. The helper fills what it cannot read with zeros. */
static __always_inline void cgview__zero(void *record, __u32 size)
{
	if (size <= 512)
		__builtin_memset(record, 0, size);
	else
		bpf_probe_read_kernel(record, size, 0);
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

/*
 * Defines the record view `view` of records `rec`, which `fill(struct cgroup *, rec *)` fills;
 * `help` says what it shows. The size of `rec` is a multiple of 8 bytes and below 32 KiB. It
 * defines
 *	VIEW		the program for one cgroup: a read of its file runs it;
 *	VIEW_sweep	the program for a subtree, by the css iterator under RCU alone;
 *	VIEW_walk	the same by a cgroup iterator: for v1, and kernels without css iterators;
 *	VIEW_swept	a map of maps with one entry: the array to which both write. cgview creates
 *			the array with the right size;
 *	VIEW_scratch, VIEW_add() and more names that begin with VIEW_.
 */
#define CGVIEW_RECORD(view, rec, fill, help)                                                       \
	CGVIEW_RECORD_PREPARED(view, rec, cgview__no_prepare, fill, help)

/* As above. Each read flushes rstat first, once, of the cgroup or of the whole subtree. */
#define CGVIEW_RECORD_FLUSHED(view, rec, fill, help)                                               \
	CGVIEW_RECORD_PREPARED(view, rec, cgview_flush, fill, help)

/*
 * As above. Each read first calls `prepare(struct cgroup *)` once, with the cgroup or the root of
 * the subtree. `prepare` may sleep; its result is not used.
 */
#define CGVIEW_RECORD_PREPARED(view, rec, prepare, fill, help)                                     \
	cgview__record_maps(view, rec);                                                            \
	cgview__record_self(view, rec, prepare, fill, help);                                       \
	cgview__record_add(view, fill);                                                            \
	cgview__record_sweep(view);                                                                \
	cgview__record_walk(view, prepare);                                                        \
	_Static_assert(sizeof(rec) % 8 == 0, "a record's size is a multiple of 8 bytes")

/*
 * One scratch element is enough: cgroup_mutex allows one cgroup iterator at a time. The inner array
 * is declared without BTF types, because cgview's array has none and Linux 6.1 refuses one that
 * differs in this.
 */
#define cgview__record_maps(view, rec)                                                             \
	struct view##_element {                                                                    \
		struct cgview_swept head;                                                          \
		rec record;                                                                        \
	};                                                                                         \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, struct view##_element);                                              \
	} view##_scratch SEC(".maps");                                                             \
	struct view##_array {                                                                      \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);                               \
		__uint(max_entries, 1);                                                            \
		__uint(key_size, sizeof(__u32));                                                   \
		__uint(value_size, sizeof(struct view##_element));                                 \
	};                                                                                         \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                          \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__array(values, struct view##_array);                                              \
	} view##_swept SEC(".maps")

#define cgview__record_self(view, rec, prepare, fill, help)                                        \
	int view(struct bpf_iter__cgroup *ctx) cgview__tag("record=" #rec)                         \
		cgview__tag("help=" help) cgview__tag("prepare=" #prepare);                        \
	SEC("iter.s/cgroup")                                                                       \
	int view(struct bpf_iter__cgroup *ctx)                                                     \
	{                                                                                          \
		struct cgroup *cgrp = ctx->cgroup;                                                 \
		__u32 zero = 0;                                                                    \
		struct view##_element *element = bpf_map_lookup_elem(&view##_scratch, &zero);      \
		int err;                                                                           \
                                                                                                   \
		if (!cgrp || !element)                                                             \
			return 0;                                                                  \
		prepare(cgrp);                                                                     \
		cgview__element_start(&element->head, cgrp);                                       \
		cgview__zero(&element->record, sizeof(element->record));                           \
		cgview__rcu_lock();                                                                \
		err = fill(cgrp, &element->record);                                                \
		cgview__rcu_unlock();                                                              \
		if (!err)                                                                          \
			bpf_seq_write(ctx->meta->seq, &element->record, sizeof(element->record));  \
		return 0;                                                                          \
	}

/*
 * A function that is not inlined: the compiler would move CO-RE constants out of the sweep's loop,
 * past the test whether this kernel has the field, and the verifier would refuse the program.
 */
#define cgview__record_add(view, fill)                                                             \
	static __noinline int view##_add(void *swept, struct cgview_swept *header,                 \
					 struct cgroup *cgrp)                                      \
	{                                                                                          \
		__u32 n = ++header->id;                                                            \
		struct view##_element *element = bpf_map_lookup_elem(swept, &n);                   \
                                                                                                   \
		if (!element)                                                                      \
			return 0;                                                                  \
		cgview__element_start(&element->head, cgrp);                                       \
		cgview__zero(&element->record, sizeof(element->record));                           \
		element->head.flags = fill(cgrp, &element->record) ? CGVIEW_NO_RECORD : 0;         \
		return 0;                                                                          \
	}

#define cgview__record_sweep(view)                                                                 \
	static __always_inline void view##_sweep_all(void *swept, struct cgview_swept *header,     \
						     struct cgroup *root)                          \
	{                                                                                          \
		struct cgroup_subsys_state *css;                                                   \
		struct bpf_iter_css it;                                                            \
                                                                                                   \
		bpf_rcu_read_lock();                                                               \
		bpf_iter_css_new(&it, &root->self, BPF_CGROUP_ITER_DESCENDANTS_PRE);               \
		while ((css = bpf_iter_css_next(&it))) {                                           \
			if (css->flags & CSS_ONLINE)                                               \
				view##_add(swept, header, css->cgroup);                            \
		}                                                                                  \
		bpf_iter_css_destroy(&it);                                                         \
		bpf_rcu_read_unlock();                                                             \
	}                                                                                          \
                                                                                                   \
	int view##_sweep(struct cgview_sweep *args) cgview__tag("sweep=" #view)                    \
		cgview__tag("kfunc=bpf_iter_css_new");                                             \
	SEC("?syscall")                                                                            \
	int view##_sweep(struct cgview_sweep *args)                                                \
	{                                                                                          \
		__u32 zero = 0;                                                                    \
		void *swept = bpf_map_lookup_elem(&view##_swept, &zero);                           \
		struct cgview_swept *header;                                                       \
		struct cgroup *root;                                                               \
                                                                                                   \
		if (!swept)                                                                        \
			return -CGVIEW_ENXIO;                                                      \
		header = bpf_map_lookup_elem(swept, &zero);                                        \
		if (!header)                                                                       \
			return -CGVIEW_ENXIO;                                                      \
		root = bpf_cgroup_from_id(args->root_id);                                          \
		if (!root)                                                                         \
			return -CGVIEW_ENOENT;                                                     \
		view##_sweep_all(swept, header, root);                                             \
		bpf_cgroup_release(root);                                                          \
		return 0;                                                                          \
	}

#define cgview__record_walk(view, prepare)                                                         \
	int view##_walk(struct bpf_iter__cgroup *ctx) cgview__tag("walk=" #view);                  \
	SEC("?iter.s/cgroup")                                                                      \
	int view##_walk(struct bpf_iter__cgroup *ctx)                                              \
	{                                                                                          \
		struct cgroup *cgrp = ctx->cgroup;                                                 \
		struct cgview_swept *header;                                                       \
		__u32 zero = 0;                                                                    \
		void *swept = bpf_map_lookup_elem(&view##_swept, &zero);                           \
                                                                                                   \
		if (!cgrp || !swept)                                                               \
			return 0;                                                                  \
		header = bpf_map_lookup_elem(swept, &zero);                                        \
		if (!header)                                                                       \
			return 0;                                                                  \
		if (cgview__first(ctx))                                                            \
			prepare(cgrp);                                                             \
		cgview__rcu_lock();                                                                \
		view##_add(swept, header, cgrp);                                                   \
		cgview__rcu_unlock();                                                              \
		return 0;                                                                          \
	}

#endif
