// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * How much do the sockets of a cgroup and of all below it send and receive? Lengths include the IP
 * header. A packet counts for the cgroup in which its socket was created; packets without a socket,
 * such as forwarded ones, do not count.
 */
#include <cgview/cgview.h>

struct net {
	__u64 rx CGVIEW_COUNTER("bytes", "received, with descendants") CGVIEW_WITH_DESCENDANTS;
	__u64 rx_packets CGVIEW_COUNTER("", "packets received") CGVIEW_WITH_DESCENDANTS;
	__u64 tx CGVIEW_COUNTER("bytes", "sent, with descendants") CGVIEW_WITH_DESCENDANTS;
	__u64 tx_packets CGVIEW_COUNTER("", "packets sent") CGVIEW_WITH_DESCENDANTS;
};

#define CGVIEW_VIEW net
#define CGVIEW_MAP  traffic
#include <cgview/record.bpf.h>
CGVIEW_HELP(net, "What the sockets of a cgroup and of all below it send and receive");

SEC("cgroup_skb/ingress")
int net_ingress(struct __sk_buff *skb)
{
	cgview_add_up_skb(traffic, skb, .rx = skb->len, .rx_packets = 1);
	return 1;
}

SEC("cgroup_skb/egress")
int net_egress(struct __sk_buff *skb)
{
	cgview_add_up_skb(traffic, skb, .tx = skb->len, .tx_packets = 1);
	return 1;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
