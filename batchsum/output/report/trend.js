// The nights of one row: told from its data-h, drawn as a chart and listed as a table.
const history = (row) => {
  let last = 0;
  const words = { "": "ok", s: "suspect", r: "rejected", f: "failed", k: "skipped" };
  return (row.dataset.h ?? "").split(",").map((text, index) => {
    const [, letter, step] = /^([srfk]?)(.*)$/.exec(text);
    if (step !== "") last += Number(step);
    return { date: data.dates[index], status: text === "" ? (data.dates[index] in data.failures ? "no table" : "not in the job") : words[letter], count: step === "" ? null : last };
  }).filter((night) => night.date !== undefined && row.dataset.h !== undefined);
};
const table = (nights) => el("details", {}, el("summary", {}, "Counts by night"),
  el("table", { class: "values" },
    el("thead", {}, el("tr", {}, ...["Night", "Records", "Status"].map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, ...[...nights].reverse().map((night) =>
      el("tr", {}, el("td", {}, night.date), el("td", {}, night.count === null ? "" : grouped(night.count)), el("td", {}, night.count === 0 && night.status === "ok" ? "empty" : night.status))))));

const ticks = (low, high) => {
  const rough = Math.max((high - low) / 4, 1), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((unit) => unit * power).find((unit) => unit >= rough);
  const found = [];
  for (let at = Math.floor(low / step) * step; found.length < 2 || found.at(-1) < high; at += step) found.push(at);
  return found;
};
const trend = (nights, width) => {
  const height = 200, bottom = height - 26, top = 12;
  const known = nights.filter((night) => night.count !== null);
  if (!known.length) return el("p", {}, "No count on any of these nights.");
  const counts = known.map((night) => night.count), marks = ticks(Math.min(...counts), Math.max(...counts));
  const left = 12 + 7 * grouped(marks.at(-1)).length, right = width - 34;
  const days = nights.map((night) => Date.parse(night.date) / 864e5), span = days.at(-1) - days[0] || 1;
  const x = (index) => left + (right - left) * (nights.length > 1 ? (days[index] - days[0]) / span : 0.5);
  const y = (count) => bottom - (bottom - top) * (count - marks[0]) / (marks.at(-1) - marks[0]);
  const chart = svg("svg", { class: "trend", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Records from ${nights[0].date} to ${nights.at(-1).date}: lowest ${grouped(Math.min(...counts))}, highest ${grouped(Math.max(...counts))}, last ${grouped(counts.at(-1))}` });
  for (const mark of marks) {
    chart.append(svg("path", { class: "grid", d: `M${left} ${y(mark)}H${right}` }),
      svg("text", { x: left - 6, y: y(mark) + 4, "text-anchor": "end" }, grouped(mark)));
  }
  const labels = Math.max(2, Math.min(nights.length, Math.floor((right - left) / 90)));
  for (let label = 0; label < labels; label++) {
    const index = Math.round(label * (nights.length - 1) / (labels - 1));
    chart.append(svg("text", { x: x(index), y: height - 6, "text-anchor": "middle" }, nights[index].date));
  }
  let path = "", pen = "M";
  nights.forEach((night, index) => {
    if (night.count === null || night.status !== "ok") pen = night.count === null ? "M" : pen;
    else { path += `${pen}${x(index)} ${y(night.count)}`; pen = "L"; }
  });
  chart.append(svg("path", { class: "l", d: path || "M0 0" }));
  nights.forEach((night, index) => {
    const about = svg("title", {}, `${night.date}: ${night.count === null ? "" : grouped(night.count)} ${night.status === "ok" ? "" : night.status}`.trim());
    if (night.count === null) {
      if (night.status !== "not in the job") chart.append(svg("text", { class: "gap", x: x(index), y: bottom - 3, "text-anchor": "middle" }, about, "×"));
    } else if (night.status === "ok") chart.append(svg("circle", { class: "dot", cx: x(index), cy: y(night.count), r: 2.6 }, about));
    else chart.append(svg("rect", { class: "odd", x: x(index) - 4, y: y(night.count) - 4, width: 8, height: 8 }, about));
  });
  return chart;
};
