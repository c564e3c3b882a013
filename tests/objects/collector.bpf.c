// SPDX-License-Identifier: MIT OR Apache-2.0
/* No view: a program that HOOK calls, and one that iterates over something else. */
#include "cgview.h"

SEC(HOOK)
int collector(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
