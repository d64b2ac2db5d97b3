"""Clients of the API socket, for the test scripts that need one."""
import json
import os
import socket

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


def api_client(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20.0)
    client.connect(path)
    return client


def ask(path, request, half_close=True):
    """One request as callers make it: connect, write, half-close, read to the end."""
    with api_client(path) as client:
        client.sendall(request if isinstance(request, bytes) else json.dumps(request).encode())
        if half_close:
            client.shutdown(socket.SHUT_WR)
        return read_to_end(client)
