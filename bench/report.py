"""Turns measurements into text: tables of best and median, and the ratios against the targets.

Measurements are a dictionary (MTU, implementation, metric) -> list of numbers, one per repetition.
"""
import datetime
import platform
import statistics
import subprocess

OURS = "lwip4netns"
OURS6 = "lwip4netns-6"  # the same over IPv6
PEERS = ("slirp4netns", "pasta")

# Metric: label, unit, whether more is better.
METRICS = {
    "up": ("one TCP flow, guest to outside", "Gbit/s", True),
    "down": ("one TCP flow, outside to guest", "Gbit/s", True),
    "noscale_up": ("the same up, guest without window scaling", "Gbit/s", True),
    "noscale_down": ("the same down, guest without window scaling", "Gbit/s", True),
    "http": ("HTTP requests, keep-alive, 32 connections", "1/s", True),
    "crr": ("new connections with one HTTP request each", "1/s", True),
    "forward": ("new connections through a port forward, one HTTP request each", "1/s", True),
    "rtt": ("TCP round trip, 64 bytes", "µs", False),
    "udp_up": ("UDP datagrams of 1,400 bytes, guest to outside", "1/s", True),
    "udp_down": ("UDP datagrams of 1,400 bytes, outside to guest", "1/s", True),
    "udp_rtt": ("UDP round trip, 64 bytes", "µs", False),
    "dns": ("DNS questions answered over UDP", "1/s", True),
    "idle": ("memory when idle, all processes", "MB", False),
    "peak": ("memory peak in bulk, all processes", "MB", False),
}

# Targets: MTU (None: every one), metric, at least `factor` times as good as the best of `others`.
RATIO_TARGETS = [
    (1500, "up", 18, ("slirp4netns",)),
    (1500, "down", 7, ("slirp4netns",)),
    (65520, "up", 2, ("slirp4netns",)),
    (65520, "down", 2.5, ("slirp4netns",)),
    (65520, "up", 1, ("pasta",)),
    (65520, "down", 1, ("pasta",)),
    (None, "up", 0.8, ("relay",)),
    (None, "down", 0.8, ("relay",)),
    (None, "http", 0.9, PEERS),
    (None, "crr", 1.2, PEERS),
    (None, "forward", 1.2, PEERS),
    (None, "rtt", 0.9, PEERS),
    (None, "dns", 1.2, PEERS),
    (None, "udp_up", 1.3, PEERS),
    (None, "udp_down", 1.3, PEERS),
    (None, "udp_rtt", 0.91, PEERS),  # at most 1.1 times as long
    (None, "noscale_up", 1, ("slirp4netns",)),
    (None, "noscale_down", 1, ("slirp4netns",)),
]
# IPv6, at least so many times as good as IPv4 in the same run.
IPV6_FACTOR = 0.9
IPV6_METRICS = ("up", "down", "http", "crr", "forward", "udp_up", "udp_down", "dns")
LIMIT_TARGETS = [("idle", 6.0), ("peak", 64.0)]  # MB, at every MTU


def best(values, metric):
    return max(values) if METRICS[metric][2] else min(values)


def number(value):
    """Three digits that matter, no exponents."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def cell(values, metric):
    """Best of the repetitions, with the median beside it."""
    if not values:
        return "–"
    return f"{number(best(values, metric))} ({number(statistics.median(values))})"


def table(rows):
    """Markdown, columns padded so that it reads well in a terminal too."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row):
        return "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |"
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])


def results_table(results, mtu, names):
    rows = [["", *names]]
    for metric, (label, unit, _) in METRICS.items():
        values = [results.get((mtu, name, metric), []) for name in names]
        if any(values):
            rows.append([f"{label}, {unit}", *(cell(v, metric) for v in values)])
    return table(rows)


def ratio(results, mtu, metric, others, summary, name=OURS):
    """How many times as good as the best of the others; None where one of them was not measured."""
    ours = results.get((mtu, name, metric))
    theirs = [results[mtu, other, metric] for other in others if results.get((mtu, other, metric))]
    if not ours or not theirs:
        return None
    mine = summary(ours, metric)
    other = best([summary(values, metric) for values in theirs], metric)
    return mine / other if METRICS[metric][2] else other / mine


def median(values, _metric):
    return statistics.median(values)


def target_rows(results, mtus):
    """Every target that could be judged: (what, wanted, best, median, reached?)."""
    rows = []
    for mtu in mtus:
        for wanted_mtu, metric, factor, others in RATIO_TARGETS:
            reached = ratio(results, mtu, metric, others, best) if wanted_mtu in (mtu, None) else None
            if reached is not None:
                other = "the best of " * (len(others) > 1) + " and ".join(others)
                what = f"MTU {mtu}, {METRICS[metric][0]}: times as good as {other}"
                rows.append((what, f"≥ {factor:g}", f"{reached:.2f}",
                             f"{ratio(results, mtu, metric, others, median):.2f}", reached >= factor))
        for metric in IPV6_METRICS:
            reached = ratio(results, mtu, metric, (OURS,), best, OURS6)
            if reached is not None:
                rows.append((f"MTU {mtu}, {METRICS[metric][0]}: IPv6 times as good as IPv4",
                             f"≥ {IPV6_FACTOR:g}", f"{reached:.2f}",
                             f"{ratio(results, mtu, metric, (OURS,), median, OURS6):.2f}",
                             reached >= IPV6_FACTOR))
        for metric, limit in LIMIT_TARGETS:
            values = results.get((mtu, OURS, metric))
            if values:  # for a limit the worst repetition counts
                rows.append((f"MTU {mtu}, {METRICS[metric][0]}, MB", f"≤ {limit:g}", number(max(values)),
                             number(statistics.median(values)), max(values) <= limit))
    return rows


def ratios_table(rows):
    head = ["Target", "wanted", "best", "median", "reached"]
    return table([head, *([*texts, "yes" if good else "**no**"] for *texts, good in rows)])


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout or done.stderr).splitlines()[0].strip()
    except (OSError, IndexError):
        return "unknown"


def package_version(name):
    return first_line("dpkg-query", "-W", "-f", "${Version}\n", name)


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{len(models)} × {models[0]}" if models else platform.machine()


def environment(programs):
    """Date, machine and versions: what somebody needs who wants to compare."""
    packages = ", ".join(f"{name} {package_version(name)}" for name in ("iperf3", "wrk", "sockperf", "dnsperf"))
    lines = [f"- date: {datetime.date.today().isoformat()}", f"- kernel: {platform.release()}",
             f"- processor: {processor()}", f"- tools: {packages}"]
    return "\n".join(lines + [f"- {name}: {version}" for name, version in programs])


def document(results, mtus, names, programs, method):
    """The whole report as Markdown."""
    parts = ["# Benchmarks",
             "Made by `./dev bench --markdown docs/benchmarks.md`; run it to see your own machine.",
             environment(programs), "## Method", method]
    for mtu in mtus:
        parts += [f"## MTU {mtu}", "Best of the repetitions, median in parentheses.",
                  results_table(results, mtu, names)]
    rows = target_rows(results, mtus)
    if rows:
        parts += ["## Targets", "How many times as good as others in the same run, from the best values and "
                  "from the medians.\nFor memory: the worst value and the median.", ratios_table(rows)]
    return "\n\n".join(parts) + "\n"
