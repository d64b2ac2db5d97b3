#!/usr/bin/env python3
"""Checks the manual page: that it says what the program says of itself, and that it is rendered rightly.

usage: man_page_test.py SOURCE_DIR PROGRAM
"""
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import unittest

HELP_ROW = re.compile(r"^  ( {3}|-(?P<letter>.),) --(?P<name>[\w-]+)(=(?P<argument>\S+))?", re.MULTILINE)
VERBS = re.compile(r"kVerbs = .*?\n\}\);", re.DOTALL)

# Markdown -> what is between the page's head and its end.
RENDERED = [
    ("text", ".PP\ntext"),
    ("two\nlines", ".PP\ntwo lines"),
    ("## NAME", ".SH NAME"),
    ("### Part", ".SS Part"),
    ("**--mtu**=*MTU*", ".PP\n\\fB\\-\\-mtu\\fR=\\fIMTU\\fR"),
    ("`a-b`", ".PP\n\\fBa\\-b\\fR"),
    (r"\*plain\*", ".PP\n*plain*"),
    ("snake_case", ".PP\nsnake_case"),
    (".hidden", ".PP\n\\&.hidden"),
    ("'quoted' ~ ^", ".PP\n\\(aqquoted\\(aq \\(ti \\(ha"),
    ("one\n\ntwo", ".PP\none\n.PP\ntwo"),
    ("**-c**\n:   Do it\n    now.", ".TP\n\\fB\\-c\\fR\nDo it now."),
    ("- one\n  line\n- two", ".IP \\(bu 2\none line\n.IP \\(bu 2\ntwo"),
    ("```\na **b**\n\n.c\n```", ".PP\n.RS 4\n.EX\na **b**\n\n\\&.c\n.EE\n.RE"),
    ("| A | B |\n|---|---|\n| x | *y* |",
     ".TS\nl lx.\n\\fBA\\fR\tT{\n\\fBB\\fR\nT}\nx\tT{\n\\fIy\\fR\nT}\n.TE"),
]
MISTAKES = ["#### deep", "## NAME\ntext", "**unfinished", "`unfinished", "2 * 3", "```\nunfinished",
            "term\n:   text\nouter", "- item\nouter", "| A | B |\n| x | y |",
            "| A | B | C |\n|---|---|---|\n| 1 | 2 | 3 |"]


def load(path):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def long_form(letter, name, argument):
    return f"{'' if letter is None else f'-{letter}, '}--{name}{'' if argument is None else f'={argument}'}"


class ManPage(unittest.TestCase):
    top = pathlib.Path()
    program = ""

    def setUp(self):
        self.maxDiff = None
        self.man = load(self.top / "docs/man.py")
        self.page = (self.top / "docs/lwip4netns.1.md").read_text(encoding="utf-8")

    def section(self, name):
        found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", self.page, re.MULTILINE | re.DOTALL)
        self.assertIsNotNone(found, f"no section {name}")
        return found[1]

    def terms(self, section):
        """What has a definition in a section, without its markup."""
        terms = re.findall(r"^(.+)\n:   ", self.section(section), re.MULTILINE)
        return [term.replace("*", "") for term in terms]

    def help_rows(self, *command):
        done = subprocess.run([self.program, *command, "--help"], capture_output=True, text=True, check=True)
        rows = [(row["letter"], row["name"], row["argument"]) for row in HELP_ROW.finditer(done.stdout)]
        self.assertGreater(len(rows), 10)
        return rows

    def test_has_all_options_of_the_help_and_no_others(self):
        self.assertEqual(self.terms("OPTIONS"), [long_form(*row) for row in self.help_rows()])

    def test_has_all_options_of_run_and_no_others(self):
        paragraph = re.search(r"^The options are .*?\.$", self.section("RUN"), re.MULTILINE | re.DOTALL)
        named = re.findall(r"\*\*(-.*?)\*\*", paragraph[0])
        rows = self.help_rows("run")
        self.assertEqual(named, [f"-{letter}" if letter else f"--{name}" for letter, name, _ in rows])

    def test_has_all_requests_and_no_others(self):
        source = (self.top / "cli/api_protocol.cpp").read_text(encoding="utf-8")
        verbs = re.findall(r'\{"(\w+)",', VERBS.search(source)[0])
        self.assertEqual(sorted(self.terms("API SOCKET")), sorted(verbs))

    def test_requests_and_replies_are_json(self):
        texts = re.findall(r"^(?:-->|<--) (.*)$", self.section("API SOCKET"), re.MULTILINE)
        self.assertGreater(len(texts), 2)
        for text in texts:
            json.loads(text)

    def test_has_the_usual_sections(self):
        for name in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES",
                     "SEE ALSO"):
            self.section(name)

    def test_is_rendered_without_a_mistake(self):
        page = self.man.render(self.page, "1.2.3")
        self.assertTrue(page.startswith("'\\\" t\n.TH LWIP4NETNS 1 \"\" \"lwip4netns 1.2.3\"\n"), page[:80])
        self.assertIn("\n.SH NAME\n.PP\nlwip4netns \\- ", page)

    def test_rendering(self):
        for source, wanted in RENDERED:
            with self.subTest(source=source):
                page = self.man.render("# x(1)\n\n" + source + "\n", "1")
                self.assertEqual(page.split(".ad l\n")[1], wanted + "\n")

    def test_what_cannot_be_rendered_is_an_error(self):
        for source in MISTAKES:
            with self.subTest(source=source), self.assertRaises(self.man.Mistake):
                self.man.render("# x(1)\n\n" + source + "\n", "1")
        with self.assertRaises(self.man.Mistake):
            self.man.render("no title\n", "1")


if __name__ == "__main__":
    ManPage.top, ManPage.program = pathlib.Path(sys.argv[1]), sys.argv[2]
    unittest.main(argv=sys.argv[:1])
