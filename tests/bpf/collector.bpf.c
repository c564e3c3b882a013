// SPDX-License-Identifier: MIT OR Apache-2.0
/* A program that HOOK calls; with VIEW, a view beside it. */
#include <cgview/cgview.h>

SEC(HOOK)
int collector(void *ctx)
{
	return 0;
}

#ifdef VIEW
SEC("iter/cgroup")
int beside(struct bpf_iter__cgroup *ctx)
{
	return 0;
}
#endif

char LICENSE[] SEC("license") = "Dual MIT/GPL";
