"""`make screenshots`: the pictures of the operation report in docs/, from a day made up for the tests."""

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.docs.pages import ROOT
from tests.harness.browser import find_browser, opened
from tests.harness.chronicle import DAY, Chronicle

PICTURES = (("zh", 412, 1500, "report-phone-zh.png"), ("en", 900, 1500, "report-desktop-en.png"))


def _report(config: Path, file: Path, language: str) -> None:
    gateway = Path(sys.executable).with_name("gateway")
    options = ["-c", config, "--day", DAY, "--html", file, "--lang", language]
    subprocess.run([str(gateway), "report", *map(str, options)], check=True)


async def _take(browser: str, folder: Path) -> None:
    day = Chronicle(folder / "site")
    async with opened(browser) as page:
        for language, width, height, name in PICTURES:
            file = folder / f"{language}.html"
            await asyncio.to_thread(_report, day.path, file, language)
            await page.show(file, width)
            (ROOT / "docs" / name).write_bytes(await page.picture(height))
            print(f"docs/{name}")


def main() -> int:
    browser = find_browser()
    if browser is None:
        print("no Chromium; install it with: sudo apt-get install chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="screenshots-") as folder:
        asyncio.run(_take(browser, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
