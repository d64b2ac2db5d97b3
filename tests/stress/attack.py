"""What an attack is."""
import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Attack:
    key: str                # its name on the command line
    name: str               # its row in docs/security.md
    run: Callable           # takes the Scene; returns what was done, in words and numbers
    options: tuple = ()     # of the program
    short_options: tuple = ()  # more of them for the short form: lower limits
    before: tuple = ()      # command that starts the program, for its limits
    lingers: bool = False   # what it leaves behind goes by the limits' 30 seconds
    after: float = 35.0     # seconds until everything has to be gone: these 30, and a little
    ends: bool = False      # the program's end is part of it: there is nothing to probe afterwards
