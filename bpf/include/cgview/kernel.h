// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Kernel types for views, each with only the fields that are read. CO-RE finds the offsets of the
 * running kernel. Test with bpf_core_field_exists() before you read a field that some kernels lack.
 * For more types and fields, declare them the same way, or include <linux/bpf.h> or a vmlinux.h
 * before this header.
 */
#ifndef CGVIEW_KERNEL_H
#define CGVIEW_KERNEL_H

#ifndef __VMLINUX_H__

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

enum { false, true };

#define NULL ((void *)0)

#if !defined(__LINUX_BPF_H__) && !defined(_UAPI__LINUX_BPF_H__)

/* From the kernel's stable user API, linux/bpf.h. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LRU_PERCPU_HASH = 10,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
	BPF_MAP_TYPE_CGRP_STORAGE = 32,
};

enum {
	BPF_ANY,
	BPF_NOEXIST,
	BPF_EXIST,
	BPF_F_NO_PREALLOC = 1U << 0,
	BPF_F_MMAPABLE = 1U << 10,
	BPF_F_INNER_MAP = 1U << 12,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1U << 0,
};

enum bpf_cgroup_iter_order {
	BPF_CGROUP_ITER_SELF_ONLY = 1,
	BPF_CGROUP_ITER_DESCENDANTS_PRE,
};

#endif /* linux/bpf.h */

/* The values differ between kernels: use bpf_core_enum_value(). */
enum cgroup_subsys_id { cpu_cgrp_id, io_cgrp_id, memory_cgrp_id, pids_cgrp_id };

enum { CSS_ONLINE = 1 << 1, CSS_VISIBLE = 1 << 3 };

/* For bpf_iter_css_task_new(): processes instead of threads. */
enum { CSS_TASK_ITER_PROCS = 1 << 0 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next;
};

struct kernfs_node {
	const char *name;
	__u64 id;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
	unsigned int flags;
	__u64 serial_nr;
	int nr_populated_csets; /* of newer kernels; older ones have it in struct cgroup */
};

struct task_cputime {
	__u64 stime;
	__u64 utime;
	unsigned long long sum_exec_runtime;
};

struct cgroup_base_stat {
	struct task_cputime cputime;
};

struct prev_cputime {
	__u64 utime;
	__u64 stime;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	struct cgroup_subsys_state self;
	int level;
	int nr_descendants;
	int nr_dying_descendants;
	int nr_populated_csets;
	struct kernfs_node *kn;
	struct cgroup_subsys_state *subsys[16];
	struct cgroup_root *root;
	struct list_head cset_links;
	struct cgroup_base_stat bstat;
	struct prev_cputime prev_cputime;
	struct cgroup *ancestors[];
};

struct css_set {
	struct cgroup *dfl_cgrp;
	int nr_tasks;
};

struct cgrp_cset_link {
	struct cgroup *cgrp;
	struct css_set *cset;
	struct list_head cset_link;
};

struct task_struct {
	int pid;
	int tgid;
	char comm[16];
	struct css_set *cgroups;
};

struct bpf_array {
	void *pptrs[1];
};

struct seq_file {
	unsigned long size;
	unsigned long count;
};

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

#pragma clang attribute pop

/* Contexts of programs and states of iterators have fixed layouts: CO-RE must not change them. */
struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
};

struct bpf_iter_css {
	__u64 opaque[3];
};

struct bpf_iter_css_task {
	__u64 opaque[1];
};

#endif /* __VMLINUX_H__ */

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* libbpf before 1.2 does not have it; Debian 12 does not have 1.2. */
#ifndef bpf_ksym_exists
#define bpf_ksym_exists(symbol) (!!(symbol))
#endif

/*
 * Kfuncs that some kernels lack: test with bpf_ksym_exists(). Linux 6.1 has only cgroup_rstat_*
 * of them and refuses that test for these two, so test for css_rstat_* instead.
 */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __weak __ksym;
extern void bpf_rcu_read_lock(void) __weak __ksym;
extern void bpf_rcu_read_unlock(void) __weak __ksym;
extern struct cgroup *bpf_cgroup_from_id(__u64 id) __weak __ksym;
extern struct cgroup *bpf_cgroup_acquire(struct cgroup *cgrp) __weak __ksym;
extern void bpf_cgroup_release(struct cgroup *cgrp) __weak __ksym;
extern int bpf_iter_css_new(struct bpf_iter_css *it, struct cgroup_subsys_state *start,
			    unsigned int flags) __weak __ksym;
extern struct cgroup_subsys_state *bpf_iter_css_next(struct bpf_iter_css *it) __weak __ksym;
extern void bpf_iter_css_destroy(struct bpf_iter_css *it) __weak __ksym;
extern int bpf_iter_css_task_new(struct bpf_iter_css_task *it, struct cgroup_subsys_state *css,
				 unsigned int flags) __weak __ksym;
extern struct task_struct *bpf_iter_css_task_next(struct bpf_iter_css_task *it) __weak __ksym;
extern void bpf_iter_css_task_destroy(struct bpf_iter_css_task *it) __weak __ksym;
extern void css_rstat_flush(struct cgroup_subsys_state *css) __weak __ksym;
extern void cgroup_rstat_flush(struct cgroup *cgrp) __weak __ksym;
extern void css_rstat_updated(struct cgroup_subsys_state *css, int cpu) __weak __ksym;
extern void cgroup_rstat_updated(struct cgroup *cgrp, int cpu) __weak __ksym;

#endif
