"""One attack from its beginning to the judgement: is the probe content, and is everything gone?"""
import contextlib
import dataclasses
import time
import traceback

from namespaces import Failed
from probe import percentile
from scene import MIB, Scene

LOOK = 1.0  # seconds over which processor time is measured


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What is tolerated, in seconds and bytes."""
    echo_p99: float
    answer: float
    rss_peak: float = 256 * MIB
    share: float = 0.05  # of what was there before
    # A question of the probe and its ping may be under way: a descriptor each.
    descriptors: int = 4
    # Of each kind: the probe's own connection, question and ping.
    held: int = 1
    # What the tables of 16,384 flows keep of their room when they are empty again: slots, free lists, handles. A
    # leak of one flow in ten shows all the same.
    rss: float = 1 * MIB
    cpu: float = 0.06  # of a processor, the probe's own work included
    # Delays are forgiven in proportion to the time that the program waited for a processor.
    patient: bool = True


# Of ctest, on machines with something else to do; and those of the promise.
SHORT = Bounds(echo_p99=3.0, answer=5.0)
FULL = Bounds(echo_p99=0.2, answer=1.0, patient=False)
# A sanitizer keeps freed memory back and has shadows of everything.
SANITIZED = dataclasses.replace(SHORT, rss_peak=float("inf"), rss=float("inf"))


def left_behind(before, after, cpu, bounds):
    """What of the attack is still there: a list of complaints. `cpu`: seconds per second."""
    complaints = [f"{held} {name}, {before.held[name]} before" for name, held in after.held.items()
                  if held > before.held[name] + bounds.held]
    allowed = before.descriptors * (1 + bounds.share) + bounds.descriptors
    if after.descriptors > allowed:
        complaints.append(f"{after.descriptors} descriptors, {before.descriptors} before")
    if after.rss > before.rss * (1 + bounds.share) + bounds.rss:
        complaints.append(f"RSS {after.rss / MIB:.1f} MiB, {before.rss / MIB:.1f} before")
    if cpu > bounds.cpu:
        complaints.append(f"uses {100 * cpu:.0f} % of a processor")
    return complaints


def slowed_down(before, after):
    """How many times longer the program takes for its work than with a processor of its own."""
    used, waited = after.cpu - before.cpu, after.waited - before.waited
    return 1 + waited / max(used, 0.001)


def discontent(delays, bounds, slower=1.0):
    """What the probe complains about; `slower` as of slowed_down()."""
    factor = slower if bounds.patient else 1.0
    complaints = []
    for name, values in delays.items():
        if not values:
            complaints.append(f"{name}: never answered")
    if delays["echo"] and percentile(delays["echo"], 0.99) > factor * bounds.echo_p99:
        complaints.append(f"echo: p99 {percentile(delays['echo'], 0.99):.3f} s")
    for name in ("dns", "ping"):
        if delays[name] and max(delays[name]) > factor * bounds.answer:
            complaints.append(f"{name}: one took {max(delays[name]):.3f} s")
    return complaints


def watch(trials):
    """Until nothing is left of any of them, or their time is over; then judges."""
    waiting = [one for one in trials if one.waits]
    while waiting:
        for one in waiting:
            one.begin_look()
        time.sleep(LOOK)
        over = [one for one in waiting if one.is_over()]
        for one in over:
            one.judge()
        waiting = [one for one in waiting if one not in over]


class Trial:
    def __init__(self, attack, lab, tools, full, bounds):
        self.attack, self._bounds = attack, bounds
        self.figures, self.problems = "", []
        options = attack.options if full else (*attack.options, *attack.short_options)
        self._scene = Scene(lab, tools, full, *options, before=attack.before)
        self._stack = contextlib.ExitStack()
        self._done = False

    def attempt(self):
        """The attack itself. The scene goes on afterwards, the probe at work in it."""
        begin = time.monotonic()
        with self._reporting(), contextlib.ExitStack() as stack:
            stack.enter_context(self._scene)
            attacked = time.monotonic()
            self.figures = self.attack.run(self._scene)
            if not self.attack.ends:
                self._scene.expect_within_limits()
                self._measure_work(time.monotonic() - attacked)
            self._done = True
            if not self.attack.ends:
                self._stack = stack.pop_all()
        self._end = time.monotonic()
        self.seconds = self._end - begin

    def _measure_work(self, seconds):
        """In percent of a processor."""
        before, now = self._scene.before, self._scene.vitals()
        self._work = [100 * (now.cpu - before.cpu) / seconds, 100 * (now.waited - before.waited) / seconds]

    @property
    def waits(self):
        """It has been attempted, and there is something to look at until the end."""
        return self._done and not self.attack.ends

    def begin_look(self):
        self._seen, self._seen_at = self._scene.vitals(), time.monotonic()

    def is_over(self):
        """Whether nothing has been left since begin_look(), or the time for that is over. In full everything is
        watched to the end of the time."""
        self._after = self._scene.vitals()
        cpu = (self._after.cpu - self._seen.cpu) / (time.monotonic() - self._seen_at)
        self._left = left_behind(self._scene.before, self._after, cpu, self._bounds)
        since = time.monotonic() - self._end
        return since > self.attack.after or (not self._left and not self._scene.full)

    def judge(self):
        """Ends the scene."""
        with self._reporting(), self._stack:
            scene = self._scene
            slower = slowed_down(scene.before, self._after)
            self.problems += [*scene.probe.problems, *discontent(scene.probe.delays, self._bounds, slower),
                              *self._left]
            if self._after.rss_peak > self._bounds.rss_peak:
                self.problems.append(f"RSS had a peak of {self._after.rss_peak / MIB:.0f} MiB")

    @contextlib.contextmanager
    def _reporting(self):
        try:
            yield
        except Failed as failure:
            self.problems.append(str(failure))
        except Exception:
            self.problems.append(traceback.format_exc())

    def row(self):
        """For the table: attack, figures, and what it cost."""
        if not self.waits:
            return [self.attack.name, self.figures, *["–"] * (len(HEAD) - 2)]
        scene, delays = self._scene, self._scene.probe.delays
        return [self.attack.name, self.figures, "{:.0f}, {:.0f} %".format(*self._work),
                f"{1000 * percentile(delays['echo'], 0.99):.0f} ms",
                f"{1000 * max(delays['dns'], default=0):.0f}, {1000 * max(delays['ping'], default=0):.0f} ms",
                f"{scene.before.rss / MIB:.1f}, {self._after.rss_peak / MIB:.1f}, {self._after.rss / MIB:.1f} MiB",
                f"{scene.before.descriptors}, {self._after.descriptors}"]

    def log(self):
        return self._scene.program.log() if self._scene.program else ""


HEAD = ["Attack", "what was done", "processor: used, waited for", "echo p99", "DNS, ping: longest",
        "RSS before, peak, after", "descriptors before, after"]
