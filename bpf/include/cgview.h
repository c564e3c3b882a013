// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * All that the author of a view includes. A record view is a struct, a function that fills it for
 * one cgroup, and CGVIEW_RECORD(); cgview finds the rest in the object's BTF:
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
 * The fill function runs for one cgroup (a read of its file) and for every cgroup of a subtree (a
 * sweep). It gets a zeroed record, and returns 0, or anything else for "no record here".
 *
 * What it may do is what all its surroundings allow. It runs in an RCU read section, in a cgroup
 * iterator under cgroup_mutex or in a "syscall" program without it: so it must not sleep, flush
 * rstat, take bpf_rcu_read_lock() itself or call what needs a trusted pointer; it must bound its
 * loops, and the kernel's lists may change under it. Plain loads through the cgroup pointer,
 * BPF_CORE_READ(), map helpers and cgroup storage are all good.
 */
#ifndef CGVIEW_H
#define CGVIEW_H

#include "kernel.h"

#define cgview__tag(text) __attribute__((btf_decl_tag("cgview:" text)))

/* Members of a record. The unit is what the program writes: "ns", "us", "bytes" or "". */
#define CGVIEW_COUNTER(unit, help) cgview__tag("counter") cgview__sample(unit, help)
#define CGVIEW_GAUGE(unit, help)   cgview__tag("gauge") cgview__sample(unit, help)
#define CGVIEW_HIST(unit, help)	   cgview__sample(unit, help)
#define CGVIEW_KEY(help)	   cgview__tag("key") cgview__tag("help=" help)
/* All ones mean: this cgroup, or this kernel, has no such value. */
#define CGVIEW_ABSENT cgview__tag("absent")
/*
 * The value of a __u64 includes those of all descendants. Reads of a subtree then make sure of what
 * no lock in the kernel does: that it is at least the sum of the children's in the same read.
 */
#define CGVIEW_WITH_DESCENDANTS	   cgview__tag("with_descendants")
#define cgview__sample(unit, help) cgview__tag("unit=" unit) cgview__tag("help=" help)

#define CGVIEW_NO_VALUE (~0ULL)

/* Said of a view, record or text, ahead of its program. */
#define CGVIEW_NAME(view, name) int view(struct bpf_iter__cgroup *ctx) cgview__tag("name=" name)
#define CGVIEW_HELP(view, help) int view(struct bpf_iter__cgroup *ctx) cgview__tag("help=" help)
/*
 * Said of a program that writes records itself, each by one bpf_seq_write(): a record with key
 * members is a row, of which a cgroup may have any number. All rows of a read have to fit into the
 * kernel's buffer (32 KiB), else the read fails as a whole. A subtree is read cgroup by cgroup.
 */
#define CGVIEW_ROWS(view, rec, help)                                                               \
	int view(struct bpf_iter__cgroup *ctx) cgview__tag("record=" #rec)                         \
		cgview__tag("help=" help);                                                         \
	/* Without a variable of that type, clang leaves it out of the object's BTF. */            \
	const rec view##_row_type = {}
/* What one read walks instead of the cgroup alone: "pre", "post", "up" or (Linux 7) "children". */
#define CGVIEW_ORDER(view, order) int view(struct bpf_iter__cgroup *ctx) cgview__tag("order=" order)

/*
 * After a map's SEC(".maps"): its contents carry over when the object is replaced by another with
 * a map of this name, type, sizes, max_entries and flags. For a moment both objects use it.
 */
#define CGVIEW_KEEP cgview__tag("keep")

/* Constants that cgview sets before the object is loaded, where the object has them. */
#define CGVIEW_NR_CPUS	  const volatile __u32 cgview_nr_cpus = 1
#define CGVIEW_PAGE_BYTES const volatile __u32 cgview_page_bytes = 4096
/* Whether the optional program (SEC("?...")) or the map of that name is there on this kernel. */
#define CGVIEW_OPTIONAL(name) const volatile bool cgview_has_##name = false

#include "cgview_hist.h"
#include "cgview_cgroup.h"
#include "cgview_percpu.h"
#include "cgview_record.h"

#endif
