// SPDX-License-Identifier: MIT OR Apache-2.0
/* A text view that takes LOOPS rounds for each cgroup and prints how many runs there were before. */
#include <cgview/cgview.h>

__u64 runs;

static int nothing(__u32 i, void *ctx)
{
	return 0;
}

SEC("iter/cgroup")
int busy(struct bpf_iter__cgroup *ctx)
{
	__u64 before;

	if (!ctx->cgroup)
		return 0;
	bpf_loop(LOOPS, nothing, NULL, 0);
	before = __sync_fetch_and_add(&runs, 1);
	BPF_SEQ_PRINTF(ctx->meta->seq, "%llu\n", before);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
