"""What a program's --help says, as data: its subcommands and the options of each."""
import re
import subprocess


def text(program, *subcommand) -> str:
    done = subprocess.run([program, *subcommand, "--help"], capture_output=True, text=True, check=True)
    return done.stdout


def subcommands(program) -> list[str]:
    section = re.search(r"^Subcommands:\n(.*?)(\n\n|\Z)", text(program), re.M | re.S)
    return re.findall(r"^  ([a-z][a-z-]*)", section[1], re.M) if section else []


def options(program, *subcommand) -> set[str]:
    """Every name of every option: "-d", "--level"."""
    found = set()
    for line in text(program, *subcommand).splitlines():
        match = re.match(r" {2,6}(-[^ {]+)", line)
        if match:
            found.update(match[1].split(","))
    return found


def all_options(program) -> set[str]:
    """The same of the program and all its subcommands."""
    return options(program).union(*(options(program, subcommand) for subcommand in subcommands(program)))
