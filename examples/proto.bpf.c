// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A view that programs read: the protobuf message of proto.proto. cgview does not change the bytes
 * that a text view writes. With fields of fixed width, the message is a packed struct. Decode it by
 *
 *	protoc --decode=Cgroup examples/proto.proto < /mnt/cgview/system.slice/proto
 */
#include <cgview/cgview.h>

/* The longest name of a cgroup has 255 bytes, then a NUL. */
#define NAME_BYTES 256

enum wire { FIXED64 = 1, LENGTH = 2, FIXED32 = 5 };

#define TAG(number, wire) ((number) << 3 | (wire))

CGVIEW_HELP(proto, "The cgroup as a protobuf message");

struct fixed {
	__u8 id_tag;
	__u64 id;
	__u8 level_tag;
	__u32 level;
	__u8 nr_descendants_tag;
	__u32 nr_descendants;
} __attribute__((packed));

/* Two bytes hold a length up to 16383: seven bits in each, the low ones first. */
struct name {
	__u8 tag;
	__u8 length_low;
	__u8 length_high;
	char bytes[NAME_BYTES];
};

SEC("iter/cgroup")
int proto(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	struct fixed fixed = {
		.id_tag = TAG(1, FIXED64),
		.level_tag = TAG(2, FIXED32),
		.nr_descendants_tag = TAG(3, FIXED32),
	};
	struct name name = {.tag = TAG(4, LENGTH)};
	long length;

	if (!cgrp)
		return 0;
	fixed.id = cgview_id(cgrp);
	fixed.level = cgrp->level;
	fixed.nr_descendants = cgrp->nr_descendants;
	bpf_seq_write(ctx->meta->seq, &fixed, sizeof(fixed));

	length = bpf_probe_read_kernel_str(name.bytes, NAME_BYTES, BPF_CORE_READ(cgrp, kn, name));
	if (length < 1)
		return 0;
	/* Without the NUL. The mask changes nothing, but gives the verifier an upper limit. */
	length = (length - 1) & (NAME_BYTES - 1);
	name.length_low = 0x80 | (length & 0x7f);
	name.length_high = length >> 7;
	bpf_seq_write(ctx->meta->seq, &name, sizeof(name) - NAME_BYTES + length);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
