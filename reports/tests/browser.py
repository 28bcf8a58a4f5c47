"""A headless Chromium for the tests of the page, and the accessibility checker that runs in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
REQUIRED = "EVIDENCE_REQUIRE_BROWSER"


def absent(reason: str) -> None:
    """Skip with the reason, or fail with it where a browser is required."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, and {REQUIRED}=1")
    pytest.skip(reason)


@contextmanager
def chromium() -> Iterator[Any]:
    """The system's Chromium or Chrome, driven by Playwright."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    executable = next((path for name in names if (path := shutil.which(name))), None)
    if executable is None:
        absent(f"no browser: none of {', '.join(names)} is on PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent("playwright is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def axe() -> str:
    """Source of axe-core, installed once by npm into the ignored output folder."""
    home = HERE.parent / "out" / "axe"
    script = home / "node_modules" / "axe-core" / "axe.min.js"
    lock = HERE / "package-lock.json"
    if not script.exists() or not (home / lock.name).exists() or (home / lock.name).read_bytes() != lock.read_bytes():
        npm = shutil.which("npm")
        if npm is None:
            absent("npm is not on PATH: axe-core cannot be installed")
        home.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, home)
        done = subprocess.run(
            [str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=home, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        if done.returncode or not script.exists():
            shutil.rmtree(home, ignore_errors=True)
            absent(f"npm could not install axe-core: {(done.stderr or done.stdout).strip()[-200:]}")
    return script.read_text(encoding="utf-8")


class Watched:
    """A page with everything that went wrong on it and everything that it asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.wrong: list[str] = []
        self.requested_urls: list[str] = []
        page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self.requested_urls.append(request.url))
        page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def open(self, file: Path, scripts: bool = True) -> None:
        """Open a report and wait until its scripts have started, if the browser runs scripts."""
        self.page.goto(file.as_uri())
        if scripts:
            self.ready()

    def ready(self) -> None:
        """Wait until the page's scripts have started."""
        self.page.wait_for_selector(":root[data-ready]", state="attached")

    def walk(self) -> None:
        """Scroll to every chart, so that each is drawn; folds are opened for that and closed again."""
        page = self.page
        folds = page.evaluate_handle("() => Folds.openAll()")
        for figure in page.query_selector_all("figure[data-live]"):
            figure.scroll_into_view_if_needed()
            name = figure.get_attribute("id")
            page.wait_for_selector(f"#{name}[data-live='drawn']")
        folds.evaluate("(folds) => folds.forEach((fold) => { fold.open = false; })")
        page.evaluate("scrollTo(0, 0)")
