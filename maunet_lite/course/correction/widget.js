/* The page's half of the correction tool: it draws image and cells, and sends strokes to the kernel.
 *
 * The label map that counts is the kernel's. The page holds a copy only to draw it: `ids`, one number per
 * pixel, of which the kernel sends the part that an edit has changed. Messages to the kernel are
 * {do: NAME, ...}, see Corrector.act; those from it are {show: "image" | "labels" | "state", ...}.
 */

const HEIGHT = 560; // of the view, in CSS pixels
const TOOLS = {
  // name: [key, label, what to do, does it use the brush?]
  paint: ["p", "Paint", "Begin in a cell and paint: it grows, also into its neighbours.", true],
  erase: ["e", "Erase", "Paint over what is no cell. A cell that is cut through becomes two.", true],
  new: ["n", "New cell", "Draw around a cell; the ends are joined. Other cells keep their pixels.", true],
  split: ["s", "Split", "Draw a line through a cell, from outside to outside.", false],
  merge: ["m", "Merge", "Draw from one cell into another: they become one.", false],
  delete: ["d", "Delete", "Click on a cell, or draw over several, to remove them.", false],
  move: ["h", "Move", "Drag the image. The wheel zooms (click into the image first).", false],
};
const COLORS = { paint: "#3ddc84", erase: "#ff5252", new: "#40c4ff", split: "#ffea00", merge: "#ffea00", delete: "#ff5252" };

/** Return an element with attributes, properties that begin with "on", and children. */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** Return the bytes of what Python's zlib has compressed. */
async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** Return a colour for a cell, [red, green, blue]: ids near each other differ in hue or in lightness. */
function colorOf(id) {
  const hue = (id * 137.508) % 360;
  const lightness = [0.6, 0.75, 0.45][id % 3];
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    const away = 0.95 * Math.min(lightness, 1 - lightness);
    return Math.round(255 * (lightness - away * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

/** Image, cells and the stroke that is being drawn: three canvases on top of each other, and how they are seen. */
class View {
  constructor(onStroke) {
    this.onStroke = onStroke;
    this.tool = "paint";
    this.radius = 6;
    this.outlines = this.fill = true;
    this.height = this.width = 0; // of the image
    this.scale = 1; // CSS pixels per pixel of the image
    this.left = this.top = 0; // where the image's corner lies in the view
    this.fitted = true; // the whole image is shown, and is to be when the view becomes wider, too
    this.stroke = null; // points [row, column] of the stroke that is being drawn
    this.waiting = []; // strokes that the kernel has not answered yet: they stay visible until then
    this.layers = ["image", "cells", "pointer"].map((name) => make("canvas", { class: `correct-${name}` }));
    this.node = make("div", { class: "correct-view", tabindex: 0, role: "application",
      "aria-label": "Image with cells. Keys choose tools, see their buttons." }, ...this.layers);
    this.node.style.height = `${HEIGHT}px`;
    this.overlay = document.createElement("canvas"); // the cells, one pixel per pixel of the image
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.node);
    this.listen();
  }

  // --- what is shown --------------------------------------------------------------------------------------

  async setImage([height, width], png) {
    const same = height === this.height && width === this.width;
    this.picture = await createImageBitmap(new Blob([png], { type: "image/png" }));
    [this.height, this.width] = [height, width];
    [this.overlay.height, this.overlay.width] = [height, width];
    this.ids = new Int32Array(height * width);
    this.waiting = [];
    if (!same) this.fit();
    this.draw();
  }

  async setLabels([top, left, height, width], packed) {
    if (height && width) {
      const part = new Int32Array(await inflate(packed));
      for (let row = 0; row < height; row++) {
        this.ids.set(part.subarray(row * width, (row + 1) * width), (top + row) * this.width + left);
      }
    }
    const reach = this.thickness();
    this.colorBox(top - reach, left - reach, top + height + reach, left + width + reach);
  }

  countCells() {
    const found = new Set();
    let last = 0;
    for (const id of this.ids ?? []) if (id !== last) found.add((last = id)); // runs of one id count once
    found.delete(0);
    return found.size;
  }

  /** Return how many pixels of the image an outline is thick: as many as are one pixel of the screen. */
  thickness() {
    return Math.max(1, Math.round(1 / this.scale));
  }

  /** Colour the cells anew inside a box of the image. */
  colorBox(top, left, bottom, right) {
    [top, left] = [Math.max(0, top), Math.max(0, left)];
    [bottom, right] = [Math.min(this.height, bottom), Math.min(this.width, right)];
    if (bottom <= top || right <= left) return;
    const { ids, width, height } = this;
    const box = new ImageData(right - left, bottom - top);
    const colors = new Map();
    const reach = this.thickness();
    for (let row = top, to = 0; row < bottom; row++) {
      for (let column = left; column < right; column++, to += 4) {
        const at = row * width + column;
        const id = ids[at];
        if (!id) continue;
        const edge =
          (row >= reach && ids[at - reach * width] !== id) ||
          (row < height - reach && ids[at + reach * width] !== id) ||
          (column >= reach && ids[at - reach] !== id) ||
          (column < width - reach && ids[at + reach] !== id);
        const opacity = edge && this.outlines ? 255 : this.fill ? 70 : 0;
        if (!opacity) continue;
        if (!colors.has(id)) colors.set(id, colorOf(id));
        box.data.set(colors.get(id), to);
        box.data[to + 3] = opacity;
      }
    }
    this.overlay.getContext("2d").putImageData(box, left, top);
    this.colored = reach;
    this.draw();
  }

  recolor() {
    if (this.ids) this.colorBox(0, 0, this.height, this.width);
  }

  // --- how it is seen -------------------------------------------------------------------------------------

  resize() {
    this.viewWidth = this.node.clientWidth;
    const ratio = window.devicePixelRatio || 1;
    for (const canvas of this.layers) {
      canvas.width = this.viewWidth * ratio;
      canvas.height = HEIGHT * ratio;
    }
    if (this.fitted) this.fit();
    this.draw();
  }

  /** Show the whole image. */
  fit() {
    this.fitted = true;
    if (!this.width || !this.viewWidth) return;
    this.scale = Math.min(this.viewWidth / this.width, HEIGHT / this.height);
    this.left = (this.viewWidth - this.scale * this.width) / 2;
    this.top = (HEIGHT - this.scale * this.height) / 2;
    if (this.thickness() !== this.colored) this.recolor();
    this.draw();
  }

  /** Zoom by a factor; what lies at (x, y) of the view stays there. */
  zoom(factor, x = this.viewWidth / 2, y = HEIGHT / 2) {
    const scale = Math.max(0.02, Math.min(40, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    if (this.thickness() !== this.colored) this.recolor();
    this.draw();
  }

  /** Draw soon: many changes become one picture. */
  draw() {
    if (this.planned) return;
    this.planned = requestAnimationFrame(() => {
      this.planned = null;
      if (this.picture) this.drawNow();
    });
  }

  drawNow() {
    const ratio = window.devicePixelRatio || 1;
    const [image, cells, pointer] = this.layers.map((canvas) => {
      const context = canvas.getContext("2d");
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.setTransform(ratio * this.scale, 0, 0, ratio * this.scale, ratio * this.left, ratio * this.top);
      context.imageSmoothingEnabled = this.scale < 1; // enlarged, one sees pixels
      return context;
    });
    image.drawImage(this.picture, 0, 0);
    cells.drawImage(this.overlay, 0, 0);
    for (const stroke of [...this.waiting, this.stroke]) if (stroke) this.drawStroke(pointer, stroke);
    if (this.at && TOOLS[this.tool][3]) {
      pointer.beginPath();
      pointer.arc(this.at[1], this.at[0], this.radius + 0.5, 0, 2 * Math.PI);
      pointer.lineWidth = 1.5 / this.scale;
      pointer.strokeStyle = COLORS[this.tool];
      pointer.stroke();
    }
  }

  drawStroke(context, { tool, points, radius }) {
    const brush = TOOLS[tool][3];
    context.beginPath();
    context.moveTo(points[0][1] + 0.5, points[0][0] + 0.5); // middles of pixels
    for (const [row, column] of points) context.lineTo(column + 0.5, row + 0.5);
    if (tool === "new") context.closePath();
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = brush ? 2 * radius + 1 : 2.5 / this.scale;
    context.strokeStyle = COLORS[tool];
    context.globalAlpha = brush ? 0.5 : 1;
    context.stroke();
    context.globalAlpha = 1;
  }

  // --- the mouse, a pen or a finger -----------------------------------------------------------------------

  /** Return [row, column] of the image under the pointer, with fractions. */
  place(event) {
    const box = this.node.getBoundingClientRect();
    return [(event.clientY - box.top - this.top) / this.scale, (event.clientX - box.left - this.left) / this.scale];
  }

  listen() {
    const node = this.node;
    node.addEventListener("pointerdown", (event) => {
      node.focus({ preventScroll: true });
      node.setPointerCapture(event.pointerId);
      event.preventDefault();
      if (event.button || this.tool === "move" || this.spaced) this.grabbed = [event.clientX, event.clientY];
      else this.stroke = { tool: this.tool, radius: this.radius, points: [this.place(event).map(Math.floor)] };
      this.draw();
    });
    node.addEventListener("pointermove", (event) => {
      this.at = this.place(event);
      if (this.grabbed) {
        this.left += event.clientX - this.grabbed[0];
        this.top += event.clientY - this.grabbed[1];
        this.grabbed = [event.clientX, event.clientY];
        this.fitted = false;
      } else if (this.stroke) {
        const [row, column] = this.at.map(Math.floor);
        const last = this.stroke.points.at(-1);
        if (row !== last[0] || column !== last[1]) this.stroke.points.push([row, column]);
      }
      this.draw();
    });
    node.addEventListener("pointerup", () => {
      if (this.stroke) {
        this.waiting.push(this.stroke);
        this.onStroke(this.stroke);
      }
      this.stroke = this.grabbed = null;
      this.draw();
    });
    node.addEventListener("pointercancel", () => (this.stroke = this.grabbed = null));
    node.addEventListener("pointerleave", () => {
      this.at = null;
      this.draw();
    });
    node.addEventListener("contextmenu", (event) => event.preventDefault());
    node.addEventListener("wheel", (event) => {
      // a page that is scrolled past the tool goes on scrolling; one click into the image, and the wheel zooms
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== node) return;
      event.preventDefault();
      event.stopPropagation();
      const box = node.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
  }
}

function render({ model, el }) {
  const send = (what) => model.send(what);
  const view = new View(({ tool, points, radius }) => send({ do: "edit", edit: tool, points, radius }));

  // --- buttons --------------------------------------------------------------------------------------------
  const hint = make("span", { class: "correct-hint" });
  const tools = Object.fromEntries(
    Object.entries(TOOLS).map(([name, [key, label, what]]) => [name,
      make("button", { title: `${what} (key ${key})`, "data-tool": name, onclick: () => choose(name) }, label)]),
  );
  function choose(name) {
    view.tool = name;
    for (const [other, button] of Object.entries(tools)) button.setAttribute("aria-pressed", other === name);
    hint.textContent = TOOLS[name][2];
    view.node.style.cursor = name === "move" ? "grab" : "crosshair";
    view.draw();
  }
  const button = (label, title, onclick) => make("button", { title, onclick }, label);
  const undo = button("Undo", "Take the last edit back (key z)", () => send({ do: "undo" }));
  const redo = button("Redo", "Do it again (key y)", () => send({ do: "undo", again: true }));
  const save = button("Save", "Write this label map into the dataset", () => send({ do: "save" }));
  const minutes = make("input", { type: "number", min: 0.1, step: "any", value: 5, "aria-label": "minutes of fine-tuning" });
  const tune = button("Fine-tune", "Train the network on all that was corrected; you can go on meanwhile",
    () => send({ do: "fine_tune", minutes: Number(minutes.value) || 5 }));
  const again = button("Segment again", "Let the network segment all that is not corrected yet, and order the list by its doubt",
    () => send({ do: "segment_again" }));

  const slider = (label, attributes, onchange) => {
    const input = make("input", { type: "range", "aria-label": label, ...attributes });
    const shown = make("output", {}, String(attributes.value));
    input.addEventListener("input", () => {
      shown.textContent = input.value;
      onchange(Number(input.value));
    });
    const node = make("label", {}, label, input, shown);
    node.set = (value) => {
      input.value = value;
      input.dispatchEvent(new Event("input"));
    };
    return node;
  };
  const size = slider("Brush", { min: 0, max: 60, value: view.radius, class: "correct-brush" }, (value) => {
    view.radius = value;
    view.draw();
  });
  const light = { brightness: 100, contrast: 100 };
  const look = (name) => slider(name[0].toUpperCase() + name.slice(1), { min: 20, max: 400, value: 100 }, (value) => {
    light[name] = value;
    view.layers[0].style.filter = `brightness(${light.brightness}%) contrast(${light.contrast}%)`;
  });
  const check = (label, name) => make("label", {}, make("input", { type: "checkbox", checked: true,
    onchange: (event) => {
      view[name] = event.target.checked;
      view.recolor();
    } }), label);
  const outlines = check("Outlines", "outlines");
  const queue = make("ol", { class: "correct-queue", "aria-label": "images, the most doubtful first" });
  const status = make("div", { class: "correct-status", role: "status" });
  const count = make("span", { class: "correct-count" });

  el.append(
    // what a key does in the notebook, it must not do here
    make("div", { class: "correct", "data-lm-suppress-shortcuts": "true" },
      make("div", { class: "correct-bar" }, ...Object.values(tools), make("span", { class: "correct-gap" }), undo, redo,
        make("span", { class: "correct-gap" }), size),
      make("div", { class: "correct-bar" }, hint),
      make("div", { class: "correct-main" }, view.node, make("div", { class: "correct-side" },
        make("b", {}, "Images"), queue, save, make("hr"), tune, make("label", {}, minutes, "minutes"), again)),
      make("div", { class: "correct-bar" }, button("−", "Zoom out (key -)", () => view.zoom(1 / 1.4)),
        button("+", "Zoom in (key +)", () => view.zoom(1.4)), button("Fit", "Show the whole image (key 0)", () => view.fit()),
        outlines, check("Fill", "fill"), look("brightness"), look("contrast"), count),
      status),
  );
  choose("paint");

  // --- keys -----------------------------------------------------------------------------------------------
  const keys = { z: () => undo.click(), y: () => redo.click(), "+": () => view.zoom(1.4), "-": () => view.zoom(1 / 1.4),
    0: () => view.fit(), o: () => outlines.firstChild.click(),
    "[": () => size.set(view.radius - 1), "]": () => size.set(view.radius + 1) };
  for (const [name, [key]] of Object.entries(TOOLS)) keys[key] = () => choose(name);
  view.node.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === " ") view.spaced = true;
    const act = event.shiftKey && event.key === "Z" ? keys.y : keys[event.key];
    if (!act && event.key !== " ") return;
    event.preventDefault();
    act?.();
  });
  view.node.addEventListener("keyup", (event) => {
    if (event.key === " ") view.spaced = false;
  });

  // --- what the kernel says -------------------------------------------------------------------------------
  function showState(state) {
    queue.replaceChildren(...state.queue.map(([name, doubt, done, changed], index) =>
      make("li", { class: index === state.index ? "correct-open" : "", onclick: () => send({ do: "open", index }),
        title: [`${name}`, doubt === "nan" ? "" : `doubt ${Number(doubt).toFixed(3)}`].filter(Boolean).join(", ") },
      make("span", { class: "correct-name" }, name),
      make("span", {}, `${doubt === "nan" ? "" : Number(doubt).toFixed(2)}${done ? " ✓" : ""}${changed ? " •" : ""}`))));
    undo.disabled = !state.undo;
    redo.disabled = !state.redo;
    count.textContent = `${view.countCells()} cells`;
    tune.disabled = again.disabled = Boolean(state.working);
    const busy = { fine_tune: "The network is being fine-tuned …", segment_again: "Images are being segmented …" };
    status.textContent = state.text || busy[state.working] || "";
    status.classList.toggle("correct-failed", state.failed);
    el.firstChild.dataset.answers = Number(el.firstChild.dataset.answers || 0) + 1; // for tests
    view.waiting.shift();
    view.draw();
  }
  let last = Promise.resolve(); // decoding takes a moment: one message after the other
  const hear = (content, buffers) => {
    last = last.then(async () => {
      if (content.show === "image") await view.setImage(content.shape, buffers[0]);
      else if (content.show === "labels") await view.setLabels(content.box, buffers[0]);
      else showState(content);
    }).catch((error) => {
      status.textContent = `The page cannot show this: ${error}`;
      status.classList.add("correct-failed");
    });
  };
  model.on("msg:custom", hear);
  send({ do: "open" }); // the same image anew
  return () => {
    model.off("msg:custom", hear);
    view.observer.disconnect();
  };
}

export default { render };
