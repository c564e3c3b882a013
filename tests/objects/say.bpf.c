// SPDX-License-Identifier: MIT OR Apache-2.0
/* A text view called VIEW that prints TEXT, a blank and the cgroup's id. */
#include "cgview.h"

SEC("iter/cgroup")
int VIEW(struct bpf_iter__cgroup *ctx)
{
	if (!ctx->cgroup)
		return 0;
	BPF_SEQ_PRINTF(ctx->meta->seq, TEXT " %llu\n", cgview_id(ctx->cgroup));
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
