/* Configuration of lwIP 2.2.1: TCP only, driven by our own front end, timers and flow look-up.
 *
 * What lwIP never sees, and why each value is what it is: docs/lwip-notes.md and docs/architecture.md. */
#ifndef L4N_LWIPOPTS_H
#define L4N_LWIPOPTS_H

/* One thread, no operating system layer, no timers of its own: our loop calls tcp_tmr(). */
#define NO_SYS 1
#define LWIP_TIMERS 0
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_COMPAT_MUTEX 0

/* Protocols. ICMP and ICMPv6 are compiled because IPv6 needs them; no frame ever reaches them. */
#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_TCP 1
#define LWIP_ICMP 1
#define LWIP_ICMP6 1
#define LWIP_ARP 0
#define LWIP_ETHERNET 0
#define LWIP_RAW 0
#define LWIP_UDP 0
#define LWIP_DHCP 0
#define LWIP_AUTOIP 0
#define LWIP_IGMP 0
#define LWIP_DNS 0
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_DHCP6 0
#define LWIP_ND6_ALLOW_RA_UPDATES 0
#define LWIP_ND6_QUEUEING 0
#define LWIP_ND6_TCP_REACHABILITY_HINTS 0
#define IP_FORWARD 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define LWIP_IPV6_REASS 0
#define LWIP_IPV6_FRAG 0
#define LWIP_STATS 0

/* One interface, ours. The hint names the pcb a segment belongs to inside netif->output. */
#define LWIP_SINGLE_NETIF 1
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_HAVE_LOOPIF 0
#define LWIP_NETIF_HWADDRHINT 1

/* Memory comes from malloc; limits are those of our flow budget. */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#ifndef MEM_ALIGNMENT
#define MEM_ALIGNMENT 8
#endif
#define MEMP_OVERFLOW_CHECK 0
#define PBUF_LINK_HLEN 0
#define PBUF_LINK_ENCAPSULATION_HLEN 0
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define PBUF_POOL_SIZE 0
#define PBUF_POOL_BUFSIZE 256

/* TCP. The MSS is the largest payload of an IPv4 packet: the interface's MTU cuts what is announced. */
#define TCP_MSS 65495
#define TCP_CALCULATE_EFF_SEND_MSS 1
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 8
#define TCP_WND (4 * 1024 * 1024)
#define TCP_SND_BUF (8 * 1024 * 1024)
#define TCP_SND_QUEUELEN 32768
/* TCP_SNDLOWAT is lwIP's writability for its socket layer, which is not there. Its sanity checks want it far
 * below 64 KiB minus four MSS and therefore refuse our MSS; what else they check was checked by hand. */
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1
#define TCP_SNDLOWAT 1
#define TCP_SNDQUEUELOWAT 5
#define TCP_OVERSIZE 0
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_BYTES (1024 * 1024)
#define TCP_OOSEQ_MAX_PBUFS 512
#define LWIP_TCP_SACK_OUT 0
#define LWIP_TCP_TIMESTAMPS 0
#define LWIP_TCP_KEEPALIVE 0
#define TCP_LISTEN_BACKLOG 0
#define TCP_TTL 64
/* TIME-WAIT is ours and shorter. This only bounds LAST-ACK, where data may still be on its way to a guest that
 * does not read for a while: twice as long without a word from the guest ends the connection. */
#define TCP_MSL 60000UL
/* 50 ms for delayed ACKs, 100 ms for retransmission: first time-out 1 s, least 300 ms (RFC 6298). */
#define TCP_TMR_INTERVAL 50
#define LWIP_TCP_RTO_TIME 1000

/* Checksums are made and verified by our front end, which knows what the TAP has verified already. */
#define CHECKSUM_GEN_IP 0
#define CHECKSUM_GEN_TCP 0
#define CHECKSUM_GEN_UDP 0
#define CHECKSUM_GEN_ICMP 0
#define CHECKSUM_GEN_ICMP6 0
#define CHECKSUM_CHECK_IP 0
#define CHECKSUM_CHECK_TCP 0
#define CHECKSUM_CHECK_UDP 0
#define CHECKSUM_CHECK_ICMP 0
#define CHECKSUM_CHECK_ICMP6 0
#define LWIP_CHECKSUM_ON_COPY 0

/* Keyed initial sequence numbers (RFC 6528). */
#define LWIP_HOOK_FILENAME "hooks.h"
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) \
  l4n_lwip_isn(local_ip, local_port, remote_ip, remote_port)

#endif
