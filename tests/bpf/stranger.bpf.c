// SPDX-License-Identifier: GPL-2.0
/*
 * How often has a program been executed in this cgroup? By somebody who has never heard of cgview: with nothing but
 * libbpf's headers and the kernel's user API.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;
struct task_struct;
struct linux_binprm;
struct kernfs_node {
	__u64 id;
};
struct cgroup {
	struct kernfs_node *kn;
};
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_iter__cgroup {
	struct bpf_iter_meta *meta;
	struct cgroup *cgroup;
};
#pragma clang attribute pop

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u64);
	__type(value, __u64);
} counts SEC(".maps");

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *p, int old_pid, struct linux_binprm *bprm)
{
	__u64 id = bpf_get_current_cgroup_id(), one = 1, *count;

	count = bpf_map_lookup_elem(&counts, &id);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&counts, &id, &one, BPF_ANY);
	return 0;
}

SEC("iter/cgroup")
int execs(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	__u64 id, *count;

	if (!cgrp)
		return 0;
	id = BPF_CORE_READ(cgrp, kn, id);
	count = bpf_map_lookup_elem(&counts, &id);
	BPF_SEQ_PRINTF(ctx->meta->seq, "execs %llu\n", count ? *count : 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
