// SPDX-License-Identifier: MIT OR Apache-2.0
/* By the kernel's iterator over tasks: all processes, all threads, and the threads of the daemon, which reads. */
#include <cgview/cgview.h>

struct bpf_iter_task {
	__u64 opaque[3];
} __attribute__((aligned(8)));

extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task,
			     unsigned int flags) __weak __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __weak __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __weak __ksym;
extern struct task_struct *bpf_task_from_pid(__s32 pid) __weak __ksym;
extern void bpf_task_release(struct task_struct *task) __weak __ksym;

/* include/linux/bpf.h: the flags of bpf_iter_task_new(). */
enum { ALL_PROCESSES, ALL_THREADS, THREADS_OF_PROCESS };

static __always_inline __u64 count(struct task_struct *task, unsigned int flags)
{
	struct bpf_iter_task it;
	__u64 found = 0;

	bpf_iter_task_new(&it, task, flags);
	while (bpf_iter_task_next(&it))
		found++;
	bpf_iter_task_destroy(&it);
	return found;
}

SEC("iter/cgroup")
int threads(struct bpf_iter__cgroup *ctx)
{
	struct task_struct *leader;

	if (!ctx->cgroup)
		return 0;
	BPF_SEQ_PRINTF(ctx->meta->seq, "processes %llu\nthreads %llu\n", count(NULL, ALL_PROCESSES),
		       count(NULL, ALL_THREADS));
	/* The iterator goes on from the task that it gets. */
	leader = bpf_task_from_pid(bpf_get_current_pid_tgid() >> 32);
	if (leader) {
		BPF_SEQ_PRINTF(ctx->meta->seq, "own %llu\n", count(leader, THREADS_OF_PROCESS));
		bpf_task_release(leader);
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
