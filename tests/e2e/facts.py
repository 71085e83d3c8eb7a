"""What a guest said about itself before the crash: the files workload.cc wrote, and its console."""
import dataclasses
import re
import struct

from guest import Run


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


@dataclasses.dataclass
class Facts:
    crash_pid: int
    crash_cpu: int
    markers: dict[str, int | None]  # name -> PFN, None when the guest cannot know it
    modules: dict[str, int]         # name -> size
    meminfo: dict[str, int]         # kB, or the number as it is
    tasks: dict[int, tuple[str, str]]  # TID -> command name, state letter, of every thread
    console: list[str]              # "[time] text" lines of the production kernel
    trace: list[str]                # "function+0x1/0x2" of the kernel's own panic trace, innermost first


def read_facts(run: Run) -> Facts:
    lines: dict[str, list[str]] = {}
    for line in (run.text("facts.fill") + run.text("facts.crash")).splitlines():
        kind, _, rest = line.partition(" ")
        lines.setdefault(kind, []).append(rest)
    pid, cpu = lines["crash"][0].split()
    tasks = {}
    for task in lines["task"]:
        _, tid, state, comm = task.split(" ", 3)
        tasks[int(tid)] = (comm, state)
    console = [line for line in run.text("console.log").replace("\r", "").splitlines() if re.match(r"\[ *\d+\.\d{6}\]", line)]
    booted = [i for i, line in enumerate(console) if "Booting Linux on physical CPU" in line]
    production = console[booted[0]:booted[1]] if len(booted) > 1 else console
    start = next(i for i, line in enumerate(production) if "Call trace:" in line)
    trace = []
    for line in production[start + 1:]:
        frame = re.match(r"\[ *\d+\.\d{6}\]  ([^\s+]+\+0x[0-9a-f]+/0x[0-9a-f]+)", line)
        if not frame:
            break
        trace.append(frame.group(1))
    return Facts(
        crash_pid=int(pid), crash_cpu=int(cpu),
        markers={m.split()[0]: None if m.split()[1] == "?" else int(m.split()[1]) for m in lines["marker"]},
        modules={m.split()[0]: int(m.split()[1]) for m in lines["modules"]},
        meminfo={m.split(":")[0]: int(m.split()[1]) for m in lines["meminfo"]},
        tasks=tasks, console=production, trace=trace)
