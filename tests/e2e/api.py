"""The API socket as callers use it, for the test scripts that give requests."""
import json
import os
import socket

from namespaces import Failed
from netio import read_to_end


def api_path(lab):
    """In a directory of the lab's user, as callers have it."""
    directory = f"{lab.directory}/run"
    if not os.path.isdir(directory):
        os.mkdir(directory, 0o755)
        os.chmod(lab.directory, 0o755)
        if lab.user is not None:
            os.chown(directory, lab.user, lab.user)
    return f"{directory}/api.sock"


def serve(lab, *options, **settings):
    """A guest with its network, the program behind it, and the path of its API socket."""
    guest, path = lab.guest(), api_path(lab)
    return guest, lab.serve(guest, "-a", path, *options, **settings), path


def api_client(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20.0)
    client.connect(path)
    return client


def is_served(path):
    """Whether clients are let in: the socket has its name a moment before it has a listener."""
    try:
        api_client(path).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


def ask(path, request, half_close=True):
    """One request as callers make it: connect, write, half-close, read to the end."""
    with api_client(path) as client:
        client.sendall(request if isinstance(request, bytes) else json.dumps(request).encode())
        if half_close:
            client.shutdown(socket.SHUT_WR)
        return read_to_end(client)


def request(path, verb, **arguments):
    """One request in full; the reply as a Python object."""
    asked = {"execute": verb, **({"arguments": arguments} if arguments else {})}
    return json.loads(ask(path, asked))


def add_forward(path, proto, host_port, guest_port, **addresses):
    """Adds a port forward that must succeed; returns what the reply carries: the id, the chosen port."""
    reply = request(path, "add_hostfwd", proto=proto, host_port=host_port, guest_port=guest_port, **addresses)
    if "return" not in reply:
        raise Failed(f"{proto} port {host_port} is not forwarded: {reply}")
    return reply["return"]
