// SPDX-License-Identifier: MIT OR Apache-2.0
/* What build.rs reads for bpf/abi.rs: clang writes into BTF only what a variable uses. */
#include <cgview/cgview.h>

enum cgview_numbers { abi_version = CGVIEW_ABI };

enum cgview_numbers numbers;
struct cgview_swept swept;
struct cgview_hist hist;
struct cgview_hist_log2 hist_log2;
