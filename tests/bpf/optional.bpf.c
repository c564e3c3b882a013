// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Optional programs: one that every kernel takes, collectors whose hooks no kernel has, which shows at the load of one
 * and at the attachment of the other, and a view that the verifier refuses everywhere.
 */
#include <cgview/cgview.h>

CGVIEW_OPTIONAL(there);
CGVIEW_OPTIONAL(nowhere);
CGVIEW_OPTIONAL(unattached);
CGVIEW_OPTIONAL(refused);

SEC("?tp_btf/sched_process_exec")
int BPF_PROG(there)
{
	return 0;
}

SEC("?tp_btf/cgview_no_such_tracepoint")
int BPF_PROG(nowhere)
{
	return 0;
}

SEC("?kprobe/cgview_no_such_function")
int unattached(void *ctx)
{
	return 0;
}

SEC("?iter/cgroup")
int refused(struct bpf_iter__cgroup *ctx)
{
	return *(int *)0x10;
}

SEC("iter/cgroup")
int which(struct bpf_iter__cgroup *ctx)
{
	if (ctx->cgroup)
		BPF_SEQ_PRINTF(ctx->meta->seq, "there %d nowhere %d unattached %d refused %d\n",
			       cgview_has_there, cgview_has_nowhere, cgview_has_unattached,
			       cgview_has_refused);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
