"use strict";
// Tables sort by a click on a column's head. A line without a name belongs to the one above it and moves with it.
for (const table of document.querySelectorAll("table:not(.tests)")) {
  const body = table.tBodies[0];
  if (!body) continue;
  const groups = [];
  for (const row of body.rows) {
    if (row.cells[0].textContent.trim() || !groups.length) groups.push([]);
    groups[groups.length - 1].push(row);
  }
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const name = head.textContent.trim();
    if (!name) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (group) => {
        const text = group[0].cells[column].textContent.trim();
        const number = parseFloat(text.replace("\u2212", "-").replace(/^< /, ""));
        return Number.isNaN(number) ? text : number;
      };
      // What has no number stands last, either way.
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        const sign = typeof x === "number" ? x - y : x.localeCompare(y);
        return down ? -sign : sign;
      };
      for (const group of [...groups].sort(order)) body.append(...group);
    });
  });
}

// Tests can be chosen by data set, method and verdict; a claim without a chosen one is hidden.
const tests = [...document.querySelectorAll("table.tests tbody tr")];
const filters = document.getElementById("filters");
const chosen = {};
for (const name of ["dataset", "methods", "verdict"]) {
  const values = [...new Set(tests.flatMap((row) => row.dataset[name].split("|")))].sort();
  const label = document.createElement("label");
  label.append({ dataset: "data ", methods: "method ", verdict: "verdict " }[name]);
  const select = document.createElement("select");
  select.append(new Option("all", ""), ...values.map((value) => new Option(value, value)));
  select.addEventListener("change", () => {
    chosen[name] = select.value;
    const any = Object.values(chosen).some(Boolean);
    for (const row of tests) {
      row.hidden = Object.entries(chosen).some(([key, value]) => value && !row.dataset[key].split("|").includes(value));
    }
    for (const claim of document.querySelectorAll("details.claim")) {
      claim.hidden = !claim.querySelector("table.tests tbody tr:not([hidden])");
      claim.open = any && !claim.hidden;
    }
  });
  label.append(select);
  filters.append(label);
}

// A link to a line within a folded part unfolds it.
addEventListener("hashchange", () => {
  let part = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
});
