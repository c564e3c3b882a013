// SPDX-License-Identifier: MIT OR Apache-2.0
/* Rows from a walk: the cgroup itself and those that it is in. */
#include <cgview/cgview.h>

struct step {
	__u64 id CGVIEW_KEY("the cgroup's id");
	__u64 level CGVIEW_GAUGE("", "its level");
};

CGVIEW_ORDER(line, "up");
CGVIEW_ROWS(line, struct step, "A cgroup and those that it is in");

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
