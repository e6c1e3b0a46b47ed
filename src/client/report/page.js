"use strict";
(() => {
  const UNITS = 100000;
  const plots = [...document.querySelectorAll("svg.plot")];
  const tip = document.getElementById("tip");
  const reset = document.getElementById("reset");
  let view = [0, UNITS];

  const make = (name, attributes) => {
    const node = document.createElementNS(plots[0].namespaceURI, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    return node;
  };
  const trim = (value, digits) => String(Number(value.toFixed(digits)));

  // A place on the axis of time, as the page has it: 0, 250ms, 1m30s, 2d6h.
  const words = (us, digits) => {
    if (us < 1) return "0";
    const seconds = us / 1e6;
    if (seconds < 1) return trim(us / 1e3, digits + 3 > 6 ? 3 : digits) + "ms";
    const whole = Math.floor(seconds + 1e-9);
    let text = "";
    for (const [unit, size, of] of [["d", 86400, Infinity], ["h", 3600, 24], ["m", 60, 60]]) {
      const amount = of === Infinity ? Math.floor(whole / size) : Math.floor(whole / size) % of;
      if (amount > 0) text += amount + unit;
    }
    const rest = trim(seconds - Math.floor(whole / 60) * 60, digits);
    return rest !== "0" || text === "" ? text + rest + "s" : text;
  };

  const step = (span) => {
    const wanted = span / 8, second = 1e6;
    if (wanted < second) {
      const power = 10 ** Math.floor(Math.log10(Math.max(wanted, 1)));
      return [1, 2, 5, 10].map((factor) => factor * power).find((nice) => nice >= wanted * 0.999) || 10 * power;
    }
    const known = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
    return (known.find((size) => size * second >= wanted) || Math.ceil(wanted / 86400e6) * 86400) * second;
  };

  const marks = (plot) => {
    const group = plot.parentNode.querySelector("g.time");
    const from = Number(plot.dataset.from), span = Number(plot.dataset.span);
    const box = ["x", "y", "width", "height"].map((key) => Number(plot.getAttribute(key)));
    const first = from + span * view[0] / UNITS, shown = span * (view[1] - view[0]) / UNITS;
    const size = step(shown), digits = size < 1e6 ? Math.ceil(6 - Math.log10(size)) : 0;
    group.replaceChildren();
    for (let place = Math.ceil(first / size) * size; place <= first + shown; place += size) {
      const x = box[0] + box[2] * (place - first) / shown;
      group.append(make("path", { class: "grid", d: `M${x} ${box[1]}V${box[1] + box[3]}` }));
      const text = make("text", { class: "mark mid", x, y: box[1] + box[3] + 17 });
      text.textContent = words(place, digits);
      group.append(text);
    }
  };

  const show = (from, to) => {
    view = [from, to];
    reset.hidden = from === 0 && to === UNITS;
    for (const plot of plots) {
      const rows = plot.viewBox.baseVal.height;
      plot.setAttribute("viewBox", `${from} 0 ${to - from} ${rows}`);
      marks(plot);
    }
  };

  // The steps of a line, from the path that draws it.
  const steps = (path) => {
    if (path.steps) return path.steps;
    let x = 0, y = 0;
    path.steps = [];
    for (const [, letter, rest] of path.getAttribute("d").matchAll(/([MHV])([-0-9. ]+)/g)) {
      const numbers = rest.trim().split(" ").map(Number);
      if (letter === "M") [x, y] = numbers;
      else if (letter === "H") x = numbers[0];
      else y = numbers[0];
      path.steps.push([x, y]);
    }
    return path.steps;
  };
  const value = (path, x) => {
    const list = steps(path);
    let low = 0, high = list.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (list[middle][0] <= x) low = middle; else high = middle - 1;
    }
    return list[low][1];
  };

  const place = (event) => {
    const x = event.clientX + 16, y = event.clientY + 16;
    tip.style.left = Math.max(4, Math.min(x, innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = Math.max(4, Math.min(y, innerHeight - tip.offsetHeight - 8)) + "px";
  };
  const units = (plot, event) => {
    const box = plot.getBoundingClientRect();
    const part = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    return view[0] + part * (view[1] - view[0]);
  };

  for (const plot of plots) {
    const paths = [...plot.querySelectorAll("path.line")];
    const rows = plot.viewBox.baseVal.height;
    let cursor = null, picked = null, begun = null;
    plot.addEventListener("pointermove", (event) => {
      const x = units(plot, event);
      if (picked) {
        picked.setAttribute("x", Math.min(begun, x));
        picked.setAttribute("width", Math.abs(x - begun));
      }
      if (paths.length === 0) return;
      if (!cursor) plot.append(cursor = make("path", { class: "cursor" }));
      cursor.setAttribute("d", `M${x} 0V${rows}`);
      const us = Number(plot.dataset.from) + Number(plot.dataset.span) * x / UNITS;
      tip.replaceChildren();
      const head = document.createElement("b");
      head.textContent = words(us, Number(plot.dataset.span) < 6e8 ? 2 : 0);
      tip.append(head);
      for (const path of paths.slice(0, 24)) {
        const line = document.createElement("span"), colour = document.createElement("i");
        colour.style.background = getComputedStyle(path).stroke;
        const y = value(path, x);
        line.append(colour, `${path.dataset.name}: ${plot.dataset.unit === "part" ? trim(y / 10, 1) + " %" : trim(y, 2)}`);
        tip.append(line);
      }
      tip.hidden = false;
      place(event);
    });
    plot.addEventListener("pointerleave", () => {
      tip.hidden = true;
      if (cursor) cursor.remove();
      cursor = null;
    });
    plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      begun = units(plot, event);
      plot.append(picked = make("rect", { class: "picked", x: begun, y: 0, width: 0, height: rows }));
      plot.setPointerCapture(event.pointerId);
    });
    const drop = () => {
      if (picked) picked.remove();
      picked = null;
    };
    plot.addEventListener("pointerup", (event) => {
      if (!picked) return;
      drop();
      const x = units(plot, event), low = Math.min(begun, x), high = Math.max(begun, x);
      if (high - low > (view[1] - view[0]) / 150) show(low, high);
    });
    plot.addEventListener("pointercancel", drop);
    plot.addEventListener("dblclick", () => show(0, UNITS));
  }
  reset.addEventListener("click", () => show(0, UNITS));

  for (const head of document.querySelectorAll("th")) {
    head.querySelector("button").addEventListener("click", () => {
      const body = head.closest("table").tBodies[0], column = head.cellIndex;
      const was = head.getAttribute("aria-sort");
      const isUp = was ? was === "descending" : !head.classList.contains("n");
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
      const key = (row) => {
        const cell = row.cells[column];
        return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
      };
      const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort((a, b) => isUp ? compare(a[0], b[0]) : compare(b[0], a[0]));
      body.append(...rows.map(([, row]) => row));
    });
  }
  document.documentElement.dataset.ready = "yes";
})();
