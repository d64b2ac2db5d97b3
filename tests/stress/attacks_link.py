"""Attacks below TCP: malformed frames, and floods of datagrams, fragments and neighbours."""
import concurrent.futures

import frames
from attack import Attack
from frames import ATTACKER_IP, ATTACKER_MAC, ICMP, ICMP6, IPV4_ID, TCP, UDP
from lab import BLACKHOLE_IP, BLACKHOLE_IP6, DNS, DNS6, GATEWAY, GATEWAY6, GUEST_IP, WAN_IP3, WAN_IP6_3
from probe import SILENCE

MORE_FRAGMENTS = 0x2000
NOBODYS_PORT = 1  # on the host
LARGEST_MTU = ("-m", 65521)
# Fragments of IPv6 are kept for a minute (RFC 8200 4.5), and with them the pages in which they lie.
AFTER_FRAGMENTS = 65.0
ROUTERS = "ff02::2"


def corpus():
    """One of each kind that the program understands."""
    options = frames.mss(1460) + b"\x01\x03\x03\x07" + b"\x04\x02\x01\x01"
    both = [(frames.ipv4, WAN_IP3, GATEWAY, DNS, ICMP, 8), (frames.ipv6, WAN_IP6_3, GATEWAY6, DNS6, ICMP6, 128)]
    made = [frames.arp(1, ATTACKER_MAC, ATTACKER_IP, GATEWAY), frames.arp(2, ATTACKER_MAC, ATTACKER_IP, GATEWAY),
            frames.dhcp_discover(ATTACKER_MAC),
            frames.ipv6(ICMP6, frames.neighbour_solicitation(GATEWAY6, ATTACKER_MAC), GATEWAY6, hop_limit=255),
            frames.ipv6(ICMP6, b"\x85\0\0\0\0\0\0\0\x01\x01" + ATTACKER_MAC, ROUTERS, hop_limit=255),
            frames.ipv6(UDP, frames.udp(546, 547, b"\x0b\0\0\1\0\1\0\x0a\0\3\0\1" + ATTACKER_MAC), "ff02::1:2"),
            frames.ipv6(44, b"\x11\0\0\1\0\0\0\1" + frames.udp(4000, 4000, bytes(200)), WAN_IP6_3),
            frames.ipv6(0, b"\x11\0\x01\x04\0\0\0\0" + frames.udp(4000, 4000), WAN_IP6_3),
            frames.ipv4(UDP, frames.udp(4000, 4000, bytes(200)), WAN_IP3, fragment=MORE_FRAGMENTS),
            frames.ipv4(UDP, bytes(200), WAN_IP3, fragment=26)]
    for build, outside, gateway, resolver, icmp, echo in both:
        made += [build(icmp, frames.echo_request(echo), gateway), build(icmp, frames.echo_request(echo), outside),
                 build(UDP, frames.udp(4000, 4000, bytes(64)), outside),
                 build(UDP, frames.udp(4000, 53, frames.question("probe.test")), resolver),
                 build(TCP, frames.tcp(4000, 80, options=options), outside),
                 build(TCP, frames.tcp(4000, 80, flags=frames.ACK, payload=bytes(100)), outside),
                 build(TCP, frames.tcp(4000, 80, flags=frames.RST), outside)]
    return made


def malformed(scene):
    whole = corpus()
    prefixes = [frame[:size] for frame in whole for size in range(14, len(frame))]
    scene.flood(prefixes, len(prefixes), "vary")
    # As fast as they are taken, or so that the TAP is not always full: then nobody else's frames would get in.
    count, rate = scene.choose((40_000, 0), (10_000_000, 100_000))
    sent, reached = scene.flood(whole, count, "mutate", 65521 + 14, rate=rate)
    for reason in ("bad_ip_header", "bad_transport_header", "bad_checksum", "unknown_type", "bad_arp"):
        scene.expect_dropped(reason)
    return f"{len(prefixes)} prefixes and {sent:,} mutations of {len(whole)} frames, {reached:,.0f}/s"


def udp_flows(scene):
    """More source ports than there are: from several addresses, to somebody who never answers."""
    template = frames.ipv4(UDP, frames.udp(1024, 9, b"x"), BLACKHOLE_IP, sender="10.0.2.64")
    rate, seconds = scene.choose((5_000, 2), (10_000, 10))
    sent, reached = scene.flood([template], rate * seconds, "vary", f"{frames.SOURCE_PORT}:2:count",
                                f"{frames.IPV4_SOURCE + 2}:2:random", rate=rate)
    scene.expect_counted("udp", "evicted", sent // 10)
    return f"{sent:,} source ports, {reached:,.0f}/s"


def openings(scene):
    """Four floods at once, each of frames that want a socket of their own, of which nothing comes."""
    rate, seconds = scene.choose((2_500, 2), (15_000, 20))
    sender = {"sender": "10.0.2.64"}
    another = f"{frames.IPV4_SOURCE + 3}:1:random"
    port = f"{frames.SOURCE_PORT}:2:count"
    floods = [
        (frames.ipv4(UDP, frames.udp(1024, 9, b"x"), BLACKHOLE_IP, **sender), port),
        (frames.ipv4(TCP, frames.tcp(1024, NOBODYS_PORT), GATEWAY, **sender), port),
        (frames.ipv4(ICMP, frames.echo_request(8), BLACKHOLE_IP, **sender), f"{frames.ECHO_IDENTIFIER}:2:count"),
        (frames.ipv4(UDP, frames.udp(1024, 53, frames.question(SILENCE)), DNS, **sender), port),
    ]
    with concurrent.futures.ThreadPoolExecutor(len(floods)) as pool:
        done = [pool.submit(scene.flood, [frame], rate * seconds, "vary", field, another, rate=rate)
                for frame, field in floods]
        sent = [one.result() for one in done]
    for part in ("ping", "dns"):
        scene.expect_counted(part, "evicted")
    if scene.full:
        for part, counter in (("udp", "dropped"), ("tcp", "attempts_dropped"), ("ping", "dropped"), ("dns", "dropped")):
            scene.expect_counted(part, counter)
    return f"{sum(count for count, _ in sent):,} frames, {sum(reached for _, reached in sent):,.0f}/s"


def fragments(scene):
    """First fragments without an end; then pairs that overlap, of which nothing may be delivered."""
    lone = [frames.ipv4(UDP, frames.udp(4000, 9, bytes(1400)), BLACKHOLE_IP, fragment=MORE_FRAGMENTS),
            frames.ipv6(44, b"\x11\0\0\1\0\0\0\0" + frames.udp(4000, 9, bytes(1400)), BLACKHOLE_IP6)]
    sent, rate = 0, 0.0
    count = scene.choose(10_000, 100_000)
    for frame, identification in zip(lone, (f"{IPV4_ID}:2:count", "58:4:count")):
        done, reached = scene.flood([frame], count // 2, "vary", identification, rate=scene.choose(10_000, 20_000))
        sent, rate = sent + done, max(rate, reached)
    overlapping = [frames.ipv4(UDP, frames.udp(4000, 4001, bytes(64)), WAN_IP3, fragment=MORE_FRAGMENTS),
                   frames.ipv4(UDP, bytes(64), WAN_IP3, fragment=8)]
    pairs, _ = scene.flood(overlapping, count // 5, "vary", f"{IPV4_ID}:2:count", rate=10_000)
    scene.expect_counted("reassembly", "evicted", sent // 2)
    scene.expect_counted("reassembly", "conflicting")
    return f"{sent:,} first fragments, {rate:,.0f}/s; {pairs:,} overlapping ones"


def neighbours(scene):
    """Everybody in the guest's network, and many who are not, announce themselves."""
    announced = frames.arp(2, ATTACKER_MAC, "10.0.2.0", GUEST_IP)
    asked = frames.arp(1, ATTACKER_MAC, "10.0.2.0", GATEWAY)
    solicited = frames.ipv6(ICMP6, frames.neighbour_solicitation(GATEWAY6, ATTACKER_MAC), GATEWAY6, hop_limit=255)
    count = scene.choose(9_000, 100_000)
    rate = scene.choose(5_000, 20_000)
    sent = 0
    sender = (f"{frames.ARP_SENDER + 2}:2:random", f"{frames.ARP_SENDER_MAC + 3}:3:random")
    source = (f"{frames.IPV6_SOURCE + 12}:4:random", f"{frames.MAC_SOURCE + 3}:3:random")
    for template, fields in ((announced, sender), (asked, sender), (solicited, source)):
        sent += scene.flood([template], count // 3, "vary", *fields, rate=rate)[0]
    macs, _ = scene.flood([frames.dhcp_discover(ATTACKER_MAC)], scene.choose(2_000, 10_000), "vary",
                          f"{frames.MAC_SOURCE + 2}:4:count", f"{frames.DHCP_CHADDR + 2}:4:count", rate=rate)
    scene.expect_counted("dhcp", "exhausted", macs // 2)
    return f"{sent:,} ARP and neighbour discovery entries, {macs:,} DHCP clients"


ATTACKS = (
    Attack("udp", "UDP flow flood", udp_flows, lingers=True),
    Attack("openings", "UDP, SYN, ping and DNS floods at once", openings, lingers=True),
    Attack("fragments", "fragment flood", fragments, options=("-6",), lingers=True),
    Attack("malformed", "malformed frames", malformed, options=("-6", *LARGEST_MTU), after=AFTER_FRAGMENTS),
    Attack("neighbours", "ARP/ND/DHCP floods", neighbours, options=("-6",)),
)
