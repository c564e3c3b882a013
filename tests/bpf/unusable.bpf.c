// SPDX-License-Identifier: MIT OR Apache-2.0
/* A record view that the kernel takes and cgview cannot show: its member is called as the column of paths. */
#include <cgview/cgview.h>

struct clash {
	__u64 cgroup CGVIEW_GAUGE("", "clashes");
};

static __always_inline int fill_clash(struct cgroup *cgrp, struct clash *r)
{
	return 0;
}

CGVIEW_RECORD(clash, struct clash, fill_clash, "Cannot be shown");

char LICENSE[] SEC("license") = "Dual MIT/GPL";
