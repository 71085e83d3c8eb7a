#!/usr/bin/python3
"""The HTML report in headless Chromium, driven through ChromeDriver's WebDriver protocol.

  browser_test.py BIN_DIR MAKE_DUMP OUT_DIR

Leaves a screenshot of each case and colour scheme in OUT_DIR.
"""
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1100,1600"]
bin_dir = make_dump = out_dir = None


class Browser:
    """One session. Commands are the paths of the WebDriver standard."""

    def __init__(self, folder):
        self.log = open(Path(folder) / "chromedriver.log", "w+", encoding="utf-8")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=self.log, stderr=subprocess.STDOUT)
        self.base = f"http://127.0.0.1:{self.port()}"
        options = {"args": ARGUMENTS + [f"--user-data-dir={folder}/profile"]}
        answer = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.base += "/session/" + answer["sessionId"]

    def port(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.driver.poll() is None:
            text = Path(self.log.name).read_text(encoding="utf-8")
            if "started successfully on port " in text:
                return int(text.split("started successfully on port ")[1].split(".")[0])
            time.sleep(0.1)
        raise RuntimeError("chromedriver does not start: " + Path(self.log.name).read_text(encoding="utf-8"))

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def script(self, code, *arguments):
        return self.call("POST", "/execute/sync", {"script": code, "args": list(arguments)})

    def scheme(self, name):
        self.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {
            "features": [{"name": "prefers-color-scheme", "value": name}]}})

    def type(self, selector, text):
        element = self.call("POST", "/element", {"using": "css selector", "value": selector})
        (identity,) = element.values()
        self.call("POST", f"/element/{identity}/clear", {})
        if text:
            self.call("POST", f"/element/{identity}/value", {"text": text})

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(30)
            self.log.close()


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.browser = Browser(cls.folder.name)
        cls.addClassCleanup(cls.browser.close)

    def open(self, case):
        dump, page = Path(self.folder.name) / case, Path(self.folder.name) / f"{case}.html"
        subprocess.run([make_dump, case, dump], check=True, timeout=120)
        subprocess.run([bin_dir / "kdump-analyze", "report", dump, "--no-debug-info", "--format", "html", "-o", page],
                       check=True, timeout=120)
        self.browser.call("POST", "/url", {"url": page.as_uri()})

    def screenshot(self, name):
        picture = base64.b64decode(self.browser.call("GET", "/screenshot"))
        (out_dir / f"report-{name}.png").write_bytes(picture)
        self.assertGreater(len(picture), 20000, "an empty page")

    def test_drawn_in_both_schemes(self):
        self.open("oops-x86-64")
        colours = {}
        for scheme in ("light", "dark"):
            self.browser.scheme(scheme)
            colours[scheme] = self.browser.script("return getComputedStyle(document.body).backgroundColor")
            self.screenshot(scheme)
        self.assertEqual({"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 24)"}, colours)
        self.assertTrue(self.browser.script("return document.querySelector('h1').innerText"))
        widths = self.browser.script("return [...document.querySelectorAll('.bar i')].map(i => i.offsetWidth)")
        whole = self.browser.script("return document.querySelector('.bar').clientWidth")
        self.assertGreater(len(widths), 3)
        self.assertAlmostEqual(whole, sum(widths), delta=len(widths) + 2)
        for width in (1100, 400):  # nothing but the wide tables and the log scrolls sideways, on a telephone too
            self.browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": {
                "width": width, "height": 1600, "deviceScaleFactor": 1, "mobile": False}})
            self.assertLessEqual(self.browser.script("return document.documentElement.scrollWidth"), width)

    def test_search_in_the_log(self):
        self.open("oops-x86-64")
        visible = "return [...document.querySelectorAll('#log b')].filter(b => b.offsetHeight > 0).map(b => b.innerText)"
        everything = self.browser.script(visible)
        self.browser.type("#search input", "OOPS")
        found = self.browser.script(visible)
        self.assertEqual([line for line in everything if "oops" in line.lower()], found)
        self.assertTrue(0 < len(found) < len(everything))
        said = self.browser.script("return document.querySelector('#search output').innerText")
        self.assertEqual(f"{len(found)} line" + ("" if len(found) == 1 else "s"), said)

    def test_nothing_out_of_a_dump_runs(self):
        self.open("hostile")
        self.screenshot("hostile")
        self.assertEqual(1, self.browser.script("return document.scripts.length"))
        complaints = [entry for entry in self.browser.call("POST", "/se/log", {"type": "browser"})
                      if entry["level"] in ("SEVERE", "WARNING")]
        self.assertEqual([], complaints, "the page asked for something its policy forbids, or an error")


if __name__ == "__main__":
    bin_dir, make_dump, out_dir = (Path(argument) for argument in sys.argv[1:4])
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        print("SKIP: chromium and chromedriver are not installed (Debian packages chromium, chromium-driver)")
        sys.exit(1 if os.environ.get("CI") else 77)
    unittest.main(argv=sys.argv[:1])
