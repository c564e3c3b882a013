// SPDX-License-Identifier: MIT OR Apache-2.0
/* A text view called VIEW, or NAME, that prints TEXT, a blank and the cgroup's id; with TWICE, two of a name. */
#include <cgview/cgview.h>

#ifdef NAME
CGVIEW_NAME(VIEW, NAME);
#endif
#ifdef TWICE
CGVIEW_NAME(again, TWICE);
SEC("iter/cgroup")
int again(struct bpf_iter__cgroup *ctx)
{
	return 0;
}
#endif

SEC("iter/cgroup")
int VIEW(struct bpf_iter__cgroup *ctx)
{
	if (!ctx->cgroup)
		return 0;
	BPF_SEQ_PRINTF(ctx->meta->seq, TEXT " %llu\n", cgview_id(ctx->cgroup));
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
