// SPDX-License-Identifier: MIT OR Apache-2.0
/* A view of a map that the program's owner writes. */
#include <cgview/cgview.h>

/* Element 0: the number. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} number SEC(".maps");

SEC("iter/cgroup")
int owned(struct bpf_iter__cgroup *ctx)
{
	__u32 zero = 0;
	__u64 *value = bpf_map_lookup_elem(&number, &zero);

	if (ctx->cgroup && value)
		BPF_SEQ_PRINTF(ctx->meta->seq, "number %llu\n", *value);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
