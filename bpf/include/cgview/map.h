// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What programs do with a map by cgroup, which map.bpf.h or record.bpf.h defines. `map` is its
 * name, without "&". Included by cgview.h.
 */
#ifndef CGVIEW_MAP_H
#define CGVIEW_MAP_H

/*
 * A pointer to the cgroup's value, which is all zeros at first. NULL for a cgroup v1 and, if there
 * is no value yet, for a cgroup that was removed or if the map is full.
 */
#define cgview_value(map, cgrp) cgview_value_##map(cgrp)
/* A pointer to the cgroup's value, or NULL if there is none. */
#define cgview_find(map, cgrp) cgview_find_##map(cgrp)
/*
 * Whether an entry could not be made once: no room in the map, or no memory. Since then a cgroup
 * without a value may have a number, and a value may be too low.
 */
#define cgview_overflowed(map) (cgview_overflow_##map)

/*
 * Add to the numbers of the cgroup's value: cgview_add(map, cgrp, .reads = 1, .read_bytes = n).
 * All members of the value are __u64.
 */
#define cgview_add(map, cgrp, ...) cgview_add_##map(cgrp, (cgview_type_##map){__VA_ARGS__})
/*
 * The same for the cgroup and each of its ancestors, at any depth. So each number is the sum of its
 * subtree, and keeps the share of a removed cgroup.
 */
#define cgview_add_up(map, cgrp, ...) cgview_add_up_##map(cgrp, (cgview_type_##map){__VA_ARGS__})
/* The same for the cgroup of the packet's socket and its ancestors, in a cgroup_skb program. */
#define cgview_add_up_skb(map, skb, ...)                                                           \
	cgview_add_up_skb_##map(skb, (cgview_type_##map){__VA_ARGS__})

/* Counts `value` in a histogram, a member of the cgroup's value. */
#define cgview_observe(map, cgrp, member, value)                                                   \
	({                                                                                         \
		cgview_type_##map *__value = cgview_value(map, cgrp);                              \
                                                                                                   \
		if (__value)                                                                       \
			_Generic(&__value->member, struct cgview_hist *                            \
				 : cgview_hist_add, struct cgview_hist_log2 *                      \
				 : cgview_hist_log2_add)(&__value->member, value);                 \
	})

typedef __u64 __attribute__((may_alias)) cgview__number;

/* Adds each of `count` numbers. */
static __always_inline void cgview__add_all(void *to, const void *amount, __u32 count)
{
	cgview__number *sum = to;
	const cgview__number *number = amount;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < count; i++) {
		if (number[i])
			__sync_fetch_and_add(&sum[i], number[i]);
	}
}

/* Moves each of `count` numbers, which other CPUs may raise meanwhile. */
static __always_inline bool cgview__take_all(void *from, void *amount, __u32 count)
{
	cgview__number *number = from, *taken = amount, all = 0;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < count; i++) {
		if (number[i])
			taken[i] += __sync_lock_test_and_set(&number[i], 0);
		all |= taken[i];
	}
	return all;
}

#endif
