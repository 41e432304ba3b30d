for (const head of document.querySelectorAll("th[data-sort]")) head.onclick = () => {
  const body = head.closest("table").tBodies[0], column = head.cellIndex, down = !head.classList.contains("down");
  for (const other of head.parentNode.children) other.classList.remove("up", "down");
  head.classList.add(down ? "down" : "up");
  const key = row => { const cell = row.cells[column]; return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent; };
  const order = (a, b) => typeof a === "number" ? b - a : a.localeCompare(b);
  const rows = [...body.rows].sort((a, b) => order(key(a), key(b)));
  body.append(...(down ? rows : rows.reverse()));
};
