#!/usr/bin/env python3
"""Checks what `cmake --install` puts where, and that callers find the program under the name they know.

usage: install_test.py CMAKE BUILD_DIR
The build has to have the link named slirp4netns, which is the default.
"""
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

DOC = "share/doc/lwip4netns"
FILES = ["bin/lwip4netns", "bin/slirp4netns", "share/man/man1/lwip4netns.1", "share/man/man1/slirp4netns.1",
         f"{DOC}/LICENSE", f"{DOC}/LICENSE.lwip", f"{DOC}/README.md", f"{DOC}/SECURITY.md"]
# What podman, RootlessKit and others look for in the help, as whole words.
HELP_WORDS = ("--netns-type --enable-ipv6 --cidr --disable-host-loopback --api-socket --enable-sandbox "
              "--enable-seccomp --outbound-addr --mtu").split()


@contextlib.contextmanager
def kept(path):
    """Leaves a file as it was: the list of installed files is the user's, for the next uninstall."""
    before = path.read_bytes() if path.exists() else None
    try:
        yield
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)


class Install(unittest.TestCase):
    cmake, build = "", pathlib.Path()

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.root = pathlib.Path(folder.name)
        cls.prefix = cls.root / "prefix"
        cls.install(cls.prefix)

    @classmethod
    def install(cls, prefix, **environment):
        known = {name: value for name, value in os.environ.items() if name != "DESTDIR"}
        with kept(cls.build / "install_manifest.txt"):
            subprocess.run([cls.cmake, "--install", cls.build, "--prefix", prefix], check=True,
                           stdout=subprocess.DEVNULL, env={**known, **environment})
            return (cls.build / "install_manifest.txt").read_text(encoding="utf-8").splitlines()

    def run_installed(self, name, *argv):
        command = [self.prefix / "bin" / name, *argv]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.splitlines()

    def test_files(self):
        found = [path.relative_to(self.prefix) for path in self.prefix.rglob("*") if not path.is_dir()]
        self.assertEqual(sorted(map(str, found)), sorted(FILES))
        for path in FILES:
            self.assertGreater((self.prefix / path).stat().st_size, 500, path)

    def test_links(self):
        """Relative ones, so that the folder can be moved."""
        self.assertEqual(os.readlink(self.prefix / "bin/slirp4netns"), "lwip4netns")
        self.assertEqual(os.readlink(self.prefix / "share/man/man1/slirp4netns.1"), "lwip4netns.1")

    def test_everything_is_in_the_list_of_installed_files(self):
        listed = self.install("/usr", DESTDIR=str(self.root / "stage"))
        self.assertEqual(sorted(listed), sorted("/usr/" + path for path in FILES))
        for path in FILES:
            self.assertTrue(os.path.lexists(self.root / "stage/usr" / path), path)

    def test_version(self):
        known = self.run_installed("slirp4netns", "--version")
        self.assertEqual(known[0], "slirp4netns version 1.3.3")
        ours = self.run_installed("lwip4netns", "--version")
        self.assertRegex(ours[0], r"^lwip4netns version \d+\.\d+\.\d+")
        for lines in (known, ours):
            self.assertIn("SLIRP_CONFIG_VERSION_MAX: 5", lines)

    def test_help(self):
        lines = self.run_installed("slirp4netns", "--help")
        self.assertEqual(lines[0], f"Usage: {self.prefix}/bin/slirp4netns [OPTION]... PID|PATH|FD [TAPNAME]")
        words = set(re.findall(r"[\w-]+", "\n".join(lines)))
        self.assertEqual([word for word in HELP_WORDS if word not in words], [])


if __name__ == "__main__":
    Install.cmake, Install.build = sys.argv[1], pathlib.Path(sys.argv[2])
    unittest.main(argv=sys.argv[:1])
