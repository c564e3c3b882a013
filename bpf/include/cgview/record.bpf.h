// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A template: each inclusion defines a record view. Its records are the values of a map by cgroup,
 * which it defines too:
 *
 *	#define CGVIEW_VIEW forks		the name of the view; its record is a struct forks
 *	#define CGVIEW_MAP counts		the name of the map; see map.bpf.h
 *	#include <cgview/record.bpf.h>
 *
 * or a function fills them:
 *
 *	#define CGVIEW_VIEW wait
 *	#define CGVIEW_FILL fill_wait		int fill_wait(struct cgroup *cgrp, struct wait *r)
 *	#include <cgview/record.bpf.h>
 *
 * If both are defined, the function gets a copy of the cgroup's value and may change it; else it
 * gets a zeroed record. It returns 0, or CGVIEW_NO_RECORD. It runs in an RCU read section: in a
 * cgroup iterator, which holds cgroup_mutex, when one file is read, and in a "syscall" program
 * without that mutex when a sweep reads a whole subtree. So it
 *	- may load through the cgroup pointer, use BPF_CORE_READ(), map helpers and cgroup storage;
 *	- must not sleep, flush rstat, call bpf_rcu_read_lock() or anything that needs a trusted
 *	  pointer;
 *	- must limit its loops, and expect that the kernel's lists change meanwhile.
 *
 * Any of these may be defined too, before the inclusion:
 *	CGVIEW_RECORD	the type of the record, if it is not struct VIEW
 *	CGVIEW_PREPARE	a function that each read calls once before, with the cgroup or the root of
 *			the subtree: cgview_flush, or void prepare(struct cgroup *cgrp) of yours,
 *			which may sleep
 *	CGVIEW_V1	cgroups of version 1 have records too, unless CGVIEW_MAP is defined
 * and, with CGVIEW_MAP, what map.bpf.h reads. All are undefined afterwards.
 *
 * It defines VIEW, the program for one cgroup, and with names that begin with cgview_VIEW_
 *	sweep	the program for a subtree, by the css iterator under RCU alone;
 *	walk	the same by a cgroup iterator: for v1, and kernels without css iterators;
 *	swept	a map of maps with one entry: the array to which both write. cgview creates the
 *		array with the right size.
 */
#ifndef CGVIEW_VIEW
#error "define CGVIEW_VIEW, the name of the view, before <cgview/record.bpf.h>"
#endif
#ifndef CGVIEW_RECORD
#define CGVIEW_RECORD struct CGVIEW_VIEW
#endif

#define cgview__v(what) cgview__join(cgview_, CGVIEW_VIEW, _##what)
#define cgview__element cgview__v(element)

_Static_assert(sizeof(CGVIEW_RECORD) % 8 == 0, "a record's size is a multiple of 8 bytes");

#ifndef CGVIEW_FILL
#ifndef CGVIEW_MAP
#error "define CGVIEW_MAP, CGVIEW_FILL or both before <cgview/record.bpf.h>"
#endif
#define CGVIEW_FILL(cgrp, record) 0
#endif

#ifdef CGVIEW_MAP

#ifdef CGVIEW_PERCPU
#error "add up the values of the CPUs in a CGVIEW_FILL function; their map comes from map.bpf.h"
#endif

#define CGVIEW_VALUE CGVIEW_RECORD
#include "map.bpf.h"

#ifdef CGVIEW_RSTAT
#define CGVIEW_PREPARE cgview__m(prepare)
#endif

static __always_inline int cgview__v(fill)(struct cgroup *cgrp, CGVIEW_RECORD *record)
{
	__u64 id = cgview_record_id(record);
	const CGVIEW_RECORD *value = bpf_map_lookup_elem(&CGVIEW_MAP, &id);

	if (!cgview_is_v2(cgrp) || (!value && cgview__m(overflow)))
		return CGVIEW_NO_RECORD;
	if (!value)
		value = &cgview__m(zero).value;
	cgview__copy(record, value);
	return CGVIEW_FILL(cgrp, record);
}

#else

static const CGVIEW_RECORD cgview__v(zero);

static __always_inline int cgview__v(fill)(struct cgroup *cgrp, CGVIEW_RECORD *record)
{
#ifndef CGVIEW_V1
	if (!cgview_is_v2(cgrp))
		return CGVIEW_NO_RECORD;
#endif
	cgview__copy(record, &cgview__v(zero));
	return CGVIEW_FILL(cgrp, record);
}

#endif

#ifndef CGVIEW_PREPARE
#define CGVIEW_PREPARE cgview__no_prepare
#endif

struct cgview__element {
	struct cgview_swept head;
	CGVIEW_RECORD record;
};

/* One is enough: cgroup_mutex allows one cgroup iterator at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cgview__element);
} cgview__v(scratch) SEC(".maps");

/* Without BTF types: cgview's array has none, and Linux 6.1 refuses one that differs in this. */
struct cgview__v(array)
{
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct cgview__element));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct cgview__v(array));
} cgview__v(swept) SEC(".maps");

int CGVIEW_VIEW(struct bpf_iter__cgroup *ctx) cgview__tag("record=" cgview__text(CGVIEW_RECORD))
	cgview__tag("prepare=" cgview__text(CGVIEW_PREPARE));

SEC("iter.s/cgroup")
int CGVIEW_VIEW(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	__u32 zero = 0;
	struct cgview__element *element = bpf_map_lookup_elem(&cgview__v(scratch), &zero);
	int flags;

	if (!cgrp || !element)
		return 0;
	CGVIEW_PREPARE(cgrp);
	cgview__element_start(&element->head, cgrp);
	cgview__rcu_lock();
	flags = cgview__v(fill)(cgrp, &element->record);
	cgview__rcu_unlock();
	if (!flags)
		bpf_seq_write(ctx->meta->seq, &element->record, sizeof(element->record));
	return 0;
}

/*
 * A function that is not inlined: the compiler would move CO-RE constants out of the sweep's loop,
 * past the test whether this kernel has the field, and the verifier would refuse the program.
 */
static __noinline int cgview__v(visit)(void *swept, struct cgview_swept *header,
				       struct cgroup *cgrp)
{
	__u32 n = ++header->id;
	struct cgview__element *element = bpf_map_lookup_elem(swept, &n);

	if (!element)
		return 0;
	cgview__element_start(&element->head, cgrp);
	element->head.flags = cgview__v(fill)(cgrp, &element->record) ? CGVIEW_NO_RECORD : 0;
	return 0;
}

static __always_inline void cgview__v(visit_all)(void *swept, struct cgview_swept *header,
						 struct cgroup *root)
{
	struct cgroup_subsys_state *css;
	struct bpf_iter_css it;

	bpf_rcu_read_lock();
	bpf_iter_css_new(&it, &root->self, BPF_CGROUP_ITER_DESCENDANTS_PRE);
	while ((css = bpf_iter_css_next(&it))) {
		if (css->flags & CSS_ONLINE)
			cgview__v(visit)(swept, header, css->cgroup);
	}
	bpf_iter_css_destroy(&it);
	bpf_rcu_read_unlock();
}

int cgview__v(sweep)(struct cgview_sweep *args) cgview__tag("sweep=" cgview__text(CGVIEW_VIEW))
	cgview__tag("kfunc=bpf_iter_css_new");

SEC("?syscall")
int cgview__v(sweep)(struct cgview_sweep *args)
{
	__u32 zero = 0;
	void *swept = bpf_map_lookup_elem(&cgview__v(swept), &zero);
	struct cgview_swept *header;
	struct cgroup *root;

	if (!swept)
		return -CGVIEW_ENXIO;
	header = bpf_map_lookup_elem(swept, &zero);
	if (!header)
		return -CGVIEW_ENXIO;
	root = bpf_cgroup_from_id(args->root_id);
	if (!root)
		return -CGVIEW_ENOENT;
	cgview__v(visit_all)(swept, header, root);
	bpf_cgroup_release(root);
	return 0;
}

int cgview__v(walk)(struct bpf_iter__cgroup *ctx) cgview__tag("walk=" cgview__text(CGVIEW_VIEW));

SEC("?iter.s/cgroup")
int cgview__v(walk)(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	struct cgview_swept *header;
	__u32 zero = 0;
	void *swept = bpf_map_lookup_elem(&cgview__v(swept), &zero);

	if (!cgrp || !swept)
		return 0;
	header = bpf_map_lookup_elem(swept, &zero);
	if (!header)
		return 0;
	if (cgview__first(ctx))
		CGVIEW_PREPARE(cgrp);
	cgview__rcu_lock();
	cgview__v(visit)(swept, header, cgrp);
	cgview__rcu_unlock();
	return 0;
}

#undef cgview__element
#undef cgview__v
#undef cgview__m
#undef cgview__numbers
#undef CGVIEW_VIEW
#undef CGVIEW_RECORD
#undef CGVIEW_FILL
#undef CGVIEW_PREPARE
#undef CGVIEW_V1
#undef CGVIEW_MAP
#undef CGVIEW_VALUE
#undef CGVIEW_MAX_CGROUPS
#undef CGVIEW_RSTAT
#undef CGVIEW_KEPT
