"""TUN and TAP devices that a test opens itself."""
import fcntl
import os
import struct

from namespaces import inside_netns

TUNSETIFF, IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 0x1, 0x2, 0x1000, 0x4000


def open_tun(place, name, flags=IFF_TAP | IFF_NO_PI):
    """A descriptor attached to a device of the place, which is made if it does not exist."""
    with inside_netns(place.net):
        return attach(name, flags)


def attach(name, flags):
    """The same in the network namespace that this process is in."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    return fd
