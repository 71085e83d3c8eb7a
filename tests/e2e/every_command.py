"""Every command of kdump-analyze on one dump: its JSON by the schema, and something in the answer that has to be so in any dump of our
guests. A command that --help lists and nobody asks here is a failure."""
import functools
import json
import re
import tempfile
from pathlib import Path

import e2e


class EveryCommand:
    """`ask_every_command` asks them all; one method for each, named after it."""

    def __init__(self, test: e2e.TestCase, dump: Path, vmlinux: Path):
        self.test, self.dump, self.vmlinux = test, dump, vmlinux
        self.report = {}

    def ask_all(self) -> None:
        listed = commands_of(self.test.run_program("kdump-analyze", "--help"))
        asked = {name.removeprefix("ask_") for name in dir(self) if name.startswith("ask_")} - {"all"}
        self.test.assertEqual(sorted(listed), sorted(asked), "commands that --help lists, and those that are asked here")
        for command in listed:  # the report comes first
            with self.test.subTest(command=command, dump=self.dump.name):
                getattr(self, "ask_" + command)()

    def json(self, command: str, *words) -> dict:
        answer = self.test.run_json("kdump-analyze", command, self.dump, *words, "--vmlinux", self.vmlinux, "--json")
        self.test.assertEqual("complete", answer.get("status", "complete"))
        return answer

    def text(self, command: str, *words) -> str:
        return self.test.run_program("kdump-analyze", command, self.dump, *words, "--vmlinux", self.vmlinux)

    def refuses(self, command: str) -> None:
        """The kernel was built without what is asked for."""
        self.test.run_program("kdump-analyze", command, self.dump, "--vmlinux", self.vmlinux, "--json", expect=1)

    # ---- the crash

    def ask_report(self) -> None:
        self.report = self.json("report")
        self.test.assertEqual("build-id", self.report["evidence"]["vmlinux"]["match"])
        self.test.assertTrue(self.tasks)

    def ask_log(self) -> None:
        records = self.test.run_json("kdump-analyze", "log", self.dump, "--json")["records"]
        banner = next(record["text"] for record in records if record["text"].startswith("Linux version "))
        self.test.assertIn(self.report["identity"]["release"], banner)

    def ask_bt(self) -> None:
        stacks = self.json("bt", "--group")["stacks"]
        self.test.assertEqual(len(self.tasks), sum(len(stack["tasks"]) for stack in stacks))
        names = {frame["symbol"] for stack in stacks if stack["backtrace"] for frame in stack["backtrace"]["frames"]}
        self.test.assertIn("kthread", names)

    def ask_ps(self) -> None:
        rows = self.json("ps")["items"]
        self.test.assertEqual([task["pid"] for task in self.tasks], [row["pid"] for row in rows])

    @property
    def tasks(self) -> list[dict]:
        return self.report["tasks"]["items"]

    def ask_locks(self) -> None:
        self.test.assertEqual([], self.json("locks")["locks"]["cycles"])

    def ask_triage(self) -> None:
        answer = self.test.run_json("kdump-analyze", "triage", self.dump, "--json")
        self.test.assertEqual((1, []), (answer["files"], answer["unreadable"]))
        crash = answer["groups"][0]["crashes"][0]
        self.test.assertEqual((str(self.dump), self.report["identity"]["release"]), (crash["files"][0], crash["release"]))
        self.test.assertEqual(self.report["crash"]["class"]["name"], answer["groups"][0]["class"])

    def ask_diff(self) -> None:
        """From itself nothing; of another kernel's the name."""
        with tempfile.TemporaryDirectory() as temp:
            same, other = Path(temp, "same.json"), Path(temp, "other.json")
            same.write_text(json.dumps(self.report))
            changed = json.loads(json.dumps(self.report))
            changed["identity"]["release"] = "9.9.9-other"
            other.write_text(json.dumps(changed))
            diff = self.test.run_json("kdump-analyze", "diff", same, same, "--json")
            bug = "unknown" if self.report["crash"]["class"]["name"] == "no_panic" else "exact"
            self.test.assertEqual([], diff["changes"])
            self.test.assertEqual(bug, diff["same_bug"])
            diff = self.test.run_json("kdump-analyze", "diff", same, other, "--json")
            self.test.assertTrue(any("9.9.9-other" in json.dumps(change) for change in diff["changes"]), diff["changes"])
            # The dump itself counts as its report does, with less known about it.
            diff = self.test.run_json("kdump-analyze", "diff", self.dump, same, "--no-debug-info", "--json")
            self.test.assertEqual(self.report["identity"]["release"], diff["a"]["release"])
            self.test.assertEqual(bug, diff["same_bug"], diff)

    # ---- what the kernel had to do

    def ask_runq(self) -> None:
        queues = self.json("runq")["cpus"]
        running = {task["pid"] for task in self.tasks if task["on_cpu"]}
        self.test.assertEqual(running, {queue["current"]["pid"] for queue in queues if not queue["idle"]})

    def ask_timer(self) -> None:
        timers = self.json("timer")
        self.test.assertIn(timers["clock"]["tick_us"], (1000, 4000, 10000))
        functions = [timer["function"] for cpu in timers["cpus"] for timer in cpu["timers"]]
        self.test.assertTrue({"delayed_work_timer_fn", "process_timeout"} & set(functions), functions)

    def ask_workqueue(self) -> None:
        self.test.assertIn("events", [queue["name"] for queue in self.json("workqueue")["workqueues"]])

    def ask_wait(self) -> None:
        self.test.assertIsNone(self.json("wait", "task(1)->signal->wait_chldexit")["queues"][0]["error"])

    def ask_mod(self) -> None:
        if self.report["modules"] is None:
            self.refuses("mod")
            return
        listed = [each["name"] for each in self.json("mod")["items"]]
        self.test.assertEqual([each["name"] for each in self.report["modules"]["items"]], listed)

    def ask_irq(self) -> None:
        lines = self.json("irq")["lines"]
        self.test.assertTrue(any(line["handlers"] and sum(one["count"] for one in line["counts"]) for line in lines), lines)

    def ask_dev(self) -> None:
        majors = {(each["major"], each["name"]) for each in self.json("dev")["character_majors"]}
        self.test.assertIn((1, "mem"), majors)

    def ask_files(self) -> None:
        first = self.json("files", "1", "--redact", "none")["processes"][0]
        self.test.assertTrue({"/dev/console", "/dev/null"} & {file["path"] for file in first["files"]}, first)  # of sh, of systemd

    def ask_mount(self) -> None:
        mounts = {(mount["target"], mount["type"]) for mount in self.json("mount")["mounts"]}
        self.test.assertTrue({("/", "rootfs"), ("/proc", "proc")} <= mounts, mounts)

    def ask_net(self) -> None:
        if not self.has("net_namespace_list"):
            self.refuses("net")
            return
        self.test.assertIn("lo", [one["name"] for one in self.json("net")["namespaces"][0]["interfaces"]])

    # ---- memory, code, types

    def has(self, symbol: str) -> bool:
        answer = self.test.run_json("kdump-analyze", "sym", self.dump, symbol, "--vmlinux", self.vmlinux, "--json", expect=None)
        return bool(answer["answers"][0]["matches"])

    @functools.cache
    def address(self, symbol: str) -> str:
        return self.json("sym", symbol)["answers"][0]["matches"][0]["address"]

    def ask_sym(self) -> None:
        back = self.json("sym", self.address("panic"))["answers"][0]["matches"][0]
        self.test.assertEqual(("panic", 0), (back["symbol"], back["symbol_offset"]))

    def ask_read(self) -> None:
        self.test.assertTrue(self.json("read", "linux_banner", "64", "-a")["text"].startswith("Linux version "))

    def ask_vtop(self) -> None:
        there = self.json("vtop", self.address("linux_banner"))
        self.test.assertEqual(("mapped", "leaf"), (there["translation"], there["steps"][-1]["kind"]))
        back = self.json("vtop", there["physical_address"], "-p")
        self.test.assertEqual(there["address"], back["image_address"])

    def ask_search(self) -> None:
        text = self.json("read", "linux_banner", "64", "-a")["text"][:40]
        place = self.json("vtop", self.address("linux_banner"))["physical_address"]
        self.test.assertIn(place, [hit["physical_address"] for hit in self.json("search", "--string", text)["hits"]])

    def ask_mem(self) -> None:
        self.test.assertEqual(self.report["memory"], self.json("mem")["memory"])

    def ask_dis(self) -> None:
        code = self.json("dis", "panic", "-n", "4")["instructions"]
        self.test.assertEqual((4, self.address("panic")), (len(code), code[0]["address"]))

    def ask_struct(self) -> None:
        size = self.json("struct", "task_struct")["size_bytes"]
        walked = self.json("print", "sizeof(struct task_struct)")["expressions"][0]["values"][0]["value"]["number"]
        self.test.assertEqual(size, walked)

    def ask_print(self) -> None:
        walk = self.json("print", "list(init_task.tasks, struct task_struct, tasks).pid")["expressions"][0]["values"]
        self.test.assertEqual({task["tgid"] for task in self.tasks}, {item["value"]["number"] for item in walk})

    # ---- the machine and the dump

    def ask_sys(self) -> None:
        self.test.assertEqual(self.report["identity"], self.json("sys")["identity"])

    def ask_config(self) -> None:
        """Our own kernels carry theirs, Debian's do not."""
        if not self.has("kernel_config_data"):
            self.refuses("config")
            return
        self.test.assertIn({"name": "CONFIG_SMP", "value": "y"}, self.json("config", "SMP")["options"])

    def ask_info(self) -> None:
        said = self.test.run_json("kdump-analyze", "info", self.dump, "--json")["input"]
        self.test.assertEqual(self.report["input"], {**said, "present_bytes": None})
        self.test.assertTrue(0 < said["present_bytes"] <= said["ram_bytes"], said)

    def ask_doctor(self) -> None:
        """All is well but for what the guest's modules would need; and without the vmlinux that is what is missing."""
        states = {check["name"]: check["state"] for check in self.json("doctor")["checks"]}
        self.test.assertEqual("good", states["log"], states)
        self.test.assertEqual("good", states["kernel memory"], states)
        self.test.assertEqual("good", states["vmlinux"], states)
        checks = self.test.run_json("kdump-analyze", "doctor", self.dump, "--no-debug-info", "--json")["checks"]
        self.test.assertNotEqual("good", next(check["state"] for check in checks if check["name"] == "vmlinux"))

    def ask_shell(self) -> None:
        said = self.text("shell", "-c", "runq", "-c", "sym panic")
        self.test.assertEqual(self.text("runq") + self.text("sym", "panic"), said)


def commands_of(text: str) -> list[str]:
    """What --help lists, in its order."""
    _, _, commands = text.partition("\nSubcommands:\n")
    return re.findall(r"^  (\w[\w-]*) {2,}", commands, re.MULTILINE)
