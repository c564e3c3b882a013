// SPDX-License-Identifier: MIT OR Apache-2.0
/* The ids that a read walks in each order, as text and as rows of a record. */
#include "cgview.h"

struct step {
	__u64 id CGVIEW_KEY("the cgroup's id");
	__u64 level CGVIEW_GAUGE("", "its level");
};

CGVIEW_ORDER(pre, "pre");
CGVIEW_ORDER(post, "post");
CGVIEW_ORDER(up, "up");
CGVIEW_ORDER(children, "children");
CGVIEW_ORDER(line, "up");
CGVIEW_ROWS(line, struct step, "A cgroup and those that it is in");

static __always_inline int print_id(struct bpf_iter__cgroup *ctx)
{
	if (ctx->cgroup)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%llu\n", cgview_id(ctx->cgroup));
	return 0;
}

SEC("iter/cgroup")
int pre(struct bpf_iter__cgroup *ctx)
{
	return print_id(ctx);
}

SEC("iter/cgroup")
int post(struct bpf_iter__cgroup *ctx)
{
	return print_id(ctx);
}

SEC("iter/cgroup")
int up(struct bpf_iter__cgroup *ctx)
{
	return print_id(ctx);
}

SEC("iter/cgroup")
int children(struct bpf_iter__cgroup *ctx)
{
	return print_id(ctx);
}

SEC("iter/cgroup")
int line(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	struct step step = {};

	if (!cgrp)
		return 0;
	step.id = cgview_id(cgrp);
	step.level = cgrp->level;
	bpf_seq_write(ctx->meta->seq, &step, sizeof(step));
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
