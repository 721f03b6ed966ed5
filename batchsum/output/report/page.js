// The table at work: which rows, in which order, what is checked and copied. trend.js draws one row's nights.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const body = $("rows");
const rows = [...body.rows, ...$("more").content.children];
const state = { query: "", statuses: new Set(), changed: false, column: 0, descending: false, page: 0 };
const checked = new Set();
const panels = new Map();
const grouped = new Intl.NumberFormat("en").format;
const counted = (n, noun) => `${grouped(n)} ${noun}${n === 1 ? "" : "s"}`;

// Text goes in as text only: nothing here ever parses markup.
const fill = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const button = (text, action, attributes = {}) => {
  const node = el("button", { type: "button", ...attributes }, text);
  node.addEventListener("click", () => action(node));
  return node;
};

// ---- What a row says ----
const number = (text) => (text === "" ? null : Number(text.replace("−", "-").replace(/[+,]/g, "")));
const value = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.v ?? (column === 5 ? cell.firstChild?.textContent.trim() ?? "" : cell.textContent);
};
const named = (row) => {
  const cell = row.cells[1];
  const name = cell.querySelector("bdi").textContent, beside = cell.querySelector("small");
  return { taxon: beside?.textContent ?? name, label: !beside || "learnt" in beside.dataset ? "" : name, set: value(row, 2) };
};
const title = (row) => `${row.cells[1].querySelector("bdi").textContent}, ${value(row, 2)}`;
const filters = (row) => data.filters[row.dataset.f] ?? "";
const part = (row, name) => row.cells[9].querySelector(name)?.textContent ?? "";
const size = (row) => number(value(row, 8));
const plannable = (row) => size(row) !== null || row.dataset.c !== undefined;
const searched = new Map();
// What the placeholder of the field says, and no counts: whoever looks for taxon 1280 does not mean 1,280 records.
const haystack = (row) => {
  if (!searched.has(row)) searched.set(row, [row.cells[1].textContent, value(row, 2), filters(row), part(row, "i"), part(row, "b").replace(/ [\d.,]+/g, "")].join(" ").toLowerCase());
  return searched.get(row);
};

// ---- Which rows, in which order ----
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
let shown = rows;
const select = () => {
  const wanted = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  shown = rows.filter((row) =>
    (!state.statuses.size || state.statuses.has(row.className)) &&
    (!state.changed || !["", "rolled"].includes(part(row, "i"))) &&
    wanted.every((word) => haystack(row).includes(word)));
  if (!state.column) return;
  const kind = headers[state.column].dataset.kind, sign = state.descending ? -1 : 1;
  const keys = new Map(shown.map((row) => [row, kind === "number" ? number(value(row, state.column)) : value(row, state.column) || null]));
  shown.sort((one, other) => {
    const a = keys.get(one), b = keys.get(other);
    if (a === null || b === null) return (a === null) - (b === null);   // missing values last, either way
    return sign * (kind === "number" ? a - b : collator.compare(a, b));
  });
};
const show = () => {
  const pages = Math.max(1, Math.ceil(shown.length / data.pageSize));
  state.page = Math.min(state.page, pages - 1);
  const first = state.page * data.pageSize;
  const slice = shown.slice(first, first + data.pageSize);
  body.replaceChildren(...slice.flatMap((row) => [equip(row), ...(panels.has(row) ? [panels.get(row)] : [])]));
  $("count").textContent = shown.length === rows.length ? counted(rows.length, "row") : `${grouped(shown.length)} of ${counted(rows.length, "row")}`;
  $("pages").hidden = pages < 2;
  $("page").textContent = `rows ${grouped(first + 1)} to ${grouped(first + slice.length)} of ${grouped(shown.length)}`;
  $("previous").disabled = state.page === 0;
  $("next").disabled = state.page === pages - 1;
  boxAll.checked = shown.length > 0 && shown.every((row) => !plannable(row) || checked.has(row)) && shown.some(plannable);
};
const update = () => { state.page = 0; select(); show(); };

// A row gets its controls when it is first shown: the page without a script has none that do nothing.
const equip = (row) => {
  if (row.dataset.ready) return row;
  row.dataset.ready = "yes";
  const name = row.cells[1].querySelector("bdi");
  const opener = button("", () => toggle(row, opener), { class: "name", "aria-expanded": "false" });
  name.replaceWith(opener);
  opener.append(name);
  if (plannable(row)) row.cells[0].append(checkbox(`Plan the download of ${title(row)}`, checked.has(row), (on) => { check([row], on); }));
  return row;
};
const checkbox = (label, on, action) => {
  const box = el("input", { type: "checkbox", "aria-label": label });
  box.checked = on;
  box.addEventListener("change", () => action(box.checked));
  return box;
};

// ---- One row in full ----
const toggle = (row, opener) => {
  const open = !panels.has(row);
  opener.setAttribute("aria-expanded", String(open));
  if (!open) { panels.get(row).remove(); panels.delete(row); return; }
  const inside = el("div", { class: "inside" });
  panels.set(row, el("tr", { class: "detail" }, el("td", {}, inside)));
  widen();
  row.after(panels.get(row));
  const nights = history(row);
  inside.append(el("div", {}, ...(nights.length ? [trend(nights, Math.min(inside.clientWidth, 640)), table(nights)] : ["No nights are kept of this row."])), facts(row));
};
// A cell may not reach over more columns than are shown, or the table grows new ones.
const widen = () => {
  const width = headers.filter((header) => header.getClientRects().length).length;
  for (const panel of panels.values()) panel.cells[0].colSpan = width;
};
const facts = (row) => {
  const list = el("dl"), { taxon, label } = named(row);
  const add = (name, ...content) => { if (content.some((item) => item)) list.append(el("dt", {}, name), el("dd", {}, ...content)); };
  add("Taxon", label ? `${label} (${taxon})` : taxon);
  add("Filters", filters(row) || "none");
  add("Status", value(row, 3));
  add("Believed before", row.dataset.b ? grouped(row.dataset.b) : "");
  add("Updated", value(row, 7));
  add("Download", size(row) === null ? "" : `${grouped(size(row))} MB`);
  add("Change", part(row, "i"));
  add("Reason", part(row, "b"));
  add("NCBI says", row.dataset.m ?? "");
  add("NCBI-PHID", (row.dataset.p ?? "").replaceAll(" ", "\n"));
  if (row.dataset.c) add("Command", command(row));
  return list;
};
// ---- The download planner ----
const command = (row) => el("span", { class: "command" }, el("code", {}, row.dataset.c), button("Copy", (node) => copy(row.dataset.c, node), { "aria-label": `Copy the command of ${title(row)}` }));
const check = (some, on) => {
  for (const row of some) {
    if (on) checked.add(row); else checked.delete(row);
    const box = row.cells[0].firstElementChild;
    if (box) box.checked = on;
  }
  plan();
};
const plan = () => {
  const some = rows.filter((row) => checked.has(row)), sizes = some.map(size);
  const total = sizes.reduce((sum, mb) => sum + (mb ?? 0), 0), unknown = sizes.filter((mb) => mb === null).length;
  const text = `${counted(some.length, "row")}, ${grouped(total)} MB${total >= 10000 ? ` (${grouped(Math.round(total / 100) / 10)} GB)` : ""}${unknown ? `, ${grouped(unknown)} of unknown size` : ""}`;
  $("basket").hidden = $("plan").hidden = !some.length;
  $("hint").hidden = some.length > 0;
  $("basket-text").textContent = `Planned: ${text}`;
  $("plan-size").textContent = text;
  const listed = some.slice(0, 100).map((row) => el("li", {}, el("bdi", {}, title(row)), size(row) === null ? "" : `, ${grouped(size(row))} MB`, row.dataset.c ? command(row) : " (NCBI gave no command)"));
  if (some.length > 100) listed.push(el("li", {}, `and ${grouped(some.length - 100)} more`));
  $("plan-list").replaceChildren(...listed);
};

// ---- The clipboard ----
const copy = async (text, node) => {
  try { await navigator.clipboard.writeText(text); } catch {
    const area = el("textarea", { "aria-hidden": "true" });   // without https there is no other way
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    node.focus();
  }
  const before = node.dataset.text ??= node.textContent;
  node.textContent = "Copied";
  setTimeout(() => { node.textContent = before; }, 1500);
};
const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
// As in the table's file: what a spreadsheet would run gets an apostrophe.
const safe = (text) => quoted(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);
const csv = () => {
  const lines = ["taxon,label,filter_set,filters,status,record_count,previous_record_count,record_count_change,change,resource_updated_on,hydrated_estimated_file_size_mb,hydrated_cli_download_command_line,error"];
  const digits = (row, column) => number(value(row, column)) ?? "";
  for (const row of shown) {
    const { taxon, label, set } = named(row);
    lines.push([safe(taxon), safe(label), safe(set), safe(filters(row)), row.className, digits(row, 4), row.dataset.b ?? "", digits(row, 5),
      row.cells[9].querySelector("i")?.dataset.w ?? part(row, "i").replaceAll(" ", "_"), safe(value(row, 7)), digits(row, 8), safe(row.dataset.c ?? ""), safe(part(row, "b"))].join(","));
  }
  return lines.join("\n") + "\n";
};

// ---- Wiring ----
const headers = [...$("grid").tHead.rows[0].cells];
headers.forEach((header, column) => {
  if (!header.dataset.kind) return;
  const sorter = button("", () => {
    // Text goes up, down, and back to job order; numbers down first.
    const first = header.dataset.kind === "number";
    if (state.column !== column) Object.assign(state, { column, descending: first });
    else if (state.descending === first) state.descending = !first;
    else state.column = 0;
    headers.forEach((other, index) => { if (other.dataset.kind) other.setAttribute("aria-sort", index === state.column ? (state.descending ? "descending" : "ascending") : "none"); });
    update();
  });
  sorter.append(...header.childNodes);
  header.append(sorter);
  header.setAttribute("aria-sort", "none");
});
const boxAll = checkbox("Plan the download of all rows shown", false, (on) => check(shown.filter(plannable), on));
boxAll.title = boxAll.getAttribute("aria-label");
headers[0].append(boxAll);
const press = (node, on) => node.setAttribute("aria-pressed", String(on));
const chips = [...$("chips").querySelectorAll("[data-status]")];
const filter = (query, statuses, changed) => {
  Object.assign(state, { query, statuses: new Set(statuses), changed });
  $("query").value = query;
  for (const chip of chips) press(chip, state.statuses.has(chip.dataset.status));
  press($("changed"), changed);
  update();
};
for (const chip of chips) {
  chip.addEventListener("click", () => {
    const { status } = chip.dataset, others = [...state.statuses].filter((other) => other !== status);
    filter($("query").value, state.statuses.has(status) ? others : [...others, status], state.changed);
  });
}
$("changed").addEventListener("click", () => filter($("query").value, state.statuses, !state.changed));
let pause;
const search = () => { state.query = $("query").value; update(); };
$("query").addEventListener("input", () => {
  clearTimeout(pause);
  if (rows.length > 2000) pause = setTimeout(search, 150);
  else search();
});
for (const link of document.querySelectorAll("main button[data-query], main button[data-changed]")) {
  link.hidden = false;
  link.addEventListener("click", () => {
    filter(link.dataset.query ?? "", link.dataset.status ? [link.dataset.status] : [], link.dataset.changed !== undefined);
    $("table").scrollIntoView();
    $("query").focus({ preventScroll: true });
  });
}
$("copy").addEventListener("click", () => copy(csv(), $("copy")));
$("plan-copy").addEventListener("click", () => copy(rows.filter((row) => checked.has(row) && row.dataset.c).map((row) => row.dataset.c + "\n").join(""), $("plan-copy")));
$("plan-clear").addEventListener("click", () => { check([...checked], false); boxAll.checked = false; $("planner").querySelector("h2").scrollIntoView(); });
for (const node of document.querySelectorAll("[data-copy]")) {
  node.hidden = false;
  node.addEventListener("click", () => copy(node.previousElementSibling.textContent, node));
}
const turn = (by) => { state.page += by; show(); $("table").scrollIntoView(); };
$("previous").addEventListener("click", () => turn(-1));
$("next").addEventListener("click", () => turn(1));
body.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !event.target.classList.contains("name")) return;
  const openers = [...body.querySelectorAll(".name")];
  openers[openers.indexOf(event.target) + step]?.focus();
  event.preventDefault();
});
$("theme").addEventListener("click", () => {
  const next = { auto: "light", light: "dark", dark: "auto" }[document.documentElement.dataset.theme ?? "auto"];
  document.documentElement.dataset.theme = next;
  $("theme").textContent = `Theme: ${next}`;
});
addEventListener("resize", widen);
// A page that nobody makes anew looks as green as on its day: it says itself how old it is.
const tellAge = () => {
  const night = new Date(`${$("date").dateTime}T00:00`), now = new Date();
  const days = Math.round((new Date(now.getFullYear(), now.getMonth(), now.getDate()) - night) / 864e5);
  if (!(days >= 0)) return;
  const old = days > Number($("date").dataset.usual) + 1;
  $("age").textContent = days === 0 ? "today" : days === 1 ? "yesterday" : `${grouped(days)} days ago${old ? ": does the job still run?" : ""}`;
  $("age").className = old ? "old" : "";
  $("age").hidden = false;
};
tellAge();
setInterval(tellAge, 36e5);
$("theme").hidden = $("controls").hidden = $("hint").hidden = false;
show();
