#!/usr/bin/env python3
"""Opens the HTML report in headless Chromium, 1400 and 400 pixels wide and without scripts: no error, nothing asked from outside, verdicts on
the first screen, headings that stay, tables that sort, tests that filter.

    python3 scripts/check_report.py [results/report/index.html] [--screenshot FOLDER]

Needs Chromium, chromedriver and the package selenium. Exit status 0 if all holds; what does not is printed.
"""

import argparse
import json
import pathlib
import sys
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

HEIGHT = 1000


def browser(profile, width, dark=False, scripts=True):
    options = webdriver.ChromeOptions()
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    for flag in [*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{HEIGHT}"]:
        options.add_argument(flag)
    if dark:
        options.add_argument("--force-dark-mode")
        options.add_argument("--blink-settings=preferredColorScheme=0")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def requests(driver, page):
    """What the page asked for; the browser's own start page asks for much."""
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent" and message["params"]["documentURL"] == page:
            yield message["params"]["request"]["url"]


def column(table, place):
    rows = table.find_elements(By.CSS_SELECTOR, "tbody tr")
    return [row.find_elements(By.TAG_NAME, "td")[place].text for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", nargs="?", default="results/report/index.html")
    parser.add_argument("--screenshot", type=pathlib.Path)
    arguments = parser.parse_args()
    page = pathlib.Path(arguments.page).resolve()
    wrong = []
    looks = {
        "light": {"width": 1400}, "dark": {"width": 1400, "dark": True}, "narrow": {"width": 400},
        "without scripts": {"width": 1400, "scripts": False},
    }  # fmt: skip
    for name, look in looks.items():
        with tempfile.TemporaryDirectory() as profile:
            driver = browser(profile, **look)
            try:
                driver.get(page.as_uri())
                wrong += [f"{name}: {e['message']}" for e in driver.get_log("browser") if e["level"] == "SEVERE"]
                outside = [url for url in requests(driver, page.as_uri()) if not url.startswith(("file:", "data:"))]
                wrong += [f"{name}: asks for {url}" for url in outside]
                wide = driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
                if wide > 0:
                    wrong.append(f"{name}: the page is {wide} pixels wider than the window")
                wrong += [f"{name}: {what}" for what in first_screen(driver)]
                if name == "light":
                    wrong += sorts(driver) + filters(driver) + links(driver) + stays(driver)
                if name == "without scripts":
                    wrong += unscripted(driver)
                if arguments.screenshot:
                    arguments.screenshot.mkdir(parents=True, exist_ok=True)
                    driver.save_screenshot(str(arguments.screenshot / f"{name}.png"))
            finally:
                driver.quit()
    for line in wrong:
        print(line)
    print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB, {len(wrong)} things wrong")
    return 1 if wrong else 0


def first_screen(driver):
    """Verdicts stand on it, wide or narrow."""
    claims = driver.find_elements(By.CSS_SELECTOR, "details.claim > summary")
    seen = [claim for claim in claims if claim.rect["y"] + claim.rect["height"] <= HEIGHT]
    return [] if len(seen) >= 3 else [f"{len(seen)} of {len(claims)} claims on the first screen"]


def stays(driver):
    """A result's heading stays in view while its table is read."""
    where = (
        "const section = [...document.querySelectorAll('main > section')].find((one) => one.querySelector('h2') && one.querySelectorAll('tr').length > 40);"
        "const table = [...section.querySelectorAll('table')].find((one) => one.rows.length > 5);"
        "table.rows[table.rows.length - 1].scrollIntoView({block: 'center'});"
        "const before = [...section.querySelectorAll('h2')].filter((one) => one.compareDocumentPosition(table) & 4);"
        "return before[before.length - 1].getBoundingClientRect().top"
    )
    top = driver.execute_script(where)
    driver.execute_script("window.scrollTo(0, 0)")
    return [] if 0 <= top < HEIGHT else [f"a heading is at {top} pixels when the end of its table is read"]


def unscripted(driver):
    """Claims open by themselves, and no control stands there that does nothing."""
    wrong = []
    if any(control.is_displayed() for control in driver.find_elements(By.CSS_SELECTOR, "#filters select")):
        wrong.append("without scripts the filters stand there")
    claim = driver.find_element(By.CSS_SELECTOR, "details.claim")
    claim.find_element(By.TAG_NAME, "summary").click()
    if claim.get_attribute("open") is None:
        wrong.append("without scripts a claim does not open")
    return wrong


def sorts(driver):
    table = driver.find_element(By.CSS_SELECTOR, "#rule table")
    head = table.find_elements(By.TAG_NAME, "th")[0]
    before = column(table, 0)
    for direction, reverse in [("ascending", False), ("descending", True)]:
        head.find_element(By.TAG_NAME, "button").click()
        if head.get_attribute("aria-sort") != direction:
            return [f"a click does not set aria-sort to {direction}"]
        if sorted(before) != sorted(column(table, 0)):
            return ["sorting loses lines"]
        if column(table, 0) != sorted(before, reverse=reverse, key=str.casefold):
            return [f"the first column is not {direction}: {column(table, 0)}"]
    return []


def filters(driver):
    """Choosing a verdict leaves its tests alone, in claims that are open."""
    shown = "return [...document.querySelectorAll('table.tests tbody tr')].filter((row) => row.checkVisibility()).map((row) => row.dataset.verdict)"
    select = driver.find_elements(By.CSS_SELECTOR, "#filters select")[2]

    def choose(verdict):
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))"
        driver.execute_script(script, select, verdict)

    # Whatever verdicts there are today: results come and go.
    rows = "return [...document.querySelectorAll('table.tests tbody tr')].map((row) => row.dataset.verdict)"
    verdicts = sorted({verdict for verdict in driver.execute_script(rows) if verdict})
    if len(verdicts) < 2:
        return [f"expected tests of several verdicts, got {verdicts}"]
    for verdict in verdicts:
        choose(verdict)
        seen = set(driver.execute_script(shown))
        if seen != {verdict}:
            return [f"the filter {verdict} shows {seen}"]
    choose("")
    return ["without a filter tests stay open"] if driver.execute_script(shown) else []


def links(driver):
    """Every link within the page leads to something."""
    return driver.execute_script(
        "return [...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.getAttribute('href').slice(1))"
        ".filter((id) => !document.getElementById(id)).map((id) => `no place ${id}`)"
    )


if __name__ == "__main__":
    sys.exit(main())
