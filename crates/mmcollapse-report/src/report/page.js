"use strict";
// Tables sort by a click on a column's head. A line without a name belongs to the one above it and moves with it.
for (const table of document.querySelectorAll("table")) {
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
