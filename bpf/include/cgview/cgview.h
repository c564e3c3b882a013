// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The header for authors of views; docs/authoring.md is the guide. A record view is a struct, a
 * function that fills it for one cgroup, and CGVIEW_RECORD(). cgview reads the layout, the units
 * and the help texts from the object's BTF, so compile with -g:
 *
 *	struct wait {
 *		__u64 total CGVIEW_COUNTER("ns", "time spent runnable but waiting");
 *		__u64 peak CGVIEW_GAUGE("ns", "longest single wait") CGVIEW_ABSENT;
 *		struct cgview_hist lat CGVIEW_HIST("ns", "run-queue latency");
 *	};
 *	static __always_inline int fill_wait(struct cgroup *cgrp, struct wait *r) { ... return 0; }
 *	CGVIEW_RECORD(wait, struct wait, fill_wait, "How long tasks wait for a CPU");
 *	char LICENSE[] SEC("license") = "Dual MIT/GPL";
 *
 * The fill function gets a zeroed record. It returns 0, or non-zero for "no record for this
 * cgroup". It runs in an RCU read section: in a cgroup iterator, which holds cgroup_mutex, when one
 * file is read, and in a "syscall" program without that mutex when a sweep reads a whole subtree.
 * So it
 *	- may load through the cgroup pointer, use BPF_CORE_READ(), map helpers and cgroup storage;
 *	- must not sleep, flush rstat, call bpf_rcu_read_lock() or anything that needs a trusted
 *	  pointer;
 *	- must limit its loops, and expect that the kernel's lists change meanwhile.
 *
 * An object that breaks a rule of a macro below is unavailable: cgview --check gives the reason.
 */
#ifndef CGVIEW_H
#define CGVIEW_H

#include "kernel.h"

#define cgview__tag(text) __attribute__((btf_decl_tag("cgview:" text)))

/*
 * Fields of a record: a counter only grows, a gauge goes up and down. `unit` is the unit of the
 * value that the program writes: "ns", "us", "bytes" or "".
 */
#define CGVIEW_COUNTER(unit, help) cgview__tag("counter") cgview__sample(unit, help)
#define CGVIEW_GAUGE(unit, help)   cgview__tag("gauge") cgview__sample(unit, help)
#define CGVIEW_HIST(unit, help)	   cgview__sample(unit, help)
/* A label field: it distinguishes the rows of one cgroup. An integer or a char array. */
#define CGVIEW_KEY(help) cgview__tag("key") cgview__tag("help=" help)
/* All ones in the field mean that this cgroup or this kernel has no such value; it is not shown. */
#define CGVIEW_ABSENT cgview__tag("absent")
/*
 * The field, a __u64, includes all descendants. No lock in the kernel keeps parent and children
 * equal during a sweep, so cgview raises the value to the sum of the children's in that sweep.
 */
#define CGVIEW_WITH_DESCENDANTS	   cgview__tag("with_descendants")
#define cgview__sample(unit, help) cgview__tag("unit=" unit) cgview__tag("help=" help)

/* The value of a CGVIEW_ABSENT field of 8 bytes that has none. */
#define CGVIEW_NO_VALUE (~0ULL)

/*
 * Before a view's program `view`, which is declared as int view(struct bpf_iter__cgroup *ctx): the
 * name of its file, and the text of .cgview/views/NAME/help. A name has at most 200 bytes, no '/',
 * no control character and no leading dot. Default: the program's name, no help.
 */
#define CGVIEW_NAME(view, name) int view(struct bpf_iter__cgroup *ctx) cgview__tag("name=" name)
#define CGVIEW_HELP(view, help) int view(struct bpf_iter__cgroup *ctx) cgview__tag("help=" help)
/*
 * Before an iter/cgroup program that writes any number of `rec` for a cgroup, each by one
 * bpf_seq_write(): the rows, distinguished by label fields. If the rows of one run do not fit into
 * the kernel's buffer (just under 32 KiB), the read fails with E2BIG. A subtree is read cgroup by
 * cgroup.
 */
#define CGVIEW_ROWS(view, rec, help)                                                               \
	int view(struct bpf_iter__cgroup *ctx) cgview__tag("record=" #rec)                         \
		cgview__tag("help=" help);                                                         \
	/* clang writes a struct into BTF only if a variable has its type. */                      \
	const rec view##_row_type = {}
/*
 * Before a view's program: one read visits several cgroups. "pre": the subtree, parents first;
 * "post": children first; "up": the cgroup and its ancestors; "children": its children (Linux 7).
 * If this kernel does not have the order, the view is unavailable.
 */
#define CGVIEW_ORDER(view, order) int view(struct bpf_iter__cgroup *ctx) cgview__tag("order=" order)

/*
 * After a map's SEC(".maps"): the map keeps its contents when a newer build replaces the object.
 * The map there needs the same name, type, sizes, max_entries and flags; otherwise it starts empty,
 * and .cgview/status says why. While the object is replaced, both use the map.
 */
#define CGVIEW_KEEP cgview__tag("keep")

/*
 * Constants that cgview sets before it loads the object: the number of possible CPUs, and the size
 * of a page in bytes. With another loader they keep the values here.
 */
#define CGVIEW_NR_CPUS	  const volatile __u32 cgview_nr_cpus = 1
#define CGVIEW_PAGE_BYTES const volatile __u32 cgview_page_bytes = 4096
/*
 * Declares cgview_has_NAME: false if cgview left out the optional program (SEC("?...")) NAME, or
 * the map NAME because the kernel lacks its type. True for a name that the object does not have.
 */
#define CGVIEW_OPTIONAL(name) const volatile bool cgview_has_##name = false

#include "hist.h"
#include "cgroup.h"
#include "percpu.h"
#include "record.h"

#endif
