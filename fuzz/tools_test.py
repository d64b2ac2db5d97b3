#!/usr/bin/env python3
"""The tools around the world's harnesses: what one writes the harness reads.

usage: tools_test.py PROGRAMS_DIR
"""
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parent / "tools"
sys.path.insert(0, str(TOOLS))

import assemble  # noqa: E402
import make_corpus  # noqa: E402
import packets  # noqa: E402


class Tools(unittest.TestCase):
    programs = pathlib.Path()

    def printed(self, harness, data):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            command = [self.programs / harness, "--print", file.name]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def test_a_program_is_what_its_text_says(self):
        texts = list(make_corpus.programs())
        self.assertGreater(len(texts), 20)
        for text in texts:
            program = assemble.assemble(text)
            with self.subTest(text=text):
                self.assertEqual(assemble.assemble(self.printed("session", program)), program)

    def test_a_field_that_there_is_not_is_an_error(self):
        with self.assertRaises(KeyError):
            assemble.assemble("syn 0 to=0 from=1")

    def test_captured_frames_become_an_input(self):
        frames = [packets.udp("10.0.2.100", "192.0.2.1", (5000, 7), b"data"),
                  packets.icmp("10.0.2.100", "10.0.2.2", 8, 0, b"\0\1\0\1data")]
        capture = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
        for second, frame in enumerate(frames):
            capture += struct.pack("<IIII", second, 0, len(frame), len(frame)) + frame
        with tempfile.NamedTemporaryFile() as file:
            file.write(capture)
            file.flush()
            command = [sys.executable, "-B", TOOLS / "from_pcap.py", file.name]
            made = subprocess.run(command, capture_output=True, check=True)
        text = self.printed("frame", made.stdout)
        self.assertIn("after 0 ms, 46 bytes: 10.0.2.100 -> 192.0.2.1 UDP 5000 -> 7", text)
        self.assertIn("after 1000 ms, 46 bytes: 10.0.2.100 -> 10.0.2.2 ICMP 8/0", text)


if __name__ == "__main__":
    Tools.programs = pathlib.Path(sys.argv[1]).resolve()
    unittest.main(argv=sys.argv[:1])
