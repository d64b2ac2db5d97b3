#!/usr/bin/env python3
"""The judgement over an attack, as tables: what is tolerated, and what is complained about."""
import dataclasses
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from scene import MIB, Vitals  # noqa: E402 (the path above comes first)
from trial import FULL, SHORT, discontent, left_behind, slowed_down  # noqa: E402

BEFORE = Vitals(descriptors=11, rss=5 * MIB, rss_peak=5 * MIB, cpu=0.1, waited=0.0,
                held={"tcp_flows": 1, "frame_buffers": 0})
QUIET = {"echo": [0.001] * 1000, "dns": [0.01] * 100, "ping": [0.01] * 100}


def after(**changes):
    return dataclasses.replace(BEFORE, **changes)


class LeftBehind(unittest.TestCase):
    TOLERATED = {
        "nothing has changed": (BEFORE, 0.0),
        "a question of the probe": (after(descriptors=13), 0.0),
        "tables that have grown": (after(rss=6 * MIB), 0.0),
        "the probe's work": (BEFORE, 0.05),
        "less than before": (after(descriptors=9, rss=4 * MIB), 0.0),
        "a second flow of the probe": (after(held={"tcp_flows": 2, "frame_buffers": 0}), 0.0),
    }
    COMPLAINTS = {
        "descriptors": (after(descriptors=16), 0.0, "16 descriptors"),
        "memory": (after(rss=5 * MIB + 3 * MIB // 2), 0.0, "RSS 6.5 MiB"),
        "work": (BEFORE, 0.5, "50 % of a processor"),
        "flows": (after(held={"tcp_flows": 3, "frame_buffers": 0}), 0.0, "3 tcp_flows"),
        "buffers": (after(held={"tcp_flows": 1, "frame_buffers": 2}), 0.0, "2 frame_buffers"),
    }

    def test_tolerated(self):
        for name, (vitals, cpu) in self.TOLERATED.items():
            with self.subTest(name):
                self.assertEqual(left_behind(BEFORE, vitals, cpu, FULL), [])

    def test_complaints(self):
        for name, (vitals, cpu, text) in self.COMPLAINTS.items():
            with self.subTest(name):
                complaints = left_behind(BEFORE, vitals, cpu, FULL)
                self.assertEqual(len(complaints), 1)
                self.assertIn(text, complaints[0])


class Discontent(unittest.TestCase):
    def test_content(self):
        for name, delays in {
            "quiet": QUIET,
            "one of a hundred is late": {**QUIET, "echo": [0.001] * 990 + [9.0] * 9},
            "almost a second": {**QUIET, "dns": [0.99], "ping": [0.99]},
        }.items():
            with self.subTest(name):
                self.assertEqual(discontent(delays, FULL), [])

    def test_complaints(self):
        for name, delays, text in (
            ("late echoes", {**QUIET, "echo": [0.001] * 980 + [0.3] * 20}, "echo: p99 0.300 s"),
            ("one late name", {**QUIET, "dns": [0.01] * 100 + [1.1]}, "dns: one took 1.100 s"),
            ("one late ping", {**QUIET, "ping": [1.1]}, "ping: one took 1.100 s"),
            ("never a ping", {**QUIET, "ping": []}, "ping: never answered"),
        ):
            with self.subTest(name):
                self.assertEqual(discontent(delays, FULL), [text])


    def test_a_busy_machine_is_no_excuse_in_full(self):
        late = {**QUIET, "echo": [4.0]}
        self.assertEqual(len(discontent(late, SHORT)), 1)
        self.assertEqual(discontent(late, SHORT, slower=2.0), [])
        self.assertEqual(len(discontent(late, SHORT, slower=1.1)), 1)
        self.assertEqual(len(discontent(late, FULL, slower=1000.0)), 1)

    def test_slowed_down(self):
        self.assertEqual(slowed_down(BEFORE, after(cpu=1.1)), 1.0)
        self.assertAlmostEqual(slowed_down(BEFORE, after(cpu=1.1, waited=3.0)), 4.0)


if __name__ == "__main__":
    unittest.main()
