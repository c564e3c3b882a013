// SPDX-License-Identifier: MIT OR Apache-2.0
/* The kernel's per-CPU variables. Included by cgview.h. */
#ifndef CGVIEW_PERCPU_H
#define CGVIEW_PERCPU_H

/*
 * Where the kernel keeps `cpu`'s part of the per-CPU variable at `variable`, to be read with
 * BPF_CORE_READ(); NULL if there is no such CPU. `anchor` is any map of type PERCPU_ARRAY: its
 * parts are as far from each other as those of all per-CPU variables. bpf_per_cpu_ptr() takes only
 * what BTF marks as per-CPU, which that of kernels built by gcc does of no member of a struct.
 */
static __always_inline void *cgview_per_cpu(void *anchor, const void *variable, __u32 cpu)
{
	__u64 array = 0, at = (__u64)variable, base = 0, there = 0;
	__u32 zero = 0;
	void *part = bpf_map_lookup_percpu_elem(anchor, &zero, cpu);

	/* Read from memory they are numbers: the verifier lets nobody calculate with pointers. */
	bpf_probe_read_kernel(&there, sizeof(there), &part);
	bpf_probe_read_kernel(&array, sizeof(array), &anchor);
	array += bpf_core_field_offset(struct bpf_array, pptrs);
	bpf_probe_read_kernel(&base, sizeof(base), (void *)array);
	return part ? (void *)(at + there - base) : NULL;
}

#endif
