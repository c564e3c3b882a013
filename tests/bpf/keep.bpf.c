// SPDX-License-Identifier: MIT OR Apache-2.0
/* A view that counts its runs in a map that keeps its contents, and in one that does not. */
#include <cgview/cgview.h>

/* Element 0: runs of this and of earlier objects. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ENTRIES);
	__type(key, __u32);
	__type(value, __u64);
} kept SEC(".maps") CGVIEW_KEEP;

/* Element 0: runs of this object. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} fresh SEC(".maps");

static __always_inline __u64 count(void *map)
{
	__u32 zero = 0;
	__u64 *value = bpf_map_lookup_elem(map, &zero);

	return value ? ++*value : 0;
}

SEC("iter/cgroup")
int runs(struct bpf_iter__cgroup *ctx)
{
	if (ctx->cgroup)
		BPF_SEQ_PRINTF(ctx->meta->seq, VERSION " kept %llu fresh %llu\n", count(&kept),
			       count(&fresh));
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
