// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * One of everything that can leak: two collectors, a map, a record view with its maps and programs. "0000" in the names
 * is made unique by the test. With BROKEN, one collector cannot be attached.
 */
#include <cgview/cgview.h>

/* Element 0: how many programs have been executed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lk_map_0000 CGVIEW_KEEP SEC(".maps");

static __always_inline int count(void)
{
	__u32 zero = 0;
	__u64 *value = bpf_map_lookup_elem(&lk_map_0000, &zero);

	if (value)
		__sync_fetch_and_add(value, 1);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(lk_exec_0000)
{
	return count();
}

#ifdef BROKEN
SEC("kprobe/cgview_no_such_function")
#else
SEC("cgroup_skb/egress")
#endif
int lk_skb_0000(void *ctx)
{
	count();
	return 1;
}

struct lk_rec_0000 {
	__u64 id CGVIEW_GAUGE("", "cgroup");
};

static __always_inline int fill(struct cgroup *cgrp, struct lk_rec_0000 *r)
{
	r->id = cgview_id(cgrp);
	return 0;
}
CGVIEW_RECORD(lk_0000, struct lk_rec_0000, fill, "Leaves nothing behind");

char LICENSE[] SEC("license") = "Dual MIT/GPL";
