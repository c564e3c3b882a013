// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Histograms of known data: tests/authoring/percentiles.rs computes the same values and compares what is shown
 * with the exact percentiles.
 */
#include <cgview/cgview.h>

#define VALUES 5000

struct quantiles {
	struct cgview_hist even CGVIEW_HIST("", "all of one size");
	struct cgview_hist skewed CGVIEW_HIST("ns", "most small, a few very large");
	struct cgview_hist few CGVIEW_HIST("bytes", "0 to 9");
	struct cgview_hist_log2 coarse CGVIEW_HIST("us", "the skewed ones, by powers of two");
};

struct sequence {
	__u64 state;
	struct quantiles *r;
};

static int add_next(__u32 i, struct sequence *sequence)
{
	struct quantiles *r = sequence->r;
	__u64 value, skewed;

	sequence->state ^= sequence->state << 13;
	sequence->state ^= sequence->state >> 7;
	sequence->state ^= sequence->state << 17;
	value = sequence->state >> 11;
	skewed = 1000 + (value % 1000 << (value >> 20) % 24);
	cgview_hist_add(&r->even, 1000000 + value % 1000000);
	cgview_hist_add(&r->skewed, skewed);
	cgview_hist_add_percpu(&r->few, value % 10);
	cgview_hist_log2_add(&r->coarse, skewed);
	return 0;
}

static __always_inline int fill_quantiles(struct cgroup *cgrp, struct quantiles *r)
{
	struct sequence sequence = {.state = cgview_id(cgrp), .r = r};

	bpf_loop(VALUES, add_next, &sequence, 0);
	return 0;
}

CGVIEW_RECORD(quantiles, struct quantiles, fill_quantiles, "Known data");

char LICENSE[] SEC("license") = "Dual MIT/GPL";
