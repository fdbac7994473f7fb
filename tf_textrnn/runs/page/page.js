"use strict";

/* Tables sort by a click on a head; the page is whole without this script. */

const valueOf = (row, column) => {
  const text = row.cells[column].textContent;
  const number = Number.parseFloat(text.replaceAll(",", ""));
  return /^[-+\d.,]+%?$/.test(text) ? number : text;
};

const compare = (one, other) => {
  if (one === "" || other === "") return (one === "") - (other === "");
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), undefined, { numeric: true });
};

const sortBy = (table, column) => {
  const head = table.tHead.rows[0].cells[column];
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const known = head.getAttribute("aria-sort");
  const isText = column === 0;
  const goesUp = known ? known === "descending" : isText;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", goesUp ? "ascending" : "descending");
  const sign = goesUp ? 1 : -1;
  rows.sort((one, other) => sign * compare(valueOf(one, column), valueOf(other, column)));
  body.append(...rows);
};

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sortBy(table, column));
    head.replaceChildren(button);
  });
}

/* The confusion matrix: a cell tells its number; arrow keys go from cell to cell. */

const matrix = document.getElementById("confusion");
const told = document.getElementById("cell");
const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

const nameOf = (head) => head.title;

const tell = (cell) => {
  const row = cell.parentElement;
  const given = matrix.tHead.rows[0].cells[cell.cellIndex];
  told.textContent =
    cell.title || `${nameOf(row.cells[0])} taken for ${nameOf(given)}: no texts`;
};

const cellAt = (event) => event.target.closest("#confusion tbody td");

matrix.addEventListener("mouseover", (event) => {
  if (cellAt(event)) tell(cellAt(event));
});
matrix.addEventListener("focusin", (event) => {
  if (cellAt(event)) tell(cellAt(event));
});
matrix.addEventListener("keydown", (event) => {
  const cell = cellAt(event);
  const step = steps[event.key];
  if (!cell || !step) return;
  const rows = matrix.tBodies[0].rows;
  const next = rows[cell.parentElement.sectionRowIndex + step[0]]?.cells[cell.cellIndex + step[1]];
  event.preventDefault();
  if (!next || next.tagName !== "TD") return;
  cell.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});
matrix.tBodies[0].rows[0].cells[1].tabIndex = 0;
