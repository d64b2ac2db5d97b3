"""Servers outside that a guest reaches through the program: resolvers and a page."""
import os

from lab import DNS, WAN_IP
from namespaces import wait_for
from netio import check_equal

PAGE = b"the page of www.lab.test\n"
BIG_STRINGS = [f"{number:03d}" + "x" * 200 for number in range(18)]  # 3.6 KiB: too much for UDP here


class Resolver:
    """dnsmasq, answering for names of its own; `who.lab.test` tells which one answered."""

    def __init__(self, place, address, who):
        options = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                   "--user=root", "--pid-file=", "--bind-interfaces", f"--listen-address={address}",
                   "--edns-packet-max=1232", "--cache-size=0",
                   f"--address=/www.lab.test/{WAN_IP}", f"--txt-record=who.lab.test,{who}",
                   f"--txt-record=medium.lab.test,{','.join(BIG_STRINGS[:4])}",
                   f"--txt-record=big.lab.test,{','.join(BIG_STRINGS)}", "--local=/lab.test/"]
        self._place, self._address, self._who = place, address, who
        self.process = place.start("dnsmasq", *options)
        wait_for(self._answers, f"resolver {who} at {address}")

    def _answers(self):
        """Asked directly from where it runs, without the program."""
        return self._who in dig(self._place, "who.lab.test", "TXT", server=self._address).stdout


def dig(place, name, kind="A", *flags, server=DNS):
    """One look-up, short output. The time-outs are dig's defaults: what a guest's resolver grants, too."""
    return place.run("dig", f"@{server}", *flags, "+short", name, kind, check=False, timeout=60)


def check_answer(guest, name, kind, wanted, *flags):
    done = dig(guest, name, kind, *flags)
    check_equal((done.returncode, done.stdout.strip()), (0, wanted), f"dig {name} {kind} {' '.join(flags)}")


def check_answered_by(guest, who):
    check_answer(guest, "who.lab.test", "TXT", f'"{who}"')
    check_answer(guest, "who.lab.test", "TXT", f'"{who}"', "+tcp")


def serve_page(lab):
    """The smallest web server there is: one answer to whoever connects, with curl as the only client."""
    directory = f"{lab.directory}/www"
    os.mkdir(directory)
    with open(f"{directory}/index.html", "wb") as file:
        file.write(PAGE)
    lab.wan.start("python3", "-m", "http.server", "--bind", WAN_IP, "--directory", directory, "8080")

    def serves():
        with lab.wan.socket() as probe:
            return probe.connect_ex((WAN_IP, 8080)) == 0
    wait_for(serves, "web server")
