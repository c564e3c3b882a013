// SPDX-License-Identifier: MIT OR Apache-2.0
/* A text view called VIEW whose output is lost when nobody reads it: the number of the run, which no other run shows, and
 * LINES lines of 40 bytes. */
#include <cgview/cgview.h>

__u64 runs;

SEC("iter/cgroup")
int VIEW(struct bpf_iter__cgroup *ctx)
{
	if (!ctx->cgroup)
		return 0;
	BPF_SEQ_PRINTF(ctx->meta->seq, "run %llu\n", __sync_fetch_and_add(&runs, 1) + 1);
	for (int line = 0; line < LINES; line++)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%039d\n", line);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
