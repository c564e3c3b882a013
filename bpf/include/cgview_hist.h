// SPDX-License-Identifier: MIT OR Apache-2.0
/* Histograms of a record. Included by cgview.h. */
#ifndef CGVIEW_HIST_H
#define CGVIEW_HIST_H

#define CGVIEW_HIST_SLOTS      160
#define CGVIEW_HIST_LOG2_SLOTS 64

/*
 * Four slots to each power of two, so a percentile is within 12.5 % of the truth: slots 0..4 hold
 * the values 0..4 exactly, then slot 4 * (e - 1) + s counts [(4 + s) * 2^(e-2), (5 + s) * 2^(e-2)).
 * The last slot takes all from 7 * 2^38 on (half an hour in ns).
 */
struct cgview_hist {
	__u64 sum;
	__u64 max;
	__u64 slots[CGVIEW_HIST_SLOTS];
};

/* Slot n counts [2^n, 2^(n+1)), slot 0 also 0. */
struct cgview_hist_log2 {
	__u64 sum;
	__u64 max;
	__u64 slots[CGVIEW_HIST_LOG2_SLOTS];
};

/*
 * Counts the bits below the highest one, without a branch, so that the verifier follows one path.
 * (clang 14 cannot compile __builtin_clzll() for BPF.) 0 for 0.
 */
static __always_inline __u64 cgview_log2(__u64 value)
{
	value >>= 1;
	value |= value >> 1;
	value |= value >> 2;
	value |= value >> 4;
	value |= value >> 8;
	value |= value >> 16;
	value |= value >> 32;
	value -= value >> 1 & 0x5555555555555555ULL;
	value = (value & 0x3333333333333333ULL) + (value >> 2 & 0x3333333333333333ULL);
	value = (value + (value >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	value = value * 0x0101010101010101ULL >> 56;
	/* The compiler knows the bound and would drop the mask, which the verifier needs. */
	barrier_var(value);
	return value & 63;
}

static __always_inline __u64 cgview_hist_slot(__u64 value)
{
	__u64 slot = value;

	if (value >= 4) {
		__u32 exp = cgview_log2(value);

		slot = 4 * (exp - 1) + ((value >> (exp - 2)) & 3);
	}
	/* So that what is compared is what is used. */
	barrier_var(slot);
	return slot < CGVIEW_HIST_SLOTS ? slot : CGVIEW_HIST_SLOTS - 1;
}

static __always_inline void cgview_max(__u64 *max, __u64 value)
{
	for (int tries = 0; tries < 4; tries++) {
		__u64 old = *(volatile __u64 *)max;

		if (value <= old || __sync_val_compare_and_swap(max, old, value) == old)
			return;
	}
}

/* For a histogram that several CPUs share. */
static __always_inline void cgview_hist_add(struct cgview_hist *hist, __u64 value)
{
	__sync_fetch_and_add(&hist->sum, value);
	__sync_fetch_and_add(&hist->slots[cgview_hist_slot(value)], 1);
	cgview_max(&hist->max, value);
}

/* For one in a per-CPU map, where nothing interrupts the program that writes it. */
static __always_inline void cgview_hist_add_percpu(struct cgview_hist *hist, __u64 value)
{
	hist->sum += value;
	hist->slots[cgview_hist_slot(value)]++;
	if (value > hist->max)
		hist->max = value;
}

static __always_inline void cgview_hist_log2_add(struct cgview_hist_log2 *hist, __u64 value)
{
	__sync_fetch_and_add(&hist->sum, value);
	__sync_fetch_and_add(&hist->slots[cgview_log2(value)], 1);
	cgview_max(&hist->max, value);
}

/*
 * Add one histogram to another: the copies of a per-CPU map to the record's. Call them from a
 * bpf_loop(cgview_nr_cpus, ...): a plain loop is too long for the verifier on a large machine.
 * Global functions, which it follows once, and for which any pointer may be NULL.
 */
__weak __noinline int cgview_hist_merge(struct cgview_hist *into, const struct cgview_hist *from)
{
	if (!into || !from)
		return 0;
	into->sum += from->sum;
	into->max = from->max > into->max ? from->max : into->max;
#pragma clang loop unroll(disable)
	for (int i = 0; i < CGVIEW_HIST_SLOTS; i++)
		into->slots[i] += from->slots[i];
	return 0;
}

__weak __noinline int cgview_hist_log2_merge(struct cgview_hist_log2 *into,
					     const struct cgview_hist_log2 *from)
{
	if (!into || !from)
		return 0;
	into->sum += from->sum;
	into->max = from->max > into->max ? from->max : into->max;
#pragma clang loop unroll(disable)
	for (int i = 0; i < CGVIEW_HIST_LOG2_SLOTS; i++)
		into->slots[i] += from->slots[i];
	return 0;
}

#endif
