"""Sockets and data for the tests: both ends of a connection live in the test, each in its namespace."""
import concurrent.futures
import contextlib
import errno
import functools
import hashlib
import random
import socket
import struct

from namespaces import Failed, family_of

MIB = 1 << 20
CHUNK = 1 << 18


@functools.lru_cache(maxsize=4)  # the large ones come in pairs, again and again
def blob(seed, size):
    """Pseudo-random bytes, the same for the same seed: a repeated, lost or moved block changes the digest."""
    return random.Random(seed).randbytes(size)


def listener(place, address=None, port=0, backlog=1024):
    address = address or place.address
    made = place.socket(family=family_of(address))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen(backlog)
    return made


def connect(place, address, port, timeout=20.0, prepare=None):
    """A client socket, connected; `prepare` may set options before."""
    made = place.socket(family=family_of(address), timeout=timeout)
    try:
        if prepare:
            prepare(made)
        made.connect((address, port))
    except BaseException:
        made.close()
        raise
    return made


def udp(place, address=None, port=0, timeout=10.0):
    """Unbound without an address, unless a port is given: then bound at the place's own address."""
    address = address or (place.address if port else None)
    made = place.socket(socket.SOCK_DGRAM, family_of(address or place.address), timeout)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    if address is not None:
        made.bind((address, port))
    return made


@contextlib.contextmanager
def connected(guest, server, *, bind=None, to=None, prepare=None):
    """A connection through the program: yields the guest's end and the server's end."""
    with listener(server, bind) as door:
        address, port = door.getsockname()
        with connect(guest, to or address, port, prepare=prepare) as client:
            peer, _ = door.accept()
            with peer:
                peer.settimeout(20.0)
                yield client, peer


def linger_zero(sock):
    """Its close() will be a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def read_to_end(source, limit=None):
    """Everything until the end of the stream, or `limit` bytes."""
    data = bytearray()
    while limit is None or len(data) < limit:
        part = source.recv(CHUNK if limit is None else min(CHUNK, limit - len(data)))
        if not part:
            break
        data += part
    return bytes(data)


def check_same(got, sent, what):
    """Compares by length and digest, so that a failure says something readable."""
    if got == sent:
        return
    common = next((i for i, (a, b) in enumerate(zip(got, sent)) if a != b), min(len(got), len(sent)))
    digests = [hashlib.sha256(data).hexdigest()[:16] for data in (got, sent)]
    raise Failed(f"{what}: {len(got)} bytes arrived of {len(sent)}, first difference at {common}, "
                 f"sha256 {digests[0]} instead of {digests[1]}")


def check_stream(source, sink, size, what, seed=1, reader=read_to_end):
    """Sends `size` bytes and the end of the stream from source to sink and compares every byte."""
    data = blob(seed, size)

    def send():
        source.sendall(data)
        source.shutdown(socket.SHUT_WR)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        got = reader(sink)
        sending.result()
    check_same(got, data, what)


def check_both_ways(guest, server, size, **options):
    """One connection: guest to server, then back over the half-closed connection."""
    with connected(guest, server, **options) as (client, peer):
        check_stream(client, peer, size, "guest to server", seed=size)
        check_stream(peer, client, size, "server to guest", seed=size + 1)


def check_equal(got, wanted, what):
    if got != wanted:
        raise Failed(f"{what}: {got!r} instead of {wanted!r}")


def check_in(part, text, what):
    if part not in text:
        raise Failed(f"{what} lacks {part!r}:\n{text}")


def check_network_works(guest, server):
    check_both_ways(guest, server, MIB)


def expect_errno(number, action, what):
    """The action must fail with exactly this errno, and soon (the socket's time-out is the limit)."""
    try:
        action()
    except TimeoutError:
        raise Failed(f"{what}: timed out instead of {errno.errorcode[number]}") from None
    except OSError as error:
        if error.errno != number:
            raise Failed(f"{what}: {error} instead of {errno.errorcode[number]}") from None
    else:
        raise Failed(f"{what}: succeeded instead of {errno.errorcode[number]}")
