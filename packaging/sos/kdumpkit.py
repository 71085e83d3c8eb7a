"""sos's plugin of kdumpkit: what is armed, and what the newest crash was. No dump goes into the archive."""
import os

from sos.report.plugins import DebianPlugin, Plugin, RedHatPlugin, SuSEPlugin, UbuntuPlugin

FILES = ["report.json", "report.txt", "report.failed", "summary.json", "dmesg.txt"]


# Not IndependentPlugin, which the policies of sos 4.0 do not take.
class Kdumpkit(Plugin, RedHatPlugin, DebianPlugin, UbuntuPlugin, SuSEPlugin):

    short_desc = "kdumpkit: the crash kernel and the newest crash"

    plugin_name = "kdumpkit"
    profiles = ("system", "debug")
    packages = ("kdumpkit", "kdumpkit-load")

    def setup(self):
        self.add_copy_spec(["/etc/kdumpkit.toml", "/etc/default/kdumpkit", "/run/kdumpkit/loaded.json"])
        self.add_cmd_output(["kdump-load status --json", "kdump-load reserve --json", "kdump-load check-config",
                             "kdump-capture check-config"])
        self.add_journal(units=["kdumpkit-arm", "kdumpkit-check", "kdumpkit-report"])
        newest = self.newest_dump()
        if newest:
            self.add_copy_spec([os.path.join(newest, name) for name in FILES])

    def newest_dump(self):
        """The directory of the dump with the latest time in its name, HOST-TIME or HOST-TIME.incomplete."""
        found = []
        said = self.exec_cmd("kdumpkit-mkinitramfs --dump-directories")
        for place in said["output"].splitlines() if said["status"] == 0 else []:
            if os.path.isdir(place):
                found += [os.path.join(place, name) for name in os.listdir(place)
                          if name.endswith("Z") or name.endswith("Z.incomplete")]
        return max(found, key=lambda path: path.replace(".incomplete", "")[-20:], default=None)
