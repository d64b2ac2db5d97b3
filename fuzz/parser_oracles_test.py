#!/usr/bin/env python3
"""Every oracle of the parsers' harnesses sees what it is there for: with a fault put in, a run of the harness
over its corpus is ended by that oracle, and without one it is not.

usage: parser_oracles_test.py PROGRAMS_DIR CORPUS_DIR
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

# Harness -> fault (as the harness calls it) -> what the oracle that sees it says.
ORACLES = {
    "api": {
        "api: id again": "is given twice",
        "api: no JSON": "that is no JSON object",
        "api: pieces matter": "in pieces the reply is",
        "api: unlisted": "forwards are listed",
    },
    "api_server": {
        "api_server: no end": "not closed when its time is up",
        "api_server: reply cut": "the connection gets",
    },
    "arp_ndp": {
        "arp: answered for others": "an ARP packet that is",
        "arp: sender": "another when it is written again",
        "ndp: cut off": "a malformed option in an advertisement",
        "ndp: option length": "is taken",
    },
    "dhcp": {
        "dhcp: no end option": "a DHCP reply that no client takes",
        "dhcp: two clients": "which another client has",
        "dhcp: xid": "a DHCP request is read as",
    },
    "dhcp6": {
        "dhcp6: address": "a DHCPv6 message is read as",
        "dhcp6: cut off": "a malformed DHCPv6 reply",
        "dhcp6: two clients": "which another client has",
    },
    "dns": {
        "dns: id": "a failure that does not answer its query",
        "dns: question": "another question than its query",
    },
    "domain_name": {
        "domain_name: label": "is read back as",
        "domain_name: list too long": "a search list of",
    },
    "frame_port": {
        "frame_port: byte changed": "the gateway reads another frame",
    },
    "icmp_error": {
        "icmp_error: offender": "an entry from somebody else",
        "icmp_error: quote": "quotes something else",
        "port: byte changed": "a frame is sent that is not in order",
    },
    "options": {
        "options: both": "both options and the error",
        "options: limits": "with 64 descriptors",
        "options: prefix": "is read as",
    },
    "policy": {
        "policy: allow what is dropped": "the policy decides",
        "policy: outbound": "leaves by 192.0.2.99",
        "policy: source": "the source",
    },
    "reassembly": {
        "reassembly: byte changed": "other bytes than those",
        "reassembly: one left": "wait for the rest",
    },
    "resolv_conf": {
        "resolv_conf: nameserver kept": "name servers",
        "resolv_conf: repeated server": "name servers were read",
    },
    "vnet_gso": {
        "vnet_gso: datagram lost": "others than",
        "vnet_gso: header": "a virtio header that is another",
        "port: byte changed": "a frame is sent that is not in order",
    },
}


class Oracles(unittest.TestCase):
    options = argparse.Namespace()

    def run_harness(self, harness, fault):
        """Whether the run went well, and what it said on standard error."""
        command = [self.options.programs / harness, self.options.corpus / harness]
        # Where the inputs that end a run are left.
        with tempfile.TemporaryDirectory() as directory:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=directory,
                                  env={**os.environ, "LWIP4NETNS_FUZZ_FAULT": fault}, check=False)
        return done.returncode == 0, done.stderr

    def test_every_fault_is_seen(self):
        for harness, oracles in ORACLES.items():
            for fault, oracle in oracles.items():
                with self.subTest(harness=harness, fault=fault):
                    went_well, said = self.run_harness(harness, fault)
                    self.assertFalse(went_well)
                    self.assertIn("oracle violated: ", said)
                    self.assertIn(oracle, said)

    def test_a_fault_that_there_is_not_is_not_seen(self):
        for harness in ORACLES:
            with self.subTest(harness=harness):
                self.assertEqual(self.run_harness(harness, "no such fault"), (True, ""))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("corpus", type=lambda text: pathlib.Path(text).resolve())
    Oracles.options = parser.parse_args()
    unittest.main(argv=sys.argv[:1])


if __name__ == "__main__":
    main()
