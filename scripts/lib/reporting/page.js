"use strict";
// Tables sort by a button in each heading and give their numbers, in full precision, to the clipboard. Without a script the page still reads.
const live = document.getElementById("live");

function compare(a, b, numeric) {
  if (a === "" || b === "") return (a === "") - (b === "");
  return numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
}

function sort(table, heading) {
  const index = heading.cellIndex, numeric = heading.classList.contains("number"), body = table.tBodies[0];
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  const value = (row) => row.cells[index].dataset.value ?? row.cells[index].textContent;
  // What was not measured stays below, in both directions; equal rows keep their order.
  const order = (a, b) => (value(a) === "" || value(b) === "" || ascending ? compare(value(a), value(b), numeric) : compare(value(b), value(a), numeric));
  body.append(...[...body.rows].sort(order));
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", other === heading ? (ascending ? "ascending" : "descending") : "none");
  live.textContent = `${table.caption.textContent}: sorted by ${heading.textContent}, ${ascending ? "ascending" : "descending"}`;
}

function text(table) {
  const cell = (c) => c.dataset.value ?? c.textContent;
  return [...table.rows].map((row) => [...row.cells].map(cell).join("\t")).join("\n") + "\n";
}

async function copy(table, button) {
  const area = document.createElement("textarea");
  area.value = text(table);
  try {
    await navigator.clipboard.writeText(area.value);
  } catch {  // not allowed in this place: the older way
    button.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  live.textContent = `${table.caption.textContent}: copied`;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy as text"; }, 2000);
}

for (const table of document.querySelectorAll("table")) {
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, heading));
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
  }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy as text";
  button.setAttribute("aria-label", `Copy the table “${table.caption.textContent}” as text`);
  button.addEventListener("click", () => copy(table, button));
  table.parentElement.after(button);
}
