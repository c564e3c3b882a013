// SPDX-License-Identifier: MIT OR Apache-2.0
/* A view that the verifier refuses everywhere: its loop has no end. */
#include <cgview/cgview.h>

SEC("iter/cgroup")
int refused(struct bpf_iter__cgroup *ctx)
{
	for (;;)
		bpf_ktime_get_ns();
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
