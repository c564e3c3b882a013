// SPDX-License-Identifier: MIT OR Apache-2.0
/* Per-CPU variables of the kernel. Included by cgview.h. */
#ifndef CGVIEW_PERCPU_H
#define CGVIEW_PERCPU_H

/*
 * The address of the copy that `cpu` has of the kernel's per-CPU variable at `variable`. Read it
 * with BPF_CORE_READ(). NULL if there is no such CPU. `anchor` is any map of type PERCPU_ARRAY: the
 * distance between its copies is that of all per-CPU variables. (bpf_per_cpu_ptr() needs a mark in
 * BTF that kernels built by gcc do not put on members of structs.)
 */
static __always_inline void *cgview_per_cpu(void *anchor, const void *variable, __u32 cpu)
{
	__u64 array = 0, at = (__u64)variable, base = 0, there = 0;
	__u32 zero = 0;
	void *part = bpf_map_lookup_percpu_elem(anchor, &zero, cpu);

	/* Read from memory, they are numbers: the verifier forbids arithmetic on these pointers. */
	bpf_probe_read_kernel(&there, sizeof(there), &part);
	bpf_probe_read_kernel(&array, sizeof(array), &anchor);
	array += bpf_core_field_offset(struct bpf_array, pptrs);
	bpf_probe_read_kernel(&base, sizeof(base), (void *)array);
	return part ? (void *)(at + there - base) : NULL;
}

#endif
