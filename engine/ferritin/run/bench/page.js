// Draws the benchmark from the rows in the page: a table, accuracy against time, sweeps and pictures for every task.
const { rows, tasks, pictures } = JSON.parse(document.getElementById("data").textContent);
const METRICS = {
  nrmse: ["NRMSE", "%", 1], nrmse_detrended: ["detrended NRMSE", "%", 1], nrmse_valid: ["NRMSE where valid", "%", 1],
  xsim_uniform5: ["XSIM 5³", "", -1], xsim_gauss7: ["XSIM Gauss 7³", "", -1], hfen: ["HFEN", "%", 1],
  nrmse_tissue: ["tissue", "%", 1], nrmse_dgm: ["deep grey", "%", 1], nrmse_blood: ["blood", "%", 1],
  slope_deviation: ["slope deviation", "", 1], calcification_streak: ["streak", "", 1], correlation: ["correlation", "", -1],
  median_error: ["median error", "", 1],
};
const COSTS = { seconds: "time", cpu_seconds: "CPU time", fft_count: "FFTs" };
const COLUMNS = ["seconds", "cpu_seconds", "fft_count", "memory", "iterations", "nrmse", "nrmse_detrended", "nrmse_valid", "valid_share",
  "xsim_uniform5", "hfen", "median_error", "nrmse_tissue", "nrmse_dgm", "nrmse_blood", "slope_deviation", "calcification_streak"];
const NAMES = { ...COSTS, memory: "memory", iterations: "iterations", valid_share: "valid",
  ...Object.fromEntries(Object.entries(METRICS).map(([k, v]) => [k, v[0]])) };
// On the CPU a method on one core takes as long as it works; where some took much longer, other work had the machine.
const waits = rows.filter((r) => r.device === "cpu" && r.cpu_seconds > 0.2).map((r) => r.seconds / r.cpu_seconds).sort((a, b) => a - b);
const busy = waits.length > 4 && waits[Math.floor(0.9 * waits.length)] > 1.3;
const values = (name) => [...new Set(rows.map((r) => r[name]))];
const chosen = { dataset: values("dataset")[0], device: values("device")[0], cost: busy ? "cpu_seconds" : "seconds", metric: "nrmse", all: false };
const order = {};
let metric = chosen.metric;  // of the task that is being drawn

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
  ? x.toExponential(1).replace(".0e", "e") : String(Number(x.toPrecision(n))));
const said = (parameters) => Object.entries(parameters).map(([k, v]) => `${k} ${typeof v === "number" ? fixed(v) : v}`).join(", ");
const time = (s) => (s < 1 ? `${fixed(1e3 * s)} ms` : s < 120 ? `${fixed(s)} s` : `${fixed(s / 60)} min`);
const memory = (r) => (r.peak_bytes ? Math.max(0, r.peak_bytes - (r.bytes_before || 0)) : null);
const cell = (r, name) => (name === "memory" ? memory(r) : r[name]);
const shown = (r, name) => {
  const value = cell(r, name);
  if (value === null || value === undefined) return "–";
  if (name === "seconds" || name === "cpu_seconds") return time(value);
  if (name === "memory") return `${fixed(value / 2 ** 20)} MiB`;
  if (name === "valid_share") return `${fixed(100 * value)} %`;
  if (name === "median_error") return `${fixed(value, 2)} ${r.task === "r2star" ? "1/s" : "ppm"}`;
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
    select("cost", "cost", Object.keys(COSTS), (c) => COSTS[c]),
    select("metric", "accuracy", there, (m) => METRICS[m][0]), make("label", {}, box, "every parameter in the tables"));
  if (busy) document.getElementById("choices").after(make("p", { class: "note busy" }, "The machine had other work meanwhile: CPU time says more than time."));
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

function labels(points, x, y, width, height) {
  const taken = [], out = [];
  for (const p of points) {
    const at = { x: x(p[chosen.cost]), y: y(p[metric]) }, wide = 7.1 * p.method.length;
    const spots = [[10, 4], [-10 - wide, 4], [10, -10], [10, 18], [-10 - wide, -10], [-10 - wide, 18], [14, 34], [14, -26],
      [-14 - wide, 34], [-14 - wide, -26]];
    const spot = spots.map(([dx, dy]) => ({ x: at.x + dx, y: at.y + dy, w: wide })).find((s) => s.x > 40 && s.x + wide < width - 8
      && s.y > 10 && s.y < height - 40
      && !taken.some((t) => s.x < t.x + t.w + 4 && t.x < s.x + s.w + 4 && Math.abs(s.y - t.y) < 13)
      && !points.some((q) => q !== p && x(q[chosen.cost]) > s.x - 7 && x(q[chosen.cost]) < s.x + wide + 7
        && Math.abs(y(q[metric]) - s.y + 4) < 10));
    if (!spot) continue;
    taken.push(spot);
    if (Math.abs(spot.y - at.y) > 12) {
      out.push(make("line", { class: "leader", x1: at.x, y1: at.y, x2: spot.x + (spot.x > at.x ? 0 : wide), y2: spot.y - 4 }));
    }
    out.push(make("text", { class: "name", x: spot.x, y: spot.y }, p.method));
  }
  return out;
}

// Points better in accuracy than all cheaper ones.
function frontier(points, cost, sign) {
  const front = [];
  for (const p of [...points].sort((a, b) => cost(a) - cost(b) || sign * (a[metric] - b[metric]))) {
    if (!front.length || sign * p[metric] < sign * front.at(-1)[metric]) front.push(p);
  }
  return front;
}

function pareto(list, room) {
  const cost = (r) => r[chosen.cost], sign = better(metric);
  const points = list.filter((r) => cost(r) > 0 && typeof r[metric] === "number");
  if (points.length < 2) return null;
  const width = Math.min(1360, room - 24), height = width < 600 ? 320 : 430, isMain = (r) => !Object.keys(r.parameters).length;
  const front = frontier(points, cost, sign), ys = points.map((p) => p[metric]).sort((a, b) => a - b);
  const worst = 2.5 * ys[Math.floor(ys.length / 2)];
  const seen = sign > 0 ? points.filter((p) => p[metric] <= worst) : points, main = seen.filter(isMain);
  const { g, x, y } = axes(width, height, seen.map(cost), seen.map((p) => p[metric]), {
    label: chosen.cost === "fft_count" ? "FFTs of the volume" : `${COSTS[chosen.cost]} of the method`,
    unit: chosen.cost === "fft_count" ? (t) => fixed(t) : time,
    yLabel: `${METRICS[metric][0]}${METRICS[metric][1] && " "}${METRICS[metric][1]} (${sign > 0 ? "lower" : "higher"} is better)` });
  const step = front.filter((p) => seen.includes(p)).map((p, i) => (i ? `H${x(cost(p))}V${y(p[metric])}`
    : `M${x(cost(p))} ${y(p[metric])}`)).join("");
  g.append(make("path", { class: "front", d: step }));
  for (const p of [...seen].sort((a, b) => isMain(a) - isMain(b))) {
    const kind = [front.includes(p) ? "best" : "", isMain(p) ? "" : "minor", p.external ? "outside" : ""].join(" ");
    const text = `${p.method} ${said(p.parameters)}: ${shown(p, chosen.cost)}, ${METRICS[metric][0]} ${shown(p, metric)}`;
    g.append(make("circle", { class: `dot ${kind}`, cx: x(cost(p)), cy: y(p[metric]), r: isMain(p) ? 6 : 3.5,
      onclick: () => { location.hash = p.key; } }, make("title", {}, text)));
  }
  g.append(...labels(main, x, y, width, height));
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Accuracy against ${COSTS[chosen.cost]}` }, g);
  const notes = [`Large dots: defaults${seen.length > main.length ? "; small dots: other parameters" : ""}. Coloured: nothing is both cheaper and better.`];
  if (points.length > seen.length) notes.push(`${points.length - seen.length} lie beyond the drawing; the table has them.`);
  return make("figure", { class: "plot" }, svg, make("figcaption", { class: "note" }, notes.join(" ")));
}

function sweeps(list) {
  const out = [];
  for (const method of new Set(list.map((r) => r.method))) {
    const its = list.filter((r) => r.method === method && typeof r[metric] === "number");
    const rest = its.find((r) => !Object.keys(r.parameters).length);
    const varied = its.filter((r) => Object.keys(r.parameters).length === 1);
    for (const name of new Set(varied.map((r) => Object.keys(r.parameters)[0]))) {
      const points = varied.filter((r) => r.parameters[name] > 0).map((r) => ({ r, at: r.parameters[name] }));
      if (rest?.defaults?.[name.split(".").at(-1)] > 0) points.push({ r: rest, at: rest.defaults[name.split(".").at(-1)] });
      if (points.length < 2) continue;
      points.sort((a, b) => a.at - b.at);
      const worst = 3 * Math.min(...points.map((p) => p.r[metric]), rest?.[metric] ?? Infinity);
      const seen = better(metric) > 0 ? points.filter((p) => p.r[metric] <= worst) : points;
      const { g, x, y } = axes(300, 190, points.map((p) => p.at), seen.map((p) => p.r[metric]).concat(rest ? rest[metric] : []),
        { label: name, yLabel: `${METRICS[metric][0]} ${METRICS[metric][1]}` });
      if (rest) g.append(make("line", { class: "front", x1: 52, x2: 284, y1: y(rest[metric]), y2: y(rest[metric]) }));
      g.append(make("path", { class: "trace", d: "M" + seen.map((p) => `${x(p.at)} ${y(p.r[metric])}`).join("L") }));
      for (const p of seen) {
        g.append(make("circle", { class: p.r === rest ? "dot rest" : "dot", cx: x(p.at), cy: y(p.r[metric]), r: p.r === rest ? 5.5 : 4 },
          make("title", {}, `${name} ${fixed(p.at)}: ${shown(p.r, metric)}, ${time(p.r.seconds)}`)));
      }
      const left = points.length - seen.length;
      out.push(make("figure", { class: "small" }, make("figcaption", {}, method, " ",
        make("small", {}, `over ${name}${left ? `; ${left} far worse not drawn` : ""}`)),
      make("svg", { viewBox: "0 0 300 190", role: "img", "aria-label": `${method} over ${name}` }, g)));
    }
  }
  return out.length ? make("div", { class: "smalls" }, ...out) : null;
}

// ---- table and pictures ------------------------------------------------------------------------------------------

function table(task, list) {
  const whole = list.every((r) => !(r.valid_share < 1)), twins = ["valid_share", "nrmse_valid"];  // then these say nothing new
  const names = COLUMNS.filter((c) => list.some((r) => typeof cell(r, c) === "number") && !(whole && twins.includes(c)));
  const sort = order[task] ?? (order[task] = { by: task === "r2star" ? metric : "nrmse", sign: 1 });
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
  const done = list.filter((r) => r.key in pictures.result).sort((a, b) => better(metric) * (a[metric] - b[metric]));
  if (!done.length) return null;
  const target = { field: "total_field", background: "local_field", r2star: "r2star" }[done[0].task] ?? "chi";
  const truth = pictures.truth[`${done[0].dataset}/${target}`];
  const legend = make("div", { class: "scales" }, ...truth.scales.map((scale) => make("div", {}, make("span", {}, scale.of),
    make("img", { src: scale.picture, alt: "" }), make("span", {}, scale.ends[0]), make("span", {}, scale.ends[1]))));
  const first = card("truth", "", truth.pictures);
  first.append(legend);
  return make("div", { class: "cards" }, first,
    ...done.map((r) => card(r.method.replaceAll("+", "+\u200b"), `${METRICS[metric][0]} ${shown(r, metric)}`, pictures.result[r.key])));
}

function draw() {
  const place = document.getElementById("tasks"), sections = [];
  for (const [task, [title, meaning]] of Object.entries(tasks)) {
    const list = rows.filter((r) => r.task === task && r.dataset === chosen.dataset && r.device === chosen.device);
    if (!list.length) continue;
    metric = task === "r2star" ? "median_error" : chosen.metric;  // voids at the rim rule a norm of rates
    const small = sweeps(list), cards = gallery(list);
    sections.push(make("section", { class: "task", id: `task-${task}` }, make("h2", {}, title), make("p", { class: "note" }, meaning),
      pareto(list, place.clientWidth), make("h3", {}, "Results"), table(task, list),
      small && make("h3", {}, "Over the parameter"),
      small && make("p", { class: "note" }, "Dashed, and the larger dot: the default, which some methods choose from the data."), small,
      cards && make("h3", {}, "Maps, and below them the difference from the truth"), cards));
  }
  place.replaceChildren(...sections);
}

controls();
draw();
let drawn = innerWidth;
addEventListener("resize", () => { if (innerWidth !== drawn) { drawn = innerWidth; draw(); } });
