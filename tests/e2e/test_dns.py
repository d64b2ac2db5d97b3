#!/usr/bin/env python3
"""Names: the guest asks x.3, the program asks the host's resolvers, whatever becomes of these."""
import os
import socket
import time

import runner
from lab import BLACKHOLE_IP, DNS, GATEWAY, NO_HOST_IP, WAN_IP, WAN_IP2, WAN_IP3
from namespaces import Failed, wait_for
from netio import check_equal, check_in
from outside import BIG_STRINGS, PAGE, Resolver, check_answer, check_answered_by, dig, serve_page
from runner import case


@case(nobody=True)
def curl_by_name(lab):
    """The main job: a name, a connection, a page."""
    Resolver(lab.wan, WAN_IP, "first")
    serve_page(lab)
    guest = lab.guest()
    lab.serve(guest)
    done = guest.run("curl", "-sS", "--fail", "--max-time", "20", "http://www.lab.test:8080/")
    check_equal(done.stdout.encode(), PAGE, "page")


@case(nobody=True)
def udp_and_tcp(lab):
    Resolver(lab.wan, WAN_IP, "first")
    guest = lab.guest()
    lab.serve(guest)
    for flags in ((), ("+tcp",), ("+noedns",)):
        check_answer(guest, "www.lab.test", "A", WAN_IP, *flags)


@case
def no_such_name(lab):
    """The resolver's refusal is an answer like any other."""
    Resolver(lab.wan, WAN_IP, "first")
    guest = lab.guest()
    lab.serve(guest)
    for flag in ("+notcp", "+tcp"):
        done = guest.run("dig", f"@{DNS}", flag, "nowhere.lab.test")
        check_in("status: NXDOMAIN", done.stdout, "answer")


def quoted(strings):
    return " ".join(f'"{string}"' for string in strings)


@case
def big_answers(lab):
    """What fits with EDNS comes by UDP, what does not is cut and comes by TCP."""
    Resolver(lab.wan, WAN_IP, "first")
    guest = lab.guest()
    lab.serve(guest)
    check_answer(guest, "medium.lab.test", "TXT", quoted(BIG_STRINGS[:4]), "+bufsize=1232", "+ignore")
    check_answer(guest, "big.lab.test", "TXT", quoted(BIG_STRINGS), "+tcp")
    check_answer(guest, "big.lab.test", "TXT", quoted(BIG_STRINGS))  # cut first, then asked again by TCP
    for name, size in (("medium.lab.test", "+noedns"), ("big.lab.test", "+bufsize=1232")):
        done = guest.run("dig", f"@{DNS}", size, "+ignore", name, "TXT")
        check_in("flags: qr aa tc", done.stdout, f"answer to {name} {size}")


@case
def many_lookups_at_once(lab):
    """Each answer goes to the question it belongs to."""
    Resolver(lab.wan, WAN_IP, "first")
    guest = lab.guest()
    lab.serve(guest)
    questions = "".join(f"www.lab.test A\nwho.lab.test TXT\nn{number}.lab.test A\n" for number in range(50))
    done = guest.run("dig", f"@{DNS}", "+noall", "+answer", "+comments", "-f", "/dev/stdin", input=questions)
    counts = [done.stdout.count(part) for part in (f"\t{WAN_IP}", '"first"', "NXDOMAIN")]
    check_equal(counts, [50, 50, 50], "answers of each kind")


def raw_query(number):
    """A question for www.lab.test A, RFC 1035."""
    header = number.to_bytes(2, "big") + bytes.fromhex("0100 0001 0000 0000 0000")
    return header + b"\x03www\x03lab\x04test\x00" + bytes.fromhex("0001 0001")


@case
def several_questions_on_one_tcp_connection(lab):
    """RFC 7766: sent in one go, answered in any order."""
    Resolver(lab.wan, WAN_IP, "first")
    guest = lab.guest()
    lab.serve(guest)
    with guest.socket() as client, client.makefile("rb") as answers:
        client.connect((DNS, 53))
        client.sendall(b"".join(len(q).to_bytes(2, "big") + q for q in map(raw_query, range(1, 6))))
        numbers = []
        for _ in range(5):
            answer = answers.read(int.from_bytes(answers.read(2), "big"))
            check_in(socket.inet_aton(WAN_IP), answer, "answer")
            numbers.append(int.from_bytes(answer[:2], "big"))
    check_equal(sorted(numbers), [1, 2, 3, 4, 5], "answers")


@case
def questions_from_one_port(lab):
    """glibc asks for A and AAAA from the same port with different numbers; both must come back."""
    Resolver(lab.wan, WAN_IP, "first")
    guest = lab.guest()
    lab.serve(guest)
    with guest.socket(socket.SOCK_DGRAM) as client:
        client.connect((DNS, 53))
        for number in (7, 8):
            client.send(raw_query(number))
        check_equal(sorted(int.from_bytes(client.recv(2048)[:2], "big") for _ in range(2)), [7, 8], "answers")


def fail_over_case(dead):
    def body(lab):
        Resolver(lab.wan, WAN_IP2, "second")
        lab.replace_resolv_conf(f"nameserver {dead}\nnameserver {WAN_IP2}\n")
        guest = lab.guest()
        lab.serve(guest)
        check_answered_by(guest, "second")
        check_answered_by(guest, "second")
    return body


case(name="fail_over_unreachable")(fail_over_case(NO_HOST_IP))
case(name="fail_over_closed_port", nobody=True)(fail_over_case(WAN_IP3))
case(name="fail_over_silent")(fail_over_case(BLACKHOLE_IP))


@case
def fail_over_after_start(lab):
    """The first one dies while the guest already uses it; when it is back, nothing is lost either."""
    first = Resolver(lab.wan, WAN_IP, "first")
    Resolver(lab.wan, WAN_IP2, "second")
    lab.replace_resolv_conf(f"nameserver {WAN_IP}\nnameserver {WAN_IP2}\n")
    guest = lab.guest()
    lab.serve(guest)
    check_answered_by(guest, "first")
    first.process.terminate()
    first.process.wait()
    check_answered_by(guest, "second")
    Resolver(lab.wan, WAN_IP, "first")
    check_answer(guest, "www.lab.test", "A", WAN_IP)


def wait_answered_by(guest, who):
    """A change of resolv.conf is followed soon, not necessarily at once."""
    def answered():
        return who in dig(guest, "who.lab.test", "TXT", "+time=1", "+tries=1").stdout
    wait_for(answered, f"answer by {who}", 15)
    check_answered_by(guest, who)


def two_resolvers(lab):
    Resolver(lab.wan, WAN_IP, "first")
    Resolver(lab.wan, WAN_IP2, "second")
    guest = lab.guest()
    lab.serve(guest)
    check_answered_by(guest, "first")
    return guest


@case(nobody=True)
def resolv_conf_replaced_by_rename(lab):
    """Twice: what is watched after the first time must be the new file."""
    guest = two_resolvers(lab)
    lab.replace_resolv_conf(f"nameserver {WAN_IP2}\n")
    wait_answered_by(guest, "second")
    lab.replace_resolv_conf(f"# back again\nnameserver {WAN_IP}\n")
    wait_answered_by(guest, "first")


@case
def resolv_conf_rewritten_in_place(lab):
    guest = two_resolvers(lab)
    with open(lab.resolv_conf, "w", encoding="ascii") as file:
        file.write(f"nameserver {WAN_IP2}\n")
    wait_answered_by(guest, "second")


@case
def resolv_conf_symlink(lab):
    """As systemd-resolved and NetworkManager have it: a link, whose target changes, then the link itself."""
    guest = two_resolvers(lab)
    folder = f"{os.path.dirname(lab.resolv_conf)}/resolver-state"
    os.mkdir(folder)
    write_resolv(f"{folder}/one", WAN_IP2)
    os.symlink("resolver-state/one", lab.resolv_conf + ".link")
    os.rename(lab.resolv_conf + ".link", lab.resolv_conf)
    wait_answered_by(guest, "second")
    write_resolv(f"{folder}/new", WAN_IP)
    os.rename(f"{folder}/new", f"{folder}/one")
    wait_answered_by(guest, "first")
    write_resolv(f"{folder}/two", WAN_IP2)
    os.symlink("resolver-state/two", lab.resolv_conf + ".link")
    os.rename(lab.resolv_conf + ".link", lab.resolv_conf)
    wait_answered_by(guest, "second")


def write_resolv(path, address):
    with open(path, "w", encoding="ascii") as file:
        file.write(f"nameserver {address}\n")


@case
def resolv_conf_comes_back(lab):
    """Removed for a while, as during an upgrade; what comes then is followed."""
    guest = two_resolvers(lab)
    os.unlink(lab.resolv_conf)
    time.sleep(1.0)
    lab.replace_resolv_conf(f"nameserver {WAN_IP2}\n")
    wait_answered_by(guest, "second")


def loopback_case(address, *options):
    def body(lab):
        Resolver(lab.host, address, "local")
        lab.replace_resolv_conf(f"nameserver {address}\noptions edns0 trust-ad\nsearch .\n")
        guest = lab.guest()
        lab.serve(guest, *options)
        check_answered_by(guest, "local")
    return body


case(name="resolver_on_loopback", nobody=True)(loopback_case("127.0.0.1"))
case(name="resolver_on_loopback_stub")(loopback_case("127.0.0.53"))
case(name="resolver_on_disabled_loopback", nobody=True)(loopback_case("127.0.0.1", "--disable-host-loopback"))
case(name="resolver_on_disabled_loopback_stub")(loopback_case("127.0.0.53", "--disable-host-loopback"))


@case
def loopback_itself_stays_closed(lab):
    """A resolver on the host's loopback opens x.3 only: port 53 of x.2 is the loopback, and disabled."""
    Resolver(lab.host, "127.0.0.1", "local")
    lab.replace_resolv_conf("nameserver 127.0.0.1\n")
    guest = lab.guest()
    lab.serve(guest, "--disable-host-loopback")
    done = dig(guest, "who.lab.test", "TXT", "+time=1", "+tries=2", server=GATEWAY)
    if "local" in done.stdout:
        raise Failed("the resolver on the host's loopback answered at x.2")


@case
def all_resolvers_dead(lab):
    """The guest is told so or left waiting, as its resolver expects; the program goes on."""
    lab.replace_resolv_conf(f"nameserver {WAN_IP3}\nnameserver {NO_HOST_IP}\n")
    guest = lab.guest()
    lab.serve(guest)
    for flag in ("+notcp", "+tcp"):
        done = dig(guest, "www.lab.test", "A", "+time=1", "+tries=2", flag)
        if WAN_IP in done.stdout:
            raise Failed("an answer from nowhere")
    Resolver(lab.wan, WAN_IP3, "late")
    wait_answered_by(guest, "late")


@case
def no_resolver_at_start(lab):
    """resolv.conf is missing when the program starts, and comes later."""
    Resolver(lab.wan, WAN_IP, "first")
    os.unlink(lab.resolv_conf)
    guest = lab.guest()
    lab.serve(guest)
    dig(guest, "www.lab.test", "A", "+time=1", "+tries=1")
    lab.replace_resolv_conf(f"nameserver {WAN_IP}\n")
    wait_answered_by(guest, "first")


@case
def disabled(lab):
    """--disable-dns: x.3 is an ordinary address of the guest's network, where nobody lives."""
    Resolver(lab.wan, WAN_IP, "first")
    guest = lab.guest()
    lab.serve(guest, "--disable-dns")
    for flag in ("+notcp", "+tcp"):
        done = dig(guest, "www.lab.test", "A", "+time=1", "+tries=1", flag)
        if WAN_IP in done.stdout:
            raise Failed("x.3 answered although DNS is disabled")
    done = dig(guest, "www.lab.test", "A", "+tcp", server=WAN_IP)
    check_equal(done.stdout.strip(), WAN_IP, "answer of the resolver itself")


if __name__ == "__main__":
    runner.main()
