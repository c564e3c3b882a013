// SPDX-License-Identifier: MIT OR Apache-2.0
/* A text view of LINES lines of 1 KiB. */
#include <cgview/cgview.h>

static int write_line(__u32 i, struct seq_file **seq)
{
	static const char line[1024] = {[0 ... 1022] = 'x', '\n'};

	bpf_seq_write(*seq, line, sizeof(line));
	return 0;
}

SEC("iter/cgroup")
int lines(struct bpf_iter__cgroup *ctx)
{
	struct seq_file *seq = ctx->meta->seq;

	if (ctx->cgroup)
		bpf_loop(LINES, write_line, &seq, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
