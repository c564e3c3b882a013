// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Which tasks are in this cgroup? A record view with a row for each thread, by the kernel's
 * iterator over the tasks of a cgroup; on a kernel without it the view is unavailable. The kernel's
 * buffer holds some 1300 rows. If there are more, the read fails with E2BIG.
 */
#include <cgview/cgview.h>

struct task {
	__u32 tid CGVIEW_KEY("the thread's id");
	__u32 pid CGVIEW_GAUGE("", "its process's id");
	char comm[16] CGVIEW_GAUGE("", "its name");
};

CGVIEW_ROWS(tasks, struct task, "The threads of a cgroup");

SEC("iter/cgroup")
int tasks(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	struct bpf_iter_css_task it;
	struct task_struct *task;

	if (!cgrp)
		return 0;
	bpf_iter_css_task_new(&it, &cgrp->self, 0);
	while ((task = bpf_iter_css_task_next(&it))) {
		struct task row = {.tid = task->pid, .pid = task->tgid};

		bpf_core_read(row.comm, sizeof(row.comm), &task->comm);
		bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	}
	bpf_iter_css_task_destroy(&it);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
