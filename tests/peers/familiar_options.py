#!/usr/bin/python3
"""docs/kdump-capture.md says for every option of makedumpfile what takes its place: each option that `makedumpfile --help`
names is in the table, and those that are said to be the same are options of `kdump-capture save`.

  familiar_options.py KDUMP_CAPTURE
"""
import re
import shutil
import sys

import peers

OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")


def table():
    """(options, what the table says of them), row by row."""
    text = (peers.ROOT / "docs" / "kdump-capture.md").read_text()
    rows = text.split("## makedumpfile's options", 1)[1].split("\n## ", 1)[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|", 1)] for row in rows if row.startswith("| `")]
    return [(OPTION.findall(options), answer) for options, answer in cells]


def main():
    if not shutil.which("makedumpfile"):
        peers.skip("makedumpfile is not installed")
    report = peers.Report()
    rows = table()
    documented = [option for options, _ in rows for option in options]
    # Every option has a heading of its own: "  [-d DL]:", "  [-h, --help]:", "  [-c|-l|-p|-z]:".
    said = peers.run("makedumpfile", "--help")
    theirs = {option for heading in re.findall(r"^  \[(-[^\]]*)\]", said, re.MULTILINE) for option in OPTION.findall(heading)}
    report.check(f"makedumpfile names {len(theirs)} options", [] if len(theirs) > 35 else sorted(theirs))
    report.check("each is in the table", sorted(theirs - set(documented)))
    report.check("none is in it twice", sorted({option for option in documented if documented.count(option) > 1}))
    ours = set(OPTION.findall(peers.run(sys.argv[1], "save", "--help")))
    same = {option for options, answer in rows if answer.startswith("the same") for option in options}
    report.check(f"{len(same)} that are the same are options of save", sorted(same - ours))
    report.exit()


if __name__ == "__main__":
    main()
