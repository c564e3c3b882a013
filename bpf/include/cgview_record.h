// SPDX-License-Identifier: MIT OR Apache-2.0
/* The programs and maps behind CGVIEW_RECORD(). Included by cgview.h. */
#ifndef CGVIEW_RECORD_H
#define CGVIEW_RECORD_H

/*
 * A sweep's result is an array: element 0 is the header, elements 1..=count are the cgroups that
 * were visited, parents before children. In the header `id` is the count, cgroups without room
 * included: a count above the array's capacity means "grow it and repeat". cgview zeroes the
 * header before each run.
 */
struct cgview_swept {
	__u64 id;
	__u64 parent_id;
	__u32 level;
	__u32 flags;
	__u64 serial;
};

/* In `flags`: the view has no record for this cgroup. */
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

/* A large record takes one call: the kernel fills with zeros what it cannot read. */
static __always_inline void cgview__zero(void *record, __u32 size)
{
	if (size <= 512)
		__builtin_memset(record, 0, size);
	else
		bpf_probe_read_kernel(record, size, 0);
}

/*
 * An element that held the same cgroup in the sweep before keeps what never changes. The ids lie in
 * another cache line, and reading them took most of a sweep of a large tree. The kernel gives each
 * serial number only once, but 0 to the root of every hierarchy.
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

/* For a fill function: the id of the cgroup, which in a sweep is cheaper than cgview_id(). */
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
 * Makes of `fill(struct cgroup *, type *)`:
 *	VIEW		the program that a read of one cgroup's file runs;
 *	VIEW_sweep	all cgroups below one, by the css iterator under RCU alone;
 *	VIEW_walk	the same by a cgroup iterator: kernels without css iterators, cgroup v1;
 *	VIEW_swept	element 0 is the array that both write to, made by cgview in the right size.
 */
#define CGVIEW_RECORD(view, rec, fill, help)                                                       \
	CGVIEW_RECORD_PREPARED(view, rec, cgview__no_prepare, fill, help)

/* As above; rstat is flushed first, once, for the cgroup or for the root of the subtree. */
#define CGVIEW_RECORD_FLUSHED(view, rec, fill, help)                                               \
	CGVIEW_RECORD_PREPARED(view, rec, cgview_flush, fill, help)

/* As above; `prepare(struct cgroup *)` runs there instead of the flush. It may sleep. */
#define CGVIEW_RECORD_PREPARED(view, rec, prepare, fill, help)                                     \
	cgview__record_maps(view, rec);                                                            \
	cgview__record_self(view, rec, prepare, fill, help);                                       \
	cgview__record_add(view, fill);                                                            \
	cgview__record_sweep(view);                                                                \
	cgview__record_walk(view, prepare);                                                        \
	_Static_assert(sizeof(rec) % 8 == 0, "a record's size is a multiple of 8 bytes")

/*
 * One scratch record is enough: cgroup_mutex lets one cgroup iterator run at a time. The inner
 * array is described without BTF because Linux 6.1 takes one with and one without for different.
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
 * Not inlined into the sweep's loop: out of a loop the compiler moves the CO-RE constants of a field
 * that this kernel lacks, away from the test that guards them, and the verifier refuses to pass.
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
