// SPDX-License-Identifier: MIT OR Apache-2.0
/* Times that tasks take, between two events. Included by cgview.h. */
#ifndef CGVIEW_STOPWATCH_H
#define CGVIEW_STOPWATCH_H

/* So many tasks can be between the two events; those beyond are not measured. */
#define CGVIEW_MAX_STOPWATCHES 16384

/*
 * Defines the map `name`: a stopwatch for each task, by thread id. It is preallocated, because the
 * kernel must not allocate memory under the lock of a run queue. Each cgview_start() needs a
 * cgview_stop(), also for a task that ends, or its entry stays.
 */
#define CGVIEW_STOPWATCH(name)                                                                     \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(max_entries, CGVIEW_MAX_STOPWATCHES);                                       \
		__type(key, int);                                                                  \
		__type(value, __u64);                                                              \
	} name SEC(".maps")

/* Starts the task's stopwatch, unless it runs already. Always 0, to return from the program. */
#define cgview_start(stopwatch, task) cgview__start(&stopwatch, task)
/* Stops the task's stopwatch. Gives the ns since its start, at least 1; 0 if it did not run. */
#define cgview_stop(stopwatch, task) cgview__stop(&stopwatch, task)

static __always_inline int cgview__start(void *stopwatch, struct task_struct *task)
{
	__u64 now = bpf_ktime_get_ns();
	int tid = task->pid;

	/* Each CPU's idle task has id 0. */
	if (tid)
		bpf_map_update_elem(stopwatch, &tid, &now, BPF_NOEXIST);
	return 0;
}

static __always_inline __u64 cgview__stop(void *stopwatch, struct task_struct *task)
{
	int tid = task->pid;
	__u64 *start = bpf_map_lookup_elem(stopwatch, &tid), took;

	if (!start)
		return 0;
	took = bpf_ktime_get_ns() - *start;
	bpf_map_delete_elem(stopwatch, &tid);
	return took ? took : 1;
}

#endif
