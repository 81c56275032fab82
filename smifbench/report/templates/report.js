// The viewer: two images under a divider, and the spectra of a pixel.

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;
}

/** A view's cubes as numbers: functions of a pixel (row, column) of its box that give spectra. */
function decode(view) {
  const [, , side] = view.box;
  const whole = new DataView(bytesOf(view.reference.values));
  const bands = view.nm.map((_, band) => band);
  const at = (band, row, column) => (band * side + row) * side + column;
  const reference = (row, column) => bands.map((band) => whole.getUint16(2 * at(band, row, column), true) / 65535);
  const errors = view.methods.map((method) => {
    const values = new Int8Array(bytesOf(method.values));
    return (row, column) => bands.map((band) => values[at(band, row, column)] / 127 * method.scale[band]);
  });
  return { reference, errors };
}

function element(parent, name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
}

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let index = Math.ceil(low / step); index * step <= high; index += 1) found.push(index * step);
  return found;
}

/** Draw lines of {values, colour, dash, width} over the wavelengths into an SVG. */
function plot(svg, nm, lines, label) {
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const [left, right, top, bottom] = [52, width - 18, 8, height - 36];
  const values = lines.flatMap((line) => line.values);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = 0.05 * (high - low) || 1e-3;
  const x = (value) => left + (value - nm[0]) / (nm.at(-1) - nm[0] || 1) * (right - left);
  const y = (value) => bottom - (value - low + margin) / (high - low + 2 * margin) * (bottom - top);
  svg.replaceChildren();
  for (const tick of ticks(low - margin, high + margin, 4)) {
    element(svg, "line", { x1: left, x2: right, y1: y(tick), y2: y(tick), class: "grid" });
    element(svg, "text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(Number(tick.toPrecision(3))));
  }
  for (const tick of ticks(nm[0], nm.at(-1), 5)) {
    element(svg, "text", { x: x(tick), y: bottom + 15, "text-anchor": "middle" }, String(tick));
  }
  element(svg, "text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, "wavelength (nm)");
  const middle = (top + bottom) / 2;
  element(svg, "text", { x: 11, y: middle, "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` }, label);
  for (const line of lines) {
    const points = line.values.map((value, band) => `${x(nm[band]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const style = { stroke: line.colour, "stroke-dasharray": line.dash, "stroke-width": line.width };
    element(svg, "polyline", { points, class: "curve", ...style });
  }
}

function startViewer(views) {
  const state = { view: null, cubes: null, right: 0, row: 0, column: 0 };
  const options = (select, texts) => select.replaceChildren(...texts.map((text, index) => new Option(text, index)));
  options(byId("view"), views.map((view) => view.title));

  function chooseView() {
    state.view = views[byId("view").value];
    state.cubes = decode(state.view);
    const [top, left, side] = state.view.box;
    [state.row, state.column] = [top + (side >> 1), left + (side >> 1)];
    options(byId("left"), ["reference", ...state.view.methods.map((method) => method.name)]);
    state.right = state.view.methods.length - 1;
    byId("right").replaceChildren(...state.view.methods.map((method, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = method.name;
      button.addEventListener("click", () => { state.right = index; showImages(); showSpectra(); });
      return button;
    }));
    for (const [id, first] of [["row", top], ["column", left]]) {
      byId(id).min = first;
      byId(id).max = first + side - 1;
    }
    showImages();
    showSpectra();
  }

  function showImages() {
    const { view } = state;
    const mode = byId("mode").value;
    const left = byId("left").value === "0" ? null : view.methods[byId("left").value - 1];
    const right = view.methods[state.right];
    const show = (image, method) => {
      image.src = method ? method[mode] : view.reference.picture; // the reference has no error
      image.alt = `${method ? method.name : "reference"}, ${method && mode === "errors" ? "absolute error" : "pseudo-colour"}`;
    };
    show(byId("left-image"), left);
    show(byId("right-image"), right);
    [...byId("right").children].forEach((button, index) => button.setAttribute("aria-pressed", index === state.right));
    const [top, first, height, width] = view.window;
    byId("stage").style.aspectRatio = `${width} / ${height}`;
    const place = (mark, row, column, size) => Object.assign(mark.style, {
      top: `${100 * (row - top) / height}%`, left: `${100 * (column - first) / width}%`,
      height: `${100 * size / height}%`, width: `${100 * size / width}%`,
    });
    place(byId("frame"), ...view.box);
    place(byId("pixel"), state.row, state.column, 1);
    byId("error-bar").hidden = mode !== "errors";
    byId("top-error").textContent = `${view.top_error.toPrecision(2)} and more`;
    divide();
  }

  function divide() {
    const place = byId("divide").value;
    byId("right-image").style.clipPath = `inset(0 0 0 ${place}%)`;
    byId("divider").style.left = `${place}%`;
  }

  function showSpectra() {
    const { view, cubes } = state;
    const [top, left] = view.box;
    const pixel = [state.row - top, state.column - left];
    const reference = cubes.reference(...pixel);
    const chosen = new Set([state.right, byId("left").value - 1]);
    const lines = view.methods.map((method, index) => {
      const error = cubes.errors[index](...pixel);
      return { ...method, error, width: chosen.has(index) ? 2.5 : 1, values: error.map((value, band) => value + reference[band]) };
    });
    const truth = { values: reference, colour: "currentColor", dash: "", width: 2 };
    plot(byId("spectra"), view.nm, [truth, ...lines], "value");
    plot(byId("residuals"), view.nm, lines.map((line) => ({ ...line, values: line.error })), "error");
    byId("spectra-caption").textContent = `Spectra and errors at row ${state.row}, column ${state.column} of ${view.scene}; ` +
      "black or white: the reference; thick: the methods under the divider.";
    [byId("row").value, byId("column").value] = [state.row, state.column];
    const dot = (a, b) => a.reduce((sum, value, band) => sum + value * b[band], 0);
    byId("pixel-table").tBodies[0].replaceChildren(...lines.map((line) => {
      const row = document.createElement("tr");
      const swatch = `<svg class="swatch" viewBox="0 0 24 8" aria-hidden="true"><line x1="0" x2="24" y1="4" y2="4" stroke="${line.colour}" stroke-width="3" stroke-dasharray="${line.dash}"/></svg>`;
      const rmse = Math.sqrt(dot(line.error, line.error) / line.error.length);
      const norms = Math.sqrt(dot(line.values, line.values) * dot(reference, reference));
      const lost = norms === 0 && dot(reference, reference) > 0;  // 90 degrees, as in the metric
      const cosine = lost ? 0 : dot(line.values, reference) / norms;
      const angle = Math.acos(Math.min(1, cosine)) * 180 / Math.PI;
      row.innerHTML = `<th scope="row">${swatch} <span></span></th><td class="number">${rmse.toFixed(4)}</td><td class="number">${isNaN(angle) ? "–" : angle.toFixed(2)}</td>`;
      row.querySelector("span").textContent = line.name;
      return row;
    }));
  }

  /** Choose a pixel; one outside the box moves to its edge. */
  function choosePixel(row, column) {
    const [top, left, side] = state.view.box;
    const inside = (value, first) => Math.min(first + side - 1, Math.max(first, Math.round(value) || first));
    [state.row, state.column] = [inside(row, top), inside(column, left)];
    showImages();
    showSpectra();
  }

  byId("view").addEventListener("change", chooseView);
  byId("mode").addEventListener("change", showImages);
  byId("left").addEventListener("change", () => { showImages(); showSpectra(); });
  byId("divide").addEventListener("input", divide);
  byId("viewer-form").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["row", "column"]) {
    byId(id).addEventListener("change", () => choosePixel(Number(byId("row").value), Number(byId("column").value)));
  }
  byId("stage").addEventListener("click", (event) => {
    const place = byId("stage").getBoundingClientRect();
    const [top, left, height, width] = state.view.window;
    choosePixel(
      Math.floor(top + (event.clientY - place.top) / place.height * height),
      Math.floor(left + (event.clientX - place.left) / place.width * width),
    );
  });
  chooseView();
}

if (byId("views")) startViewer(JSON.parse(byId("views").textContent));

// How to cite.

byId("copy").addEventListener("click", async () => {
  const text = [...document.querySelectorAll(".bibtex")].map((entry) => entry.textContent).join("\n\n");
  try {
    await navigator.clipboard.writeText(text);
    byId("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(byId("cite")); // a page from a file may not write to the clipboard
    byId("copied").textContent = "Selected; copy with Ctrl+C.";
  }
});
