#!/usr/bin/env python3
"""Frames that were captured, as an input of the harness `frame`: what the guest sent, in its own time.

usage: from_pcap.py CAPTURE [--from MAC] [--most N] > INPUT

CAPTURE is a pcap file with Ethernet frames (tcpdump -w, in the guest; not pcapng). --from takes only frames of
this station; without it those of the first station that is not the gateway. The input has no virtio headers:
a capture does not have them.
"""
import argparse
import pathlib
import struct
import sys

GATEWAY = bytes.fromhex("52550a000202")
ETHERNET = 1
WITHOUT_VNET = bytes([1, 0])  # the world's options
STEP = 0.02  # seconds of one unit of delay
LARGEST = 2048


def frames_of(capture):
    """(time, frame) of each."""
    magic = capture[:4]
    orders = {b"\xd4\xc3\xb2\xa1": ("<", 1e-6), b"\xa1\xb2\xc3\xd4": (">", 1e-6),
              b"\x4d\x3c\xb2\xa1": ("<", 1e-9), b"\xa1\xb2\x3c\x4d": (">", 1e-9)}
    if magic not in orders:
        sys.exit("from_pcap: not a pcap file")
    order, unit = orders[magic]
    if struct.unpack_from(order + "I", capture, 20)[0] & 0xFFFF != ETHERNET:
        sys.exit("from_pcap: not a capture of Ethernet frames")
    at = 24
    while at + 16 <= len(capture):
        seconds, fraction, kept, _ = struct.unpack_from(order + "IIII", capture, at)
        yield seconds + fraction * unit, capture[at + 16:at + 16 + kept]
        at += 16 + kept


def to_input(frames):
    out, last = WITHOUT_VNET, None
    for time, frame in frames:
        delay = 0 if last is None else min(int((time - last) / STEP), 255)
        last = time
        out += struct.pack("!BH", delay, len(frame)) + frame
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=pathlib.Path)
    parser.add_argument("--from", dest="station", type=lambda text: bytes.fromhex(text.replace(":", "")))
    parser.add_argument("--most", type=int, default=64)
    options = parser.parse_args()
    frames = [(time, frame) for time, frame in frames_of(options.capture.read_bytes())
              if 14 <= len(frame) <= LARGEST and frame[6:12] != GATEWAY]
    station = options.station or (frames[0][1][6:12] if frames else b"")
    chosen = [(time, frame) for time, frame in frames if frame[6:12] == station][:options.most]
    if not chosen:
        sys.exit("from_pcap: no frames of the guest's")
    sys.stdout.buffer.write(to_input(chosen))


if __name__ == "__main__":
    main()
