"""What a guest said about itself before the crash: the files workload.cc wrote, its console and its log."""
import dataclasses
import itertools
import re
import struct

from guest import Run
from machines import SYMBOL, Machine


def marker_page(name: str, size: int) -> bytes:
    """The content of a marker page; the same numbers as fill_marker in workload.cc."""
    mask = 2**64 - 1
    state = int.from_bytes(name.encode()[:8], "little")
    words = []
    for _ in range(size // 8):
        state = z = (state + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        words.append(z ^ (z >> 31))
    return struct.pack(f"<{len(words)}Q", *words)


def kernel_trace(machine: Machine, lines: list[str]) -> list[str]:
    """The kernel's own trace of its crash as "function+0x1/0x2 [module]", innermost first; empty when there is none.
    After an exception it begins where that happened. Frames that the kernel itself doubts ("? f") are no part of it;
    the code that an exception interrupted is. `lines` have no timestamps."""
    starts = [i for i, line in enumerate(lines) if line == machine.call_trace]
    if not starts:
        return []
    ends = ("---[", "Modules linked in", "Kernel Offset")  # x86-64 repeats its registers after these
    within = itertools.takewhile(lambda line: not line.startswith(ends), lines[starts[-1] + 1:])
    # The registers that belong to this trace come right before it; they are not those of an older trace.
    before = itertools.takewhile(lambda line: not line.startswith(("CPU: ", *ends)), reversed(lines[:starts[-1]]))
    faults = [machine.fault] if machine.fault else []
    where = (re.fullmatch(pattern, line.rstrip()) for line in before for pattern in faults)
    matches = (re.fullmatch(pattern, line.rstrip()) for line in within for pattern in [*faults, f" {SYMBOL}"])
    return [match.group(1) for match in itertools.chain(where, matches) if match]


@dataclasses.dataclass
class Facts:
    crash_pid: int
    crash_cpu: int
    markers: dict[str, int | None]  # name -> PFN, None when the guest cannot know it
    modules: dict[str, int]         # name -> size
    meminfo: dict[str, int]         # kB, or the number as it is
    tasks: dict[int, tuple[str, str]]  # TID -> command name, state letter, of every thread
    console: list[str]              # what the production kernel said on the console, without timestamps
    trace: list[str]                # the kernel's own trace, see kernel_trace
    keys: dict[str, bytes]          # name -> payload of a key in a kernel keyring; none where the kernel has no keyrings


def read_facts(machine: Machine, run: Run) -> Facts:
    lines: dict[str, list[str]] = {}
    for line in (run.text("facts.fill") + run.text("facts.crash")).splitlines():
        kind, _, rest = line.partition(" ")
        lines.setdefault(kind, []).append(rest)
    pid, cpu = lines["crash"][0].split()
    tasks = {}
    for task in lines["task"]:
        _, tid, state, comm = task.split(" ", 3)
        tasks[int(tid)] = (comm, state)
    console = kernel_lines(run.text("console.log"))
    # The crash kernel begins with the same line as the one that crashed.
    boots = [i for i, line in enumerate(console) if line.startswith(machine.first_record)]
    if len(boots) > 1:
        console = console[:boots[1]]
    # What is said in an NMI, and after it, gets into the log at once but on the console only later: too late.
    trace = kernel_trace(machine, console) or kernel_trace(machine, kernel_lines(run.text("log.stdout")))
    return Facts(
        crash_pid=int(pid), crash_cpu=int(cpu),
        markers={m.split()[0]: None if m.split()[1] == "?" else int(m.split()[1]) for m in lines["marker"]},
        modules={m.split()[0]: int(m.split()[1]) for m in lines.get("modules", [])},
        meminfo={m.split(":")[0]: int(m.split()[1]) for m in lines["meminfo"]},
        tasks=tasks, console=console, trace=trace,
        keys={k.split()[0]: marker_page(k.split()[0], int(k.split()[1])) for k in lines.get("key", [])})


def kernel_lines(text: str) -> list[str]:
    """What follows "[  12.345678] ", line by line; other lines are not the kernel's. (A BIOS leaves no end of line.)"""
    return re.findall(r"\[ *\d+\.\d{6}\] (.*)$", text.replace("\r", ""), re.MULTILINE)
