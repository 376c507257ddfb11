// Draws the benchmark from the rows in the page: a table, accuracy against time, sweeps and pictures for every task.
const { rows, tasks, pictures } = JSON.parse(document.getElementById("data").textContent);
const METRICS = {
  nrmse: ["NRMSE", "%", 1], nrmse_detrended: ["detrended NRMSE", "%", 1], nrmse_valid: ["NRMSE where valid", "%", 1],
  xsim_uniform5: ["XSIM 5³", "", -1], xsim_gauss7: ["XSIM Gauss 7³", "", -1], hfen: ["HFEN", "%", 1],
  nrmse_tissue: ["tissue", "%", 1], nrmse_dgm: ["deep grey", "%", 1], nrmse_blood: ["blood", "%", 1],
  slope_deviation: ["slope deviation", "", 1], calcification_streak: ["streak", "", 1], correlation: ["correlation", "", -1],
  median_error: ["median error", "", 1],
};
const COLUMNS = ["seconds", "fft_count", "memory", "iterations", "nrmse", "nrmse_detrended", "nrmse_valid", "valid_share",
  "xsim_uniform5", "hfen", "median_error", "nrmse_tissue", "nrmse_dgm", "nrmse_blood", "slope_deviation", "calcification_streak"];
const NAMES = { seconds: "time", fft_count: "FFTs", memory: "memory", iterations: "iterations", valid_share: "valid",
  ...Object.fromEntries(Object.entries(METRICS).map(([k, v]) => [k, v[0]])) };
const values = (name) => [...new Set(rows.map((r) => r[name]))];
const chosen = { dataset: values("dataset")[0], device: values("device")[0], metric: "nrmse", all: false };
const order = {};

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "circle", "text", "line", "g", "title"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== undefined && c !== null));
  return node;
}

const fixed = (x, n = 3) => (x === null || x === undefined ? "–" : Math.abs(x) >= 1e4 || (x && Math.abs(x) < 1e-3)
  ? x.toExponential(1) : String(Number(x.toPrecision(n))));
const said = (parameters) => Object.entries(parameters).map(([k, v]) => `${k} ${typeof v === "number" ? fixed(v) : v}`).join(", ");
const time = (s) => (s < 1 ? `${fixed(1e3 * s)} ms` : s < 120 ? `${fixed(s)} s` : `${fixed(s / 60)} min`);
const memory = (r) => (r.peak_bytes ? Math.max(0, r.peak_bytes - (r.bytes_before || 0)) : null);
const cell = (r, name) => (name === "memory" ? memory(r) : r[name]);
const shown = (r, name) => {
  const value = cell(r, name);
  if (value === null || value === undefined) return "–";
  if (name === "seconds") return time(value);
  if (name === "memory") return `${fixed(value / 2 ** 20)} MiB`;
  if (name === "valid_share") return `${fixed(100 * value)} %`;
  return fixed(value) + (METRICS[name]?.[1] === "%" ? " %" : "");
};
const better = (name) => METRICS[name]?.[2] ?? 1;

function select(name, label, options, text = (o) => o) {
  const list = make("select", { onchange: (e) => { chosen[name] = e.target.value; draw(); } },
    ...options.map((o) => make("option", { value: o, selected: o === chosen[name] ? "" : undefined }, text(o))));
  return make("label", {}, label, list);
}

function controls() {
  const box = make("input", { type: "checkbox", onchange: (e) => { chosen.all = e.target.checked; draw(); } });
  const there = Object.keys(METRICS).filter((m) => rows.some((r) => typeof r[m] === "number"));
  document.getElementById("choices").append(
    select("dataset", "phantom", values("dataset")), select("device", "device", values("device")),
    select("metric", "accuracy", there, (m) => METRICS[m][0]), make("label", {}, box, "every parameter in the tables"));
}

// ---- drawings ----------------------------------------------------------------------------------------------------

function ticks(low, high, log) {
  if (log) {
    const out = [];
    for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) {
      for (const step of high / low < 30 ? [1, 2, 5] : [1]) out.push(step * 10 ** p);
    }
    return out.filter((t) => t >= low * 0.999 && t <= high * 1.001);
  }
  const power = 10 ** Math.floor(Math.log10((high - low) / 4));
  const step = [1, 2, 5, 10].map((s) => s * power).find((s) => (high - low) / s <= 6);
  const out = [];
  for (let t = Math.ceil(low / step) * step; t <= high; t += step) out.push(Number(t.toPrecision(6)));
  return out;
}

function axes(width, height, xs, ys, { logX = true, label = "", unit = (t) => fixed(t), yLabel = "" }) {
  const left = 52, right = 16, top = 24, bottom = 38;
  let [x0, x1] = [Math.min(...xs), Math.max(...xs)], [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  if (logX) { x0 /= 1.35; x1 *= 1.35; } else if (x0 === x1) { x0 -= 1; x1 += 1; }
  const spread = (y1 - y0) || Math.abs(y1) || 1;
  y0 -= 0.08 * spread; y1 += 0.08 * spread;
  const place = logX ? Math.log : (v) => v;
  const x = (v) => left + (width - left - right) * (place(v) - place(x0)) / (place(x1) - place(x0));
  const y = (v) => height - bottom - (height - top - bottom) * (v - y0) / (y1 - y0);
  const g = make("g");
  for (const t of ticks(x0, x1, logX)) {
    g.append(make("line", { class: "grid-line", x1: x(t), x2: x(t), y1: top, y2: height - bottom }),
      make("text", { x: x(t), y: height - bottom + 16, "text-anchor": "middle" }, unit(t)));
  }
  for (const t of ticks(y0, y1, false)) {
    g.append(make("line", { class: "grid-line", x1: left, x2: width - right, y1: y(t), y2: y(t) }),
      make("text", { x: left - 7, y: y(t) + 4, "text-anchor": "end" }, fixed(t)));
  }
  g.append(make("text", { x: width - right, y: height - 4, "text-anchor": "end" }, label),
    make("text", { x: 4, y: 12 }, yLabel));
  return { g, x, y };
}

function labels(points, x, y, height) {
  const taken = [], out = [];
  for (const p of points) {
    const at = { x: x(p.seconds), y: y(p[chosen.metric]) }, wide = 6.6 * p.method.length;
    const spots = [[10, 4], [-10 - wide, 4], [10, -10], [10, 18], [-10 - wide, -10], [-10 - wide, 18], [14, 34], [14, -26],
      [-14 - wide, 34], [-14 - wide, -26]];
    const spot = spots.map(([dx, dy]) => ({ x: at.x + dx, y: at.y + dy, w: wide })).find((s) => s.x > 40 && s.x + wide < 985
      && s.y > 10 && s.y < height - 40
      && !taken.some((t) => s.x < t.x + t.w + 4 && t.x < s.x + s.w + 4 && Math.abs(s.y - t.y) < 13)
      && !points.some((q) => q !== p && x(q.seconds) > s.x - 7 && x(q.seconds) < s.x + wide + 7
        && Math.abs(y(q[chosen.metric]) - s.y + 4) < 10));
    if (!spot) continue;
    taken.push(spot);
    if (Math.abs(spot.y - at.y) > 12) {
      out.push(make("line", { class: "leader", x1: at.x, y1: at.y, x2: spot.x + (spot.x > at.x ? 0 : wide), y2: spot.y - 4 }));
    }
    out.push(make("text", { class: "name", x: spot.x, y: spot.y }, p.method));
  }
  return out;
}

function pareto(list) {
  const points = list.filter((r) => r.seconds > 0 && typeof r[chosen.metric] === "number");
  if (!points.length) return null;
  const sign = better(chosen.metric), width = 1000, height = 420;
  const main = points.filter((r) => !Object.keys(r.parameters).length);
  const front = [];
  for (const p of [...points].sort((a, b) => a.seconds - b.seconds || sign * (a[chosen.metric] - b[chosen.metric]))) {
    if (!front.length || sign * p[chosen.metric] < sign * front.at(-1)[chosen.metric]) front.push(p);
  }
  const ys = points.map((p) => p[chosen.metric]);
  const worst = 2.5 * [...ys].sort((a, b) => a - b)[Math.floor(ys.length / 2)];
  const seen = sign > 0 ? points.filter((p) => p[chosen.metric] <= worst) : points;
  const { g, x, y } = axes(width, height, seen.map((p) => p.seconds), seen.map((p) => p[chosen.metric]), {
    label: "time of the method", unit: time,
    yLabel: `${METRICS[chosen.metric][0]} ${METRICS[chosen.metric][1]} (${sign > 0 ? "lower" : "higher"} is better)` });
  const step = front.filter((p) => seen.includes(p)).map((p, i, all) => (i ? `H${x(p.seconds)}V${y(p[chosen.metric])}`
    : `M${x(p.seconds)} ${y(p[chosen.metric])}`)).join("");
  g.append(make("path", { class: "front", d: step }));
  for (const p of [...seen].sort((a, b) => main.includes(a) - main.includes(b))) {
    const kind = [front.includes(p) ? "best" : "", main.includes(p) ? "" : "minor", p.external ? "outside" : ""].join(" ");
    const text = `${p.method} ${said(p.parameters)}: ${time(p.seconds)}, ${METRICS[chosen.metric][0]} ${shown(p, chosen.metric)}`;
    g.append(make("circle", { class: `dot ${kind}`, cx: x(p.seconds), cy: y(p[chosen.metric]), r: main.includes(p) ? 6 : 3.5,
      onclick: () => { location.hash = p.key; } }, make("title", {}, text)));
  }
  g.append(...labels(main.filter((p) => seen.includes(p)), x, y, height));
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Accuracy against time" }, g);
  const hidden = points.length - seen.length;
  return make("figure", { class: "plot" }, svg, hidden ? make("figcaption", { class: "note" },
    `${hidden} beyond the drawing; they are in the table.`) : null);
}

function sweeps(list) {
  const methods = [...new Set(list.map((r) => r.method))], out = [];
  for (const method of methods) {
    const varied = list.filter((r) => r.method === method && Object.keys(r.parameters).length === 1);
    for (const name of new Set(varied.map((r) => Object.keys(r.parameters)[0]))) {
      const points = varied.filter((r) => name in r.parameters && r.parameters[name] > 0 && typeof r[chosen.metric] === "number")
        .sort((a, b) => a.parameters[name] - b.parameters[name]);
      if (points.length < 2) continue;
      const rest = list.find((r) => r.method === method && !Object.keys(r.parameters).length);
      const level = rest?.[chosen.metric];
      const ys = points.map((p) => p[chosen.metric]).concat(typeof level === "number" ? [level] : []);
      const { g, x, y } = axes(300, 190, points.map((p) => p.parameters[name]), ys, { label: name, yLabel: METRICS[chosen.metric][0] });
      if (typeof level === "number") g.append(make("line", { class: "front", x1: 52, x2: 284, y1: y(level), y2: y(level) }));
      g.append(make("path", { class: "trace", d: "M" + points.map((p) => `${x(p.parameters[name])} ${y(p[chosen.metric])}`).join("L") }));
      for (const p of points) {
        g.append(make("circle", { class: "dot", cx: x(p.parameters[name]), cy: y(p[chosen.metric]), r: 4 },
          make("title", {}, `${said(p.parameters)}: ${shown(p, chosen.metric)}, ${time(p.seconds)}`)));
      }
      out.push(make("figure", { class: "small" }, make("figcaption", {}, method, " ", make("small", {}, `over ${name}`)),
        make("svg", { viewBox: "0 0 300 190", role: "img", "aria-label": `${method} over ${name}` }, g)));
    }
  }
  return out.length ? make("div", { class: "smalls" }, ...out) : null;
}

// ---- table and pictures ------------------------------------------------------------------------------------------

function table(task, list) {
  const names = COLUMNS.filter((c) => list.some((r) => typeof cell(r, c) === "number"));
  const sort = order[task] ?? (order[task] = { by: "nrmse", sign: 1 });
  const of = (r) => (sort.by === "method" ? r.method : cell(r, sort.by));
  const sorted = list.filter((r) => chosen.all || !Object.keys(r.parameters).length).sort((a, b) => {
    const [u, v] = [of(a) ?? null, of(b) ?? null];
    if (u === null || v === null) return (u === null) - (v === null);
    return sort.sign * (typeof u === "string" ? u.localeCompare(v) : u - v);
  });
  const best = Object.fromEntries(names.map((n) => [n, Math.min(...sorted.map((r) => cell(r, n))
    .filter((v) => typeof v === "number").map((v) => better(n) * v))]));
  const head = (name, text) => make("th", { class: name === "method" ? undefined : "number",
    "aria-sort": sort.by === name ? (sort.sign > 0 ? "ascending" : "descending") : undefined },
  make("button", { onclick: () => { order[task] = { by: name, sign: sort.by === name ? -sort.sign : better(name) }; draw(); } }, text));
  const line = (r) => make("tr", { id: r.key }, make("td", { title: r.source }, r.method,
    Object.keys(r.parameters).length ? make("small", {}, said(r.parameters)) : null),
  ...(r.status === "ok" ? names.map((n) => make("td", { class: METRICS[n] && better(n) * cell(r, n) === best[n] ? "number best" : "number" },
    shown(r, n))) : [make("td", { class: "failed", colspan: names.length }, r.status)]));
  return make("div", { class: "wide" }, make("table", { class: "results" },
    make("thead", {}, make("tr", {}, head("method", "method"), ...names.map((n) => head(n, NAMES[n])))),
    make("tbody", {}, ...sorted.map(line))));
}

function card(title, text, images) {
  return make("article", { class: "card" }, make("header", {}, make("b", {}, title), make("span", {}, text)),
    make("div", { class: "views" }, ...images.map((src) => make("div", {}, make("img", { src, alt: "", loading: "lazy" })))));
}

function gallery(list) {
  const done = list.filter((r) => r.key in pictures.result).sort((a, b) => (a.nrmse ?? Infinity) - (b.nrmse ?? Infinity));
  if (!done.length) return null;
  const target = { field: "total_field", background: "local_field", r2star: "r2star" }[done[0].task] ?? "chi";
  const truth = pictures.truth[`${done[0].dataset}/${target}`];
  return make("div", { class: "cards" }, card("truth", truth.unit, truth.pictures),
    ...done.map((r) => card(r.method, `NRMSE ${shown(r, "nrmse")}`, pictures.result[r.key])));
}

function draw() {
  const place = document.getElementById("tasks"), sections = [];
  for (const [task, [title, meaning]] of Object.entries(tasks)) {
    const list = rows.filter((r) => r.task === task && r.dataset === chosen.dataset && r.device === chosen.device);
    if (!list.length) continue;
    const small = sweeps(list), cards = gallery(list);
    sections.push(make("section", { class: "task", id: `task-${task}` }, make("h2", {}, title), make("p", { class: "note" }, meaning),
      pareto(list), make("h3", {}, "Results"), table(task, list),
      small && make("h3", {}, "Over the parameter"), small,
      cards && make("h3", {}, "Maps, and below them the difference from the truth"), cards));
  }
  place.replaceChildren(...sections);
}

controls();
draw();
