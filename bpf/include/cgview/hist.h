// SPDX-License-Identifier: MIT OR Apache-2.0
/* Histograms: fields of a record, or values of a map. Included by cgview.h. */
#ifndef CGVIEW_HIST_H
#define CGVIEW_HIST_H

#define CGVIEW_HIST_SLOTS      160
#define CGVIEW_HIST_LOG2_SLOTS 64

/*
 * Four slots for each power of two, so percentiles are at most 12.5 % off. Slots 0 to 3 count the
 * values 0 to 3. With e >= 2 and s from 0 to 3, slot 4 * (e - 1) + s counts the values
 * [(4 + s) * 2^(e-2), (5 + s) * 2^(e-2)). The last slot counts all from 7 * 2^38 on (half an hour
 * in ns).
 */
struct cgview_hist {
	__u64 sum;
	__u64 max;
	__u64 slots[CGVIEW_HIST_SLOTS];
};

/* Slot n counts the values [2^n, 2^(n+1)), slot 0 also 0; percentiles are at most 50 % off. */
struct cgview_hist_log2 {
	__u64 sum;
	__u64 max;
	__u64 slots[CGVIEW_HIST_LOG2_SLOTS];
};

/*
 * The position of the highest set bit, from 0 to 63; 0 for 0. It has no branch, so the verifier
 * follows one path. (clang 14 cannot compile __builtin_clzll() for BPF.)
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
	/* Without a barrier the compiler drops the mask as redundant, and the verifier needs it. */
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
	/* The verifier accepts the index only if the compared register is the one that is used. */
	barrier_var(slot);
	return slot < CGVIEW_HIST_SLOTS ? slot : CGVIEW_HIST_SLOTS - 1;
}

/* Raises *max to `value`; gives up when other CPUs change it four times meanwhile. */
static __always_inline void cgview_max(__u64 *max, __u64 value)
{
	for (int tries = 0; tries < 4; tries++) {
		__u64 old = *(volatile __u64 *)max;

		if (value <= old || __sync_val_compare_and_swap(max, old, value) == old)
			return;
	}
}

/* Counts a value in a histogram that several CPUs share. */
static __always_inline void cgview_hist_add(struct cgview_hist *hist, __u64 value)
{
	__sync_fetch_and_add(&hist->sum, value);
	__sync_fetch_and_add(&hist->slots[cgview_hist_slot(value)], 1);
	cgview_max(&hist->max, value);
}

/* Counts a value in a per-CPU map. Only for programs that do not interrupt each other there. */
static __always_inline void cgview_hist_add_percpu(struct cgview_hist *hist, __u64 value)
{
	hist->sum += value;
	hist->slots[cgview_hist_slot(value)]++;
	if (value > hist->max)
		hist->max = value;
}

/* Counts a value in a histogram that several CPUs share. */
static __always_inline void cgview_hist_log2_add(struct cgview_hist_log2 *hist, __u64 value)
{
	__sync_fetch_and_add(&hist->sum, value);
	__sync_fetch_and_add(&hist->slots[cgview_log2(value)], 1);
	cgview_max(&hist->max, value);
}

/*
 * Add `from` to `into`, for instance the copies of a per-CPU map to a field of the record. Return
 * 0, and do nothing if either is NULL. For all CPUs use bpf_loop(cgview_nr_cpus, ...): on a large
 * machine a plain loop is too long for the verifier. They are global functions, which the verifier
 * checks once and not at each call.
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
