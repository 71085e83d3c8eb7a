"""The architectures that guests run: all that differs between them, as data. A further one is a further entry."""
import dataclasses

SYMBOL = r"([^\s+]+\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[\w+\])?)"  # function+0x1/0x2 [module], as kernels print it


@dataclasses.dataclass(frozen=True)
class Machine:
    """A QEMU machine, and what its kernel and its Debian packages are called."""
    name: str              # the cmake preset of our static programs
    debian: str            # Debian's name of the architecture
    triplet: str           # prefix of the toolchain's programs
    qemu: tuple[str, ...]  # the program, the board, how it is emulated
    command_line: str      # the serial port as the console, and what the emulation needs
    call_trace: str        # the line before a trace
    fault: str | None      # where an exception happened, as a pattern, before a trace and within it; None: its own frame
    first_record: str      # how the kernel's log begins
    last_record: str       # and how it ends when sysrq crashes it

    def tool(self, name: str) -> str:
        return f"{self.triplet}-{name}"


ARM64 = Machine("arm64", "arm64", "aarch64-linux-gnu",
                ("qemu-system-aarch64", "-M", "virt,gic-version=3", "-accel", "tcg,thread=multi"), "console=ttyAMA0",
                "Call trace:", None, "Booting Linux on physical CPU", "Bye!")
# With a thread for each CPU, QEMU 7.2 now and then lets one CPU run into the int3 of code that the other one is patching
# ("Oops: int3" while booting); with one thread for all it cannot.
# no_timer_check: on a busy host the timer may miss the deadline of that check, which is a panic.
X86_64 = Machine("x86-64", "amd64", "x86_64-linux-gnu",
                 ("qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=single"), "console=ttyS0 no_timer_check",
                 "Call Trace:", f"RIP: 0010:{SYMBOL}", "Linux version ", " </TASK>")
MACHINES = {machine.name: machine for machine in (ARM64, X86_64)}
