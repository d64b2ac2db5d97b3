"""All attacks by name, in the order in which they run: first those whose traces take longest to vanish, so that the
others fill the time."""
import attacks_host
import attacks_link
import attacks_tcp
from attack import Attack

_all = (*attacks_link.ATTACKS, *attacks_tcp.ATTACKS, *attacks_host.ATTACKS)
ATTACKS: dict[str, Attack] = {one.key: one for one in sorted(_all, key=lambda one: not one.lingers)}
