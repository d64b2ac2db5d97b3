#!/usr/bin/env python3
"""Carries Ethernet frames between a SOCK_SEQPACKET Unix socket and a TAP of this network namespace, as a
virtual machine does. usage: frame_bridge.py SOCKET TAP. Ends when either side does."""
import os
import selectors
import socket
import sys

from tuntap import IFF_NO_PI, IFF_TAP, attach

LARGEST = 1 << 17


def main():
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer.connect(sys.argv[1])
    tap = attach(sys.argv[2], IFF_TAP | IFF_NO_PI)
    print("up", flush=True)
    with selectors.DefaultSelector() as selector:
        selector.register(peer, selectors.EVENT_READ)
        selector.register(tap, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is peer:
                    frame = peer.recv(LARGEST)
                    if not frame:
                        return
                    os.write(tap, frame)
                else:
                    peer.send(os.read(tap, LARGEST))


if __name__ == "__main__":
    main()
