// SPDX-License-Identifier: MIT OR Apache-2.0
/* The programs and maps behind CGVIEW_RECORD(). Included by cgview.h. */
#ifndef CGVIEW_RECORD_H
#define CGVIEW_RECORD_H

/*
 * A sweep's result: an array in which row 0 is the header and rows 1..=count are cgroups, parents
 * before children. In the header `id` is the count, also of cgroups for which no row was left: a
 * count above the array's capacity means "grow it and repeat". Whoever runs the program zeroes
 * the header's `id` first.
 */
struct cgview_row {
	__u64 id;
	__u64 parent_id;
	__u32 level;
	__u32 flags;
	__u64 serial;
};

/* In `flags`: the fill function had no record for this cgroup. */
#define CGVIEW_ROW_EMPTY 1

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
 * A row that was this cgroup's in the sweep before keeps what never changes: the ids lie in memory
 * of their own, which a large tree has not in the cache, and took most of a sweep. The kernel gives
 * a serial number only once, and 0 to the roots of all hierarchies.
 */
static __always_inline void cgview__row_start(struct cgview_row *row, struct cgroup *cgrp)
{
	__u64 serial = cgrp->self.serial_nr;

	if (serial && row->serial == serial)
		return;
	row->serial = serial;
	row->id = cgview_id(cgrp);
	row->level = cgrp->level;
	row->parent_id = row->level ? cgview_follow(cgrp, self.parent->cgroup->kn->id) : 0;
}

/* For a fill function: the id of the cgroup, which in a sweep is cheaper than cgview_id(). */
static __always_inline __u64 cgview_record_id(const void *record)
{
	return ((const struct cgview_row *)record - 1)->id;
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
 *	VIEW_rows	element 0 is the array that both write to, made by cgview in the right size.
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
	cgview__record_row(view, fill);                                                            \
	cgview__record_sweep(view);                                                                \
	cgview__record_walk(view, prepare);                                                        \
	_Static_assert(sizeof(rec) % 8 == 0, "a record's size is a multiple of 8 bytes")

/*
 * One scratch record is enough: cgroup_mutex lets one cgroup iterator run at a time. The inner
 * array is described without BTF because Linux 6.1 takes one with and one without for different.
 */
#define cgview__record_maps(view, rec)                                                             \
	struct view##_row {                                                                        \
		struct cgview_row head;                                                            \
		rec record;                                                                        \
	};                                                                                         \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, struct view##_row);                                                  \
	} view##_scratch SEC(".maps");                                                             \
	struct view##_array {                                                                      \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);                               \
		__uint(max_entries, 1);                                                            \
		__uint(key_size, sizeof(__u32));                                                   \
		__uint(value_size, sizeof(struct view##_row));                                     \
	};                                                                                         \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                          \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__array(values, struct view##_array);                                              \
	} view##_rows SEC(".maps")

#define cgview__record_self(view, rec, prepare, fill, help)                                        \
	int view(struct bpf_iter__cgroup *ctx) cgview__tag("record=" #rec)                         \
		cgview__tag("help=" help);                                                         \
	SEC("iter.s/cgroup")                                                                       \
	int view(struct bpf_iter__cgroup *ctx)                                                     \
	{                                                                                          \
		struct cgroup *cgrp = ctx->cgroup;                                                 \
		__u32 zero = 0;                                                                    \
		struct view##_row *row = bpf_map_lookup_elem(&view##_scratch, &zero);              \
		int err;                                                                           \
                                                                                                   \
		if (!cgrp || !row)                                                                 \
			return 0;                                                                  \
		prepare(cgrp);                                                                     \
		cgview__row_start(&row->head, cgrp);                                               \
		cgview__zero(&row->record, sizeof(row->record));                                   \
		cgview__rcu_lock();                                                                \
		err = fill(cgrp, &row->record);                                                    \
		cgview__rcu_unlock();                                                              \
		if (!err)                                                                          \
			bpf_seq_write(ctx->meta->seq, &row->record, sizeof(row->record));          \
		return 0;                                                                          \
	}

/*
 * Not inlined into the sweep's loop: out of a loop the compiler moves the CO-RE constants of a field
 * that this kernel lacks, away from the test that guards them, and the verifier refuses to pass.
 */
#define cgview__record_row(view, fill)                                                             \
	static __noinline int view##_add_row(void *rows, struct cgview_row *header,                \
					     struct cgroup *cgrp)                                  \
	{                                                                                          \
		__u32 n = ++header->id;                                                            \
		struct view##_row *row = bpf_map_lookup_elem(rows, &n);                            \
                                                                                                   \
		if (!row)                                                                          \
			return 0;                                                                  \
		cgview__row_start(&row->head, cgrp);                                               \
		cgview__zero(&row->record, sizeof(row->record));                                   \
		row->head.flags = fill(cgrp, &row->record) ? CGVIEW_ROW_EMPTY : 0;                 \
		return 0;                                                                          \
	}

#define cgview__record_sweep(view)                                                                 \
	static __always_inline void view##_sweep_rows(void *rows, struct cgview_row *header,       \
						      struct cgroup *root)                         \
	{                                                                                          \
		struct cgroup_subsys_state *css;                                                   \
		struct bpf_iter_css it;                                                            \
                                                                                                   \
		bpf_rcu_read_lock();                                                               \
		bpf_iter_css_new(&it, &root->self, BPF_CGROUP_ITER_DESCENDANTS_PRE);               \
		while ((css = bpf_iter_css_next(&it))) {                                           \
			if (css->flags & CSS_ONLINE)                                               \
				view##_add_row(rows, header, css->cgroup);                         \
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
		void *rows = bpf_map_lookup_elem(&view##_rows, &zero);                             \
		struct cgview_row *header;                                                         \
		struct cgroup *root;                                                               \
                                                                                                   \
		if (!rows)                                                                         \
			return -CGVIEW_ENXIO;                                                      \
		header = bpf_map_lookup_elem(rows, &zero);                                         \
		if (!header)                                                                       \
			return -CGVIEW_ENXIO;                                                      \
		root = bpf_cgroup_from_id(args->root_id);                                          \
		if (!root)                                                                         \
			return -CGVIEW_ENOENT;                                                     \
		view##_sweep_rows(rows, header, root);                                             \
		bpf_cgroup_release(root);                                                          \
		return 0;                                                                          \
	}

#define cgview__record_walk(view, prepare)                                                         \
	int view##_walk(struct bpf_iter__cgroup *ctx) cgview__tag("walk=" #view);                  \
	SEC("?iter.s/cgroup")                                                                      \
	int view##_walk(struct bpf_iter__cgroup *ctx)                                              \
	{                                                                                          \
		struct cgroup *cgrp = ctx->cgroup;                                                 \
		struct cgview_row *header;                                                         \
		__u32 zero = 0;                                                                    \
		void *rows = bpf_map_lookup_elem(&view##_rows, &zero);                             \
                                                                                                   \
		if (!cgrp || !rows)                                                                \
			return 0;                                                                  \
		header = bpf_map_lookup_elem(rows, &zero);                                         \
		if (!header)                                                                       \
			return 0;                                                                  \
		if (cgview__first(ctx))                                                            \
			prepare(cgrp);                                                             \
		cgview__rcu_lock();                                                                \
		view##_add_row(rows, header, cgrp);                                                \
		cgview__rcu_unlock();                                                              \
		return 0;                                                                          \
	}

#endif
