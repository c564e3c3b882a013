// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The header for authors of views; docs/authoring.md is the guide. This object counts forks. It has
 * a view called forks, and a map called counts with an entry for each cgroup:
 *
 *	#include <cgview/cgview.h>
 *
 *	struct forks {
 *		__u64 forks CGVIEW_COUNTER("", "processes and threads started");
 *	};
 *
 *	#define CGVIEW_VIEW forks
 *	#define CGVIEW_MAP counts
 *	#include <cgview/record.bpf.h>
 *
 *	SEC("tp_btf/sched_process_fork")
 *	int BPF_PROG(count_fork, struct task_struct *parent)
 *	{
 *		cgview_add(counts, cgview_task_cgroup(parent), .forks = 1);
 *		return 0;
 *	}
 *
 *	char LICENSE[] SEC("license") = "Dual MIT/GPL";
 *
 * cgview reads names, layouts and help texts from the object's BTF, so compile with -g. An object
 * that breaks a rule of a macro below is unavailable: cgview --check gives the reason.
 */
#ifndef CGVIEW_H
#define CGVIEW_H

#include "kernel.h"

/*
 * The version of what an object and cgview have to agree on: the tags, struct cgview_swept and the
 * histograms. cgview refuses an object of another version.
 */
#define CGVIEW_ABI 2

#define cgview__text_of(tokens)	 #tokens
#define cgview__text(tokens)	 cgview__text_of(tokens)
#define cgview__join_of(a, b, c) a##b##c
#define cgview__join(a, b, c)	 cgview__join_of(a, b, c)

/* BPF_PROG() and CGVIEW_OPTIONAL() of a name that a macro makes. */
#define cgview__prog(name, args...) BPF_PROG(name, ##args)
#define cgview__optional(name)	    CGVIEW_OPTIONAL(name)

/* For functions that a template defines whether they are used or not. */
#define cgview__outline __noinline __attribute__((unused))

#define cgview__tag(text) __attribute__((btf_decl_tag("cgview:" text)))

const char cgview_abi __weak cgview__tag("abi=" cgview__text(CGVIEW_ABI)) = CGVIEW_ABI;

/*
 * Constants that cgview sets before it loads the object: the number of possible CPUs, and the size
 * of a page in bytes. With another loader they keep the values here.
 */
const volatile __u32 cgview_nr_cpus __weak = 1;
const volatile __u32 cgview_page_bytes __weak = 4096;

/*
 * Fields of a record: a counter only grows, a gauge goes up and down. `unit` is the unit of the
 * value that the program writes: "ns", "us", "bytes" or "".
 */
#define CGVIEW_COUNTER(unit, help) cgview__tag("counter") cgview__sample(unit, help)
#define CGVIEW_GAUGE(unit, help)   cgview__tag("gauge") cgview__sample(unit, help)
#define CGVIEW_HIST(unit, help)	   cgview__sample(unit, help)
/* A label field: it distinguishes the rows of one cgroup. An integer or a char array. */
#define CGVIEW_LABEL(help) cgview__tag("label") cgview__tag("help=" help)
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
 * Anywhere in the source, about the view whose program is called `view`: the name of its file, and
 * the text of .cgview/views/NAME/help. A name has at most 200 bytes, no '/', no control character
 * and no leading dot. Default: the program's name, no help.
 */
#define CGVIEW_NAME(view, text) cgview__about(name, view, cgview__tag("name=" text))
#define CGVIEW_HELP(view, text) cgview__about(help, view, cgview__tag("help=" text))
/*
 * About a view: one read visits several cgroups. "pre": the subtree, parents first; "post":
 * children first; "up": the cgroup and its ancestors; "children": its children (Linux 7). If this
 * kernel does not have the order, the view is unavailable.
 */
#define CGVIEW_ORDER(view, text) cgview__about(order, view, cgview__tag("order=" text))
/*
 * About a view whose program writes any number of `record` for a cgroup, each by one
 * bpf_seq_write(): the rows, distinguished by label fields. If the rows of one run do not fit into
 * the kernel's buffer (just under 32 KiB), the read fails with E2BIG. A subtree is read cgroup by
 * cgroup.
 */
#define CGVIEW_ROWS(view, record)                                                                  \
	const record cgview_rows_##view __weak cgview__tag("program=" #view)                       \
		cgview__tag("record=" #record) = {}

/* On a variable, and not on the program: the program may be declared in any way. */
#define cgview__about(what, view, tag)                                                             \
	const char cgview_##what##_##view __weak cgview__tag("program=" #view) tag = 0

/*
 * After a map's SEC(".maps"): the map keeps its contents when a newer build replaces the object.
 * The map there needs the same name, type, sizes, max_entries and flags; otherwise it starts empty,
 * and .cgview/status says why. While the object is replaced, both use the map.
 */
#define CGVIEW_KEEP cgview__tag("keep")

/*
 * Declares cgview_has_NAME: false if cgview left out the optional program (SEC("?...")) NAME, or
 * the map NAME because the kernel lacks its type. True for a name that the object does not have.
 */
#define CGVIEW_OPTIONAL(name) const volatile bool cgview_has_##name = false

#include "cgroup.h"
#include "hist.h"
#include "map.h"
#include "percpu.h"
#include "record.h"
#include "stopwatch.h"

#endif
