#!/usr/bin/env python3
"""Makes a manual page of Markdown: `man.py SOURCE VERSION`, the page (man(7)) on stdout.

Understands what manual pages need and nothing else: `# name(section)` first, sections (`##`, `###`),
paragraphs, definition lists (a line, then `:   text`), bullets, two-column tables, fenced blocks, **bold**,
*italic*, `code`, and a backslash before what shall not be markup. What it takes for
a mistake is an error, so that no page looks odd.
"""
import re
import sys

_MARKUP = re.compile(r"\\(?P<escaped>.)|\*\*(?P<bold>[^*]+)\*\*|\*(?P<italic>[^*]+)\*|`(?P<code>[^`]+)`")
_TITLE = re.compile(r"# ([\w.+-]+)\((\d)\)")
_DEFINITION = re.compile(r":\s+(.*)")


class Mistake(ValueError):
    """The source is not what this program understands."""


def literal(text):
    """Text that roff shows as it is: a dash stays one that can be copied, no line becomes a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("^", "\\(ha").replace("~", "\\(ti")
    text = text.replace("`", "\\(ga").replace("'", "\\(aq")
    return "\\&" + text if text.startswith(".") else text


def inline(text):
    """One paragraph's text with its markup."""
    done, at = "", 0
    for match in _MARKUP.finditer(text):
        done += plain(text[at:match.start()]) + marked(match)
        at = match.end()
    return done + plain(text[at:])


def plain(text):
    if re.search(r"[*`]", text):
        raise Mistake(f"markup that does not end: {text}")
    return literal(text)


def marked(match):
    font = {"escaped": "{}", "bold": "\\fB{}\\fR", "italic": "\\fI{}\\fR", "code": "\\fB{}\\fR"}
    return font[match.lastgroup].format(literal(match[match.lastgroup]))


def joined(lines):
    return inline(" ".join(line.strip() for line in lines))


def table(rows):
    """A Markdown table: header, dashes, rows. The second column is filled like a paragraph."""
    cells = [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows]
    if len(cells) < 3 or any(len(row) != 2 for row in cells) or set("".join(cells[1])) != {"-"}:
        raise Mistake(f"not a table of two columns: {rows[0]}")
    del cells[1]
    done = [".TS", "l lx."]
    for number, (left, right) in enumerate(cells):
        left, right = (f"\\fB{literal(cell)}\\fR" if number == 0 else inline(cell) for cell in (left, right))
        done += [f"{left}\tT{{", right, "T}"]
    return [*done, ".TE"]


def fenced(lines):
    return [".PP", ".RS 4", ".EX", *(literal(line) for line in lines), ".EE", ".RE"]


def definition(lines):
    text = _DEFINITION.fullmatch(lines[1])
    if text is None or not all(line.startswith("    ") for line in lines[2:]):
        raise Mistake(f"a definition whose text is not indented: {lines[0]}")
    return [".TP", inline(lines[0]), joined([text[1], *lines[2:]])]


def bullets(lines):
    items = []
    for line in lines:
        if line.startswith("- "):
            items.append([line[2:]])
        elif line.startswith("  "):
            items[-1].append(line)
        else:
            raise Mistake(f"a bullet's text that is not indented: {line}")
    return [part for item in items for part in (".IP \\(bu 2", joined(item))]


def block(lines):
    """One block of the source (lines without an empty one) as lines of roff."""
    first = lines[0]
    if first.startswith("#"):
        kind, name = {"##": ".SH", "###": ".SS"}.get(first.split()[0]), first.lstrip("#").strip()
        if kind is None or len(lines) != 1:
            raise Mistake(f"a heading of another kind, or text right below it: {first}")
        return [f"{kind} {literal(name)}"]
    if first.startswith("```"):
        return fenced(lines[1:])
    if first.startswith("|"):
        return table(lines)
    if first.startswith("- "):
        return bullets(lines)
    if len(lines) > 1 and lines[1].startswith(":"):
        return definition(lines)
    return [".PP", joined(lines)]


def blocks(text):
    """The source in blocks; a fenced one may hold empty lines, and loses its closing fence."""
    current, fence = [], False
    for line in [*text.splitlines(), ""]:
        if fence and line.startswith("```"):
            fence = False
        elif fence or line:
            fence = fence or (not current and line.startswith("```"))
            current.append(line)
        elif current:
            yield current
            current = []
    if fence:
        raise Mistake("a fenced block that does not end")


def render(text, version):
    """The whole page."""
    first, *rest = blocks(text)
    title = _TITLE.fullmatch(first[0])
    if title is None or len(first) != 1:
        raise Mistake("the first line has to be `# name(section)`")
    name, section = title.groups()
    head = ["'\\\" t",
            f'.TH {literal(name.upper())} {section} "" "{literal(name)} {version}"',
            ".nh", ".ad l"]
    return "\n".join([*head, *(line for lines in rest for line in block(lines))]) + "\n"


def main():
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} SOURCE VERSION")
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    try:
        sys.stdout.write(render(text, sys.argv[2]))
    except Mistake as mistake:
        sys.exit(f"{sys.argv[1]}: {mistake}")


if __name__ == "__main__":
    main()
