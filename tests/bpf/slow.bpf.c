// SPDX-License-Identifier: MIT OR Apache-2.0
/* A view that keeps the verifier busy up to its limit, and is refused then. */
#include <cgview/cgview.h>

SEC("iter/cgroup")
int slow(struct bpf_iter__cgroup *ctx)
{
	__u64 sum = 0;

	for (int i = 0; i < 100000; i++) {
		if (bpf_get_prandom_u32() & 1)
			sum += i;
		else
			sum ^= sum << 3;
	}
	BPF_SEQ_PRINTF(ctx->meta->seq, "%llu\n", sum);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
