"use strict";
// Asks the server what the runs are like and draws it. Everything of a run is set as text, never as markup.
const state = { chosen: [], picked: new Set(), frames: new Map(), answer: null, choosingUntil: 0 };
const note = document.getElementById("note");
const main = document.getElementById("runs");

const html = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const svg = (tag, attributes = {}, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

const number = (value) => {
  if (value === null || value === undefined) return "-";
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1);
  return String(Number(value.toPrecision(size >= 1000 ? 4 : 3)));
};
const count = (value) => {
  for (const [size, unit] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (Math.abs(value) >= size) return Number((value / size).toPrecision(3)) + unit;
  }
  return String(Math.round(value));
};
const isDim = (name) => state.picked.size > 0 && !state.picked.has(name);

// -- a curve ---------------------------------------------------------------------------------------------------------
const W = 340, H = 190, LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 30;

// Runs side by side share their axes, or a glance would mislead.
const rangesOf = (metric) => {
  let right = 0, low = Infinity, high = -Infinity, positive = true;
  for (const run of state.answer.runs) {
    for (const line of run.lines[metric.tag] || []) {
      line.values.forEach((value, k) => {
        if (value === null) return;
        right = Math.max(right, run.steps[k] ?? 0);
        low = Math.min(low, value);
        high = Math.max(high, value);
        positive = positive && value > 0;
      });
    }
  }
  if (low > high) return null;
  const log = metric.log && positive;
  if (metric.share) [low, high] = [Math.min(low, 0), Math.max(high, 1)];
  if (high - low <= 1e-2 * Math.max(Math.abs(low), Math.abs(high))) {
    const middle = (low + high) / 2, half = 5e-3 * Math.abs(middle) || 0.5;
    [low, high] = log ? [low / 1.1, high * 1.1] : middle === 0 ? [0, 1] : [middle - half, middle + half];
  }
  return { right: right || 1, low, high, log };
};
const ticksOf = ({ low, high, log }) => {
  if (log) {
    const found = [];
    for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power++) found.push(10 ** power);
    return found.length > 1 ? found.filter((_, k) => k % Math.ceil(found.length / 5) === 0) : [low, high];
  }
  const rough = (high - low) / 4, size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * size).find((k) => k >= rough);
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) found.push(Math.abs(tick) < step / 1e6 ? 0 : tick);
  return found;
};

const drawCurve = (run, metric, readout) => {
  const lines = run.lines[metric.tag] || [], range = rangesOf(metric);
  const picture = svg("svg", { viewBox: `0 0 ${W} ${H}`, "font-size": 11, role: "img", "aria-label": `${metric.title} of ${run.name}` });
  if (range === null || lines.length === 0) {
    picture.append(svg("text", { x: W / 2, y: H / 2, "text-anchor": "middle", fill: "#555" }, "not measured by this run"));
    return picture;
  }
  const { right, low, high, log } = range;
  const f = log ? Math.log : (value) => value;
  const x = (step) => LEFT + (W - LEFT - RIGHT) * step / right;
  const y = (value) => H - BOTTOM - (H - TOP - BOTTOM) * (f(value) - f(low)) / (f(high) - f(low));
  for (const tick of ticksOf(range)) {
    picture.append(svg("line", { x1: LEFT, x2: W - RIGHT, y1: y(tick), y2: y(tick), stroke: "#e4e4e4" }));
    picture.append(svg("text", { x: LEFT - 5, y: y(tick) + 4, "text-anchor": "end", fill: "#333" }, Math.abs(tick) >= 1e4 ? count(tick) : number(tick)));
  }
  for (const tick of ticksOf({ low: 0, high: right })) {
    picture.append(svg("text", { x: x(tick), y: H - 17, "text-anchor": tick > 0.95 * right ? "end" : "middle", fill: "#333" }, count(tick)));
  }
  picture.append(svg("text", { x: (LEFT + W - RIGHT) / 2, y: H - 4, "text-anchor": "middle", fill: "#555" }, `environment steps; ${metric.unit}`.slice(0, 58)));
  for (const line of lines) {  // the leader comes last and lies on top
    const policy = line.policy === null ? { name: "", color: "#1b1b1b", leader: false } : run.policies[line.policy];
    const path = [];
    let pen = "M";
    line.values.forEach((value, k) => {
      if (value === null || (log && value <= 0)) return;  // what is measured every few iterations stays one line
      path.push(`${pen}${x(run.steps[k]).toFixed(1)} ${y(value).toFixed(1)}`);
      pen = "L";
    });
    if (path.length === 1) path.push(path[0].replace("M", "L"));
    const shape = svg("path", { d: path.join(""), fill: "none", stroke: policy.color, "stroke-width": policy.leader ? 2.2 : 1.3,
      "stroke-linecap": "round", "data-policy": policy.name });
    if (policy.name && isDim(policy.name)) shape.classList.add("dim");
    picture.append(shape);
  }
  const cursor = svg("line", { y1: TOP, y2: H - BOTTOM, stroke: "#888", "stroke-dasharray": "2 2", visibility: "hidden" });
  picture.append(cursor);
  picture.addEventListener("pointermove", (event) => {
    const frame = picture.getBoundingClientRect();
    const step = ((event.clientX - frame.left) / frame.width * W - LEFT) / (W - LEFT - RIGHT) * right;
    let near = 0;
    run.steps.forEach((value, k) => { if (Math.abs(value - step) < Math.abs(run.steps[near] - step)) near = k; });
    const said = lines.map((line) => {
      let k = near;
      while (k > 0 && line.values[k] === null) k--;
      return `${line.policy === null ? "" : run.policies[line.policy].name + " "}${number(line.values[k])}`;
    });
    readout.textContent = `${count(run.steps[near])} steps: ${said.join(", ")}`;
    cursor.setAttribute("x1", x(run.steps[near]));
    cursor.setAttribute("x2", x(run.steps[near]));
    cursor.setAttribute("visibility", "visible");
  });
  picture.addEventListener("pointerleave", () => { readout.textContent = ""; cursor.setAttribute("visibility", "hidden"); });
  return picture;
};

const chooser = (place, tag) => {
  const select = html("select", { "aria-label": `metric of chart ${place + 1}` });
  let group = null;
  for (const metric of state.answer.charts) {
    if (group === null || group.label !== metric.section) {
      group = html("optgroup", { label: metric.section });
      select.append(group);
    }
    const option = html("option", { value: metric.tag }, metric.title);
    if (metric.tag === tag) option.setAttribute("selected", "");
    group.append(option);
  }
  for (const kind of ["pointerdown", "keydown"]) select.addEventListener(kind, () => { state.choosingUntil = Date.now() + 15000; });
  select.addEventListener("blur", () => { state.choosingUntil = 0; });
  select.addEventListener("change", () => {
    state.choosingUntil = 0;
    state.chosen = [...state.answer.drawn];
    state.chosen[place] = select.value;
    location.replace(`#${state.chosen.map(encodeURIComponent).join("&")}`);
    look();
  });
  return select;
};

// -- the KL map ------------------------------------------------------------------------------------------------------
const drawMap = (run) => {
  const maps = state.answer.runs.map((one) => one.kl).filter(Boolean);  // one scale for runs side by side
  const data = { ...run.kl, low: Math.min(...maps.map((map) => map.low)), high: Math.max(...maps.map((map) => map.high)) };
  const size = run.policies.length, margin = 70, side = 300 / size;
  const newest = data.frames.length - 1;
  const slider = html("input", { type: "range", min: 0, max: newest, value: Math.min(state.frames.get(run.name) ?? newest, newest), "aria-label": "time of the KL map" });
  const title = html("h3", {}), picture = svg("svg", { viewBox: `0 0 ${margin + 304} 322`, "font-size": 11 });
  const draw = () => {
    const frame = Number(slider.value), matrix = data.frames[frame], range = Math.log(data.high / data.low);
    title.textContent = `KL(row | column) in nats, ${data.steps[frame]} steps${frame === newest ? " (newest)" : ""}`;
    picture.replaceChildren();
    run.policies.forEach((policy, row) => {
      const dim = isDim(policy.name);
      const short = policy.leader ? "leader" : policy.name.replace("follower ", "F");
      const names = [
        svg("text", { x: margin - 6, y: row * side + side / 2 + 8, "text-anchor": "end", fill: "#333" }, policy.name),
        svg("text", { x: margin + (row + 0.5) * side, y: 318, "text-anchor": "middle", fill: "#333" }, size <= 8 ? short : short[0] === "F" ? short.slice(1) : "L"),
      ];
      if (dim) names.forEach((name) => name.classList.add("dim"));
      picture.append(...names);
      run.policies.forEach((other, column) => {
        const value = matrix[row][column], x = margin + column * side, y = 4 + row * side;
        const share = value === null ? 0 : Math.min(1, Math.max(0, Math.log(Math.max(value, data.low) / data.low) / range));
        const empty = row === column || value === null;
        const box = svg("rect", { x, y, width: side - 1, height: side - 1, fill: empty ? "#efefef" : state.answer.colors[Math.round(share * (state.answer.colors.length - 1))] });
        box.append(svg("title", {}, `KL(${policy.name} | ${other.name}) = ${value} nats`));
        const label = svg("text", { x: x + side / 2, y: y + side / 2 + 4, "text-anchor": "middle", fill: empty || share > 0.55 ? "#000" : "#fff" },
          row === column ? "" : value === null ? "?" : number(value));
        if (isDim(policy.name) && isDim(other.name)) [box, label].forEach((node) => node.classList.add("dim"));
        picture.append(box);
        if (size <= 8) picture.append(label);
      });
    });
  };
  slider.addEventListener("input", () => {
    const frame = Number(slider.value);
    if (frame === newest) state.frames.delete(run.name); else state.frames.set(run.name, frame);
    draw();
  });
  draw();
  return html("figure", { class: "klmap" }, title, picture, slider);
};

// -- a run -----------------------------------------------------------------------------------------------------------
const drawTable = (run) => {
  const labels = Object.keys(run.table);
  const head = html("tr", {}, ...["policy", ...labels].map((label) => html("th", { scope: "col" }, label)));
  const rows = run.policies.map((policy, index) => {
    const button = html("button", { type: "button", "aria-pressed": state.picked.has(policy.name) },
      html("span", { class: "swatch", style: `background:${policy.color}` }), policy.name);
    button.addEventListener("click", () => {
      if (!state.picked.delete(policy.name)) state.picked.add(policy.name);
      render();
    });
    const cells = labels.map((label) => html("td", { title: String(run.table[label][index] ?? "") }, number(run.table[label][index])));
    return html("tr", { "data-policy": policy.name }, html("th", { scope: "row" }, button), ...cells);
  });
  return html("div", { class: "scroll" }, html("table", {}, html("thead", {}, head), html("tbody", {}, ...rows)));
};

const drawRun = (run) => {
  const card = html("section", { class: "run", "data-run": run.name });
  card.append(
    html("div", { class: "top" }, html("h2", {}, run.name), html("span", { class: `badge ${run.health}` }, run.health)),
    html("p", { class: "heading" }, run.heading),
    html("progress", { max: 1, value: run.share, "aria-label": "share of the iterations done" }),
    html("p", { class: "progress" }, run.progress),
  );
  // every card has the same parts, so that those of runs side by side stand at one height
  const hint = run.policies.length > 1 ? "Press a policy to see it alone, several to compare them." : "";
  card.append(
    html("ul", { class: "problems" }, ...run.problems.map((text) => html("li", {}, text))),
    Object.keys(run.table).length ? drawTable(run) : html("div"),
    html("p", { class: "hint" }, hint),
  );
  const plates = html("div", { class: "plates" });
  state.answer.drawn.forEach((tag, place) => {
    const metric = state.answer.charts.find((one) => one.tag === tag), readout = html("p", { class: "readout", title: metric.meaning });
    plates.append(html("figure", { "data-chart": tag }, chooser(place, tag), drawCurve(run, metric, readout), readout));
  });
  card.append(plates, run.kl ? drawMap(run) : html("div"));
  return card;
};

const render = () => {
  const focus = document.activeElement, inside = focus && focus.closest(".run");
  if (Date.now() < state.choosingUntil) return;  // an open list would close
  const path = inside && [...inside.querySelectorAll("button, input, select")].indexOf(focus);
  main.replaceChildren(...state.answer.runs.map(drawRun));
  if (inside && path >= 0) {
    const card = [...main.children].find((one) => one.dataset.run === inside.dataset.run);
    card?.querySelectorAll("button, input, select")[path]?.focus({ preventScroll: true });
  }
};

let timer = 0, asked = 0;
const look = async () => {
  clearTimeout(timer);
  const mine = ++asked;
  let wait = 2;
  try {
    const query = state.chosen.map((tag) => `chart=${encodeURIComponent(tag)}`).join("&");
    const answer = await (await fetch(`state?${query}`)).json();
    if (mine !== asked) return;
    state.answer = answer;
    wait = answer.interval_s;
    note.className = "";
    note.textContent = `${answer.runs.length} ${answer.runs.length === 1 ? "run" : "runs"}, read ${new Date().toLocaleTimeString()}`;
    render();
  } catch (error) {
    if (mine !== asked) return;
    note.className = "lost";
    note.textContent = "No answer: is cpo-lab watch still running? What is shown is the last that was read.";
  }
  timer = setTimeout(look, 1000 * wait);
};
state.chosen = location.hash.slice(1).split("&").filter(Boolean).map(decodeURIComponent);
look();
