#!/usr/bin/env python3
"""Attacks the program as docs/security.md lists it, a line of figures each.

    attacks.py PROGRAM FLOOD [--full] [--markdown FILE] [ATTACK]...

The short form is what ctest runs: a few seconds each, and they wait together for what they leave behind. The full
form (`./dev stress`) has the sizes of docs/security.md, one attack after the other.

Before, during and after each attack the probe (probe.py) is at work, and at the end nothing of the attack is left:
descriptors, memory and processor time are what they were.
"""
import argparse
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import runner  # noqa: E402 (the path above comes first)
import trial  # noqa: E402
from catalogue import ATTACKS  # noqa: E402
from scene import Tools, site  # noqa: E402


def report(one):
    row = one.row()
    print(f"{'FAIL' if one.problems else 'ok  '} {row[0]}: {row[1]}; "
          + "; ".join(f"{label} {value}" for label, value in zip(trial.HEAD[2:], row[2:]))
          + f" ({one.seconds:.1f} s)", flush=True)
    if one.problems:
        print("     " + "\n".join([*one.problems, one.log()]).replace("\n", "\n     "), flush=True)


def run(attacks, lab, options):
    """Full: each to its end before the next begins. Short: all of them, then the ends of all."""
    bounds = trial.FULL if options.full else trial.SANITIZED if options.sanitized else trial.SHORT
    trials = [trial.Trial(attack, lab, options.tools, options.full, bounds) for attack in attacks]
    batches = [[one] for one in trials] if options.full else [trials]
    for batch in batches:
        for one in batch:
            one.attempt()
        trial.watch(batch)
        for one in batch:
            report(one)
    return trials


def table(trials):
    rows = [trial.HEAD, ["---"] * len(trial.HEAD), *(one.row() for one in trials)]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("flood", type=os.path.abspath, help="stress_flood of the same build")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"default: all of {', '.join(ATTACKS)}")
    parser.add_argument("--full", action="store_true", help="the sizes of docs/security.md; takes half an hour")
    parser.add_argument("--sanitized", action="store_true", help="the program is: memory tells nothing")
    parser.add_argument("--markdown", metavar="FILE", help="also write the figures as a table")
    options = parser.parse_intermixed_args()
    for name in options.attacks:
        if name not in ATTACKS:
            parser.error(f"unknown attack {name}; there are {', '.join(ATTACKS)}")
    options.tools = Tools(options.program, options.flood)
    return options


def main():
    options = parse_arguments()
    runner.prepare()
    begin = time.monotonic()
    with site(options.tools) as lab:
        trials = run([ATTACKS[name] for name in options.attacks or ATTACKS], lab, options)
    failed = sum(bool(one.problems) for one in trials)
    print(f"{len(trials) - failed} of {len(trials)} attacks withstood, {time.monotonic() - begin:.0f} s")
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(table(trials))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
