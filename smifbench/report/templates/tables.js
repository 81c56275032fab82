"use strict";
const byId = (id) => document.getElementById(id);

// Tables: a heading sorts, a form filters.

function sortBy(table, column, head) {
  const ascending = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (row) => row.cells[column].dataset.value;
  const order = (a, b) => {
    if ((a === "") !== (b === "")) return a === "" ? 1 : -1; // what is missing comes last, whichever way
    const difference = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    return ascending ? difference : -difference;
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort((a, b) => order(key(a), key(b))));
}

for (const table of document.querySelectorAll("table[id$='-table']")) {
  table.querySelectorAll("thead button").forEach((button, column) =>
    button.addEventListener("click", () => sortBy(table, column, button.parentElement)));
}

function filter(form) {
  const rows = [...byId(`${form.dataset.table}-table`).tBodies[0].rows];
  const text = form.elements.title.value.trim().toLowerCase();
  const chosen = [...form.querySelectorAll("select[name]")].filter((select) => select.value);
  for (const row of rows) {
    row.hidden = !row.dataset.title.toLowerCase().includes(text) ||
      chosen.some((select) => row.getAttribute(`data-${select.name.replaceAll("_", "-")}`) !== select.value);
  }
  const shown = rows.filter((row) => !row.hidden).length;
  form.querySelector("output").textContent = `${shown} of ${rows.length} rows`;
}

for (const form of document.querySelectorAll("form.filters")) {
  form.addEventListener("input", () => filter(form));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { filter(form); showConvention(); }));
  filter(form);
}

function showConvention() {
  byId("board-table").dataset.convention = byId("convention").value;
}
byId("convention").addEventListener("change", showConvention);
showConvention();
