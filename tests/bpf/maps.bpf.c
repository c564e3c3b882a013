// SPDX-License-Identifier: MIT OR Apache-2.0
/* A view with a map of ENTRIES elements of 1 KiB. */
#include <cgview/cgview.h>

struct element {
	char bytes[1024];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENTRIES);
	__type(key, __u64);
	__type(value, struct element);
} elements SEC(".maps");

SEC("iter/cgroup")
int elements_of(struct bpf_iter__cgroup *ctx)
{
	__u64 key = 0;

	if (ctx->cgroup)
		BPF_SEQ_PRINTF(ctx->meta->seq, "found %d\n",
			       bpf_map_lookup_elem(&elements, &key) != NULL);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
