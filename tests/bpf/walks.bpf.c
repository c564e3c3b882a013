// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Several views in one object, one for each order of a walk. A line is the number of the element and the cgroup's id;
 * the last line is "end". The view "first" ends its walk early; "sleepy" may sleep.
 */
#include <cgview/cgview.h>

static __always_inline int line(struct bpf_iter__cgroup *ctx)
{
	if (ctx->cgroup)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%llu %llu\n", ctx->meta->seq_num,
			       cgview_id(ctx->cgroup));
	else
		BPF_SEQ_PRINTF(ctx->meta->seq, "end\n");
	return 0;
}

CGVIEW_ORDER(itself, "self");
SEC("iter/cgroup")
int itself(struct bpf_iter__cgroup *ctx)
{
	return line(ctx);
}

CGVIEW_ORDER(pre, "pre");
CGVIEW_NAME(pre, "walk.pre-order");
CGVIEW_HELP(pre, "Parents first");
SEC("iter/cgroup")
int pre(struct bpf_iter__cgroup *ctx)
{
	return line(ctx);
}

CGVIEW_ORDER(post, "post");
SEC("iter/cgroup")
int post(struct bpf_iter__cgroup *ctx)
{
	return line(ctx);
}

CGVIEW_ORDER(up, "up");
SEC("iter/cgroup")
int up(struct bpf_iter__cgroup *ctx)
{
	return line(ctx);
}

CGVIEW_ORDER(children, "children");
SEC("iter/cgroup")
int children(struct bpf_iter__cgroup *ctx)
{
	return line(ctx);
}

CGVIEW_ORDER(first, "pre");
SEC("iter/cgroup")
int first(struct bpf_iter__cgroup *ctx)
{
	line(ctx);
	return 1;
}

SEC("iter.s/cgroup")
int sleepy(struct bpf_iter__cgroup *ctx)
{
	return line(ctx);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
