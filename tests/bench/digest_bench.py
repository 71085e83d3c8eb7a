#!/usr/bin/python3
"""How fast the purgatory's committed code computes SHA-256 here, against the code that kexec-tools puts into its purgatory
and against OpenSSL. MB of memory per second of CPU time, one thread.

  digest_bench.py [--kexec PROGRAM] [--mib N]     PROGRAM: kexec(8), from whose file its purgatory is taken

Only for x86-64: under emulation times say nothing.
"""
import argparse
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# kexec-tools keeps its purgatory as a relocatable object; its hash is called as this declares it.
THEIRS = """
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
void sha256_process(void* context, const unsigned char* block);
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}
int main(int argc, char** argv) {
  size_t size = strtoul(argv[1], 0, 10) << 20;
  unsigned char* data = malloc(size);
  unsigned context[64] = {0};
  double best = 0;
  for (size_t i = 0; i < size; ++i) data[i] = i * 2654435761u >> 24;
  for (int round = 0; round < 5; ++round) {
    double start = now();
    for (size_t at = 0; at < size; at += 64) sha256_process(context, data + at);
    double rate = size / 1e6 / (now() - start);
    if (rate > best) best = rate;
  }
  printf("%.0f\\n", best);
}
"""


def purgatory_of(kexec: Path) -> bytes:
    """The ELF object inside the program's file, up to its section headers."""
    content = kexec.read_bytes()
    at = content.index(b"\x7fELF\x02\x01\x01", 1)
    sections, = struct.unpack_from("<Q", content, at + 0x28)
    count, = struct.unpack_from("<H", content, at + 0x3c)
    return content[at:at + sections + 64 * count]


def theirs(kexec: Path, mib: int) -> float:
    with tempfile.TemporaryDirectory() as temp:
        code, source, program = Path(temp, "purgatory.o"), Path(temp, "main.c"), Path(temp, "main")
        code.write_bytes(purgatory_of(kexec))
        source.write_text(THEIRS)
        subprocess.run(["objcopy", "--keep-global-symbol=sha256_process", code], check=True)
        subprocess.run(["gcc", "-O2", "-no-pie", "-Wl,-z,noexecstack", "-o", program, source, code], check=True)
        return float(subprocess.run([program, str(mib)], check=True, capture_output=True, text=True).stdout)


def openssl() -> float | None:
    done = subprocess.run(["openssl", "speed", "-seconds", "1", "-bytes", "1048576", "-evp", "sha256"], capture_output=True, text=True)
    found = re.search(r"^sha256\s+([\d.]+)k", done.stdout, re.MULTILINE)
    return float(found[1]) / 1000 if found else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kexec", default=shutil.which("kexec"), type=Path)
    parser.add_argument("--mib", default=64, type=int)
    options = parser.parse_args()
    done = subprocess.run([sys.executable, ROOT / "tests/unit/loader/purgatory/run_code.py", "x86-64", "--bench", str(options.mib)],
                          check=True, capture_output=True, text=True)
    rows = {f"ours, {name}": float(rate) for name, rate in (line.split() for line in done.stdout.splitlines())}
    if options.kexec:
        rows["kexec-tools"] = theirs(options.kexec, options.mib)
    if (rate := openssl()) is not None:
        rows["OpenSSL"] = rate
    for name, rate in rows.items():
        print(f"{name:<20} {rate:6.0f} MB/s   64 MiB in {64 * 1.048576 / rate:.3f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
