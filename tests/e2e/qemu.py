"""Runs one QEMU guest to its end, and does for it what it asks for on its console, which only a host can do:

  host: nmi         an NMI
  host: plug        one more CPU, where -smp left room for it
  host: plug memory MIB   a memory module, where -m left a slot for it
  host: dump NAME   QEMU's own dump-guest-memory, to NAME.elf and NAME.kdump (flattened kdump-compressed, zlib)

A panic that no crash kernel follows ends the guest, after a dump named "panicked".
"""
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machines import Machine


class Qmp:
    """The QEMU Machine Protocol: one JSON object a line (docs/interop/qmp-spec in QEMU's sources)."""

    def __init__(self, path: Path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rw")
        self._lines.readline()  # the greeting
        self("qmp_capabilities")

    def __call__(self, command: str, **arguments):
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        for line in self._lines:
            answer = json.loads(line)  # or an event, which nobody here waits for
            if "error" in answer:
                raise RuntimeError(f"QEMU: {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise RuntimeError(f"QEMU ended during {command}")


def boot(machine: Machine, options: list, out: Path, timeout: int, echo: bool) -> None:
    """Runs a guest until it powers off; out/console.log is what it said, and dumps are made in `out`."""
    console = out / "console.log"
    with tempfile.TemporaryDirectory(prefix="kdk-qemu-") as temp, console.open("wb") as log:  # short: a socket's name is
        command = [*machine.qemu, "-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio",
                   "-qmp", f"unix:{temp}/qmp,server=on,wait=off", *options]
        qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            _serve(qemu, Path(temp, "qmp"), out, time.monotonic() + timeout, echo)
        finally:
            qemu.kill()
            qemu.wait()
    if qemu.returncode not in (0, -9):
        raise RuntimeError(f"qemu: exit code {qemu.returncode}: {console.read_text(errors='replace')[-500:]}")


def _serve(qemu: subprocess.Popen, qmp: Path, out: Path, deadline: float, echo: bool) -> None:
    with (out / "console.log").open(errors="replace") as console:
        line = ""
        while True:
            ended = qemu.poll() is not None
            line += console.readline()
            if line.endswith("\n"):
                if echo:
                    print(line, end="", file=sys.stderr, flush=True)
                if not _answer(line, qmp, out):
                    return
                line = ""
            elif ended:
                return
            elif time.monotonic() > deadline:
                last = (out / "console.log").read_text(errors="replace").splitlines()[-15:]
                raise RuntimeError("the guest was not done in time; it last said:\n" + "\n".join(last))
            else:
                time.sleep(0.1)


def _answer(line: str, qmp: Path, out: Path) -> bool:
    """False: the guest is done."""
    if re.search(r"---\[ end Kernel panic", line):
        dump(Qmp(qmp), out, "panicked")
        return False
    asked = re.match(r"(?:\[ *[\d.]+\] )?host: (nmi|plug|plug memory (\d+)|dump (\w+))\s*$", line)
    if asked and asked[1] == "nmi":
        Qmp(qmp)("inject-nmi")
    elif asked and asked[1] == "plug":
        plug_cpu(Qmp(qmp))
    elif asked and asked[2]:
        plug_memory(Qmp(qmp), int(asked[2]))
    elif asked:
        dump(Qmp(qmp), out, asked[3])
    return True


def plug_cpu(qmp: Qmp) -> None:
    free = [cpu for cpu in qmp("query-hotpluggable-cpus") if "qom-path" not in cpu]
    qmp("device_add", driver=free[-1]["type"], **free[-1]["props"])


def plug_memory(qmp: Qmp, mib: int) -> None:
    qmp("object-add", **{"qom-type": "memory-backend-ram", "id": "plugged", "size": mib << 20})
    qmp("device_add", driver="pc-dimm", memdev="plugged", id="dimm")


def dump(qmp: Qmp, out: Path, name: str) -> None:
    """A stopped machine, so that both files show the same moment."""
    qmp("stop")
    qmp("dump-guest-memory", paging=False, protocol=f"file:{out / name}.elf")
    qmp("dump-guest-memory", paging=False, protocol=f"file:{out / name}.kdump", format="kdump-zlib")
    qmp("cont")
