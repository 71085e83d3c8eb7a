"""The commands that README.md and docs/ show, as they can be run: those about a dump, anywhere one is; those about a machine, on one.

Lines of code blocks that begin with one of our programs, without their comments. A synopsis is no command: it has brackets or names
in capital letters. What can be run in neither place is in ELSEWHERE, with the test that does it.
"""
import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = {"kdump-load", "kdump-capture", "kdump-analyze", "kdumpkit-mkinitramfs"}
# Beginnings of commands, and who runs them.
ELSEWHERE = {
    "kdump-capture run": "e2e-run, in a crash kernel",
    "kdump-capture fetch": "e2e-run, from a raw disk",
    "kdump-load test --crash": "e2e-crash-test: it crashes the machine",
    "kdump-load test": "e2e-prove-*: it needs QEMU on the machine",
    "kdump-load reserve --apply": "e2e-debian, before the reboot it needs",
}
ON_A_MACHINE = ["kdump-load", "kdumpkit-mkinitramfs", "kdump-capture check-config", "kdump-capture estimate"]


class Command(NamedTuple):
    page: str
    line: int
    text: str

    def begins(self, words: str) -> bool:
        return (self.text + " ").startswith(words + " ")


def shown() -> list[Command]:
    out = []
    for page in PAGES:
        block = False
        for number, line in enumerate(page.read_text().splitlines(), 1):
            if line.startswith("```"):
                block = not block
                continue
            text = re.sub(r"\s+#\s.*", "", re.sub(r"^[#$] ", "", line)) if block else ""
            if text.split(" ")[0] in PROGRAMS and not is_synopsis(text):
                out.append(Command(page.name, number, text))
    return out


def is_synopsis(text: str) -> bool:
    return "…" in text or "..." in text or any(re.match(r"\[|[A-Z]+$|\|$", word) for word in shlex.split(text))


def elsewhere(command: Command) -> bool:
    return any(command.begins(words) for words in ELSEWHERE)


def on_a_machine() -> list[Command]:
    return [command for command in shown() if not elsewhere(command) and any(command.begins(words) for words in ON_A_MACHINE)]


def on_a_dump() -> list[Command]:
    return [command for command in shown() if not elsewhere(command) and not any(command.begins(words) for words in ON_A_MACHINE)]
