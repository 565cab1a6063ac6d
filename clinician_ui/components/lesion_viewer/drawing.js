// What the reader draws: boxes, polygons and brush strokes, in the order drawn, so that each can be taken back.

const SVG = "http://www.w3.org/2000/svg";
const MASK_SIDE = 1024;
const CLOSE_PIXELS = 12;

class Drawing {
  constructor(stage, ink, paint, changed) {
    const empty = { items: [], draft: null, others: [], radius: 0.025, cursor: null };
    Object.assign(this, { stage, ink, paint, changed, ...empty });
  }

  begin(regions, others) {
    const toItem = (region) => (region.kind === "brush" ? maskItem(region.mask, () => this.repaint()) : region);
    this.items = regions.map(toItem);
    this.compare(others);
    this.draft = null;
    this.size();
  }

  compare(others) {
    this.others = others.map((other) => ({
      ...other,
      brushed: other.regions
        .filter(({ kind }) => kind === "brush")
        .map(({ mask }) => maskItem(mask, () => this.repaint())),
    }));
  }

  size() {
    const { width, height } = this.stage;
    const ratio = Math.min(1, MASK_SIDE / Math.max(width, height));
    this.paint.width = Math.max(1, Math.round(width * ratio));
    this.paint.height = Math.max(1, Math.round(height * ratio));
    this.repaint();
  }

  press(tool, point) {
    const at = this.stage.toFraction(point);
    if (tool === "box") this.draft = { kind: "box", vertices: [at, at] };
    if (tool === "brush") this.draft = { kind: "stroke", points: [at], radius: this.radius };
    if (tool === "polygon") this.addVertex(at, point);
    this.repaint();
  }

  drag(point) {
    const at = this.stage.toFraction(point);
    if (this.draft?.kind === "box") this.draft.vertices[1] = at;
    if (this.draft?.kind === "stroke") this.draft.points.push(at);
    this.repaint();
  }

  release() {
    if (this.draft?.kind === "box") this.keep(orderedBox(this.draft.vertices));
    else if (this.draft?.kind === "stroke") this.keep(this.draft);
  }

  pixelsTo(vertex, point) {
    return distance(this.stage.toScreen(vertex), point);
  }

  addVertex(at, point) {
    const started = this.draft?.kind === "polygon";
    if (!started) this.draft = { kind: "polygon", vertices: [at] };
    else if (this.draft.vertices.length > 2 && this.pixelsTo(this.draft.vertices[0], point) < CLOSE_PIXELS)
      this.close();
    else if (this.pixelsTo(this.draft.vertices.at(-1), point) > 2) this.draft.vertices.push(at);
  }

  close() {
    if (this.draft?.kind !== "polygon") return false;
    this.keep(this.draft.vertices.length > 2 ? this.draft : null);
    return true;
  }

  keep(item) {
    this.draft = null;
    if (item) this.items.push(item);
    this.repaint();
    this.changed();
  }

  cancel() {
    const had = this.draft !== null;
    this.draft = null;
    this.repaint();
    return had;
  }

  undo() {
    if (this.draft?.kind === "polygon" && this.draft.vertices.length > 1) this.draft.vertices.pop();
    else if (this.draft) this.draft = null;
    else if (this.items.length) this.items.pop();
    else return false;
    this.repaint();
    this.changed();
    return true;
  }

  remove(index) {
    this.items.splice(index, 1);
    this.repaint();
    this.changed();
  }

  repaint() {
    const context = this.paint.getContext("2d");
    context.clearRect(0, 0, this.paint.width, this.paint.height);
    for (const other of this.others) for (const item of other.brushed) paintItem(context, item, other.colour);
    for (const item of [...this.items, this.draft]) paintItem(context, item, "#40e0d0");
    this.outline();
  }

  outline() {
    const shapes = [];
    for (const other of this.others) {
      for (const region of other.regions) shapes.push(...this.shape(region, "other", other.colour));
    }
    for (const item of this.items) shapes.push(...this.shape(item, "shape"));
    if (this.draft) shapes.push(...this.shape(this.draft, "shape draft"));
    if (this.draft?.kind === "polygon") shapes.push(...this.draft.vertices.map((vertex) => this.dot(vertex)));
    if (this.cursor) shapes.push(this.ring(this.cursor));
    this.ink.replaceChildren(...shapes);
  }

  shape(item, style, colour) {
    if (item.kind !== "box" && item.kind !== "polygon") return [];
    const corners = item.kind === "box" ? boxCorners(item.vertices) : item.vertices;
    const isOpen = style.includes("draft") && item.kind === "polygon";
    const points = corners.map((vertex) => this.stage.toScreen(vertex).join(",")).join(" ");
    return ["under", style].map((name) => {
      const element = document.createElementNS(SVG, isOpen ? "polyline" : "polygon");
      element.setAttribute("class", name);
      element.setAttribute("points", points);
      if (colour && name !== "under") element.style.stroke = colour;
      return element;
    });
  }

  dot(vertex) {
    return circle(this.stage.toScreen(vertex), 4, "");
  }

  ring(point) {
    return circle(point, this.radius * this.stage.width * this.stage.scale, "brush");
  }

  regions() {
    const outlines = this.items.filter((item) => item.kind === "box" || item.kind === "polygon");
    const brushed = this.items.filter((item) => item.kind === "stroke" || item.kind === "mask");
    const masks = brushed.length ? [this.mask(brushed)] : [];
    return [...outlines.map(({ kind, vertices }) => ({ kind, vertices })), ...masks];
  }

  mask(items) {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: this.paint.width, height: this.paint.height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    for (const item of items) paintItem(context, item, "#ffffff");
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      pixels.data.fill(pixels.data[i + 3] >= 128 ? 255 : 0, i, i + 3);
      pixels.data[i + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return { kind: "brush", vertices: [], mask: canvas.toDataURL("image/png").split(",")[1] };
  }
}

function paintItem(context, item, colour) {
  const { width, height } = context.canvas;
  const hasPicture = item?.kind === "mask" && item.picture.complete && item.picture.naturalWidth;
  if (hasPicture) paintMask(context, item.picture, colour);
  if (item?.kind !== "stroke") return;
  const lineWidth = 2 * item.radius * width;
  Object.assign(context, { lineCap: "round", lineJoin: "round", strokeStyle: colour, lineWidth });
  context.beginPath();
  context.moveTo(item.points[0][0] * width, item.points[0][1] * height);
  for (const [x, y] of item.points) context.lineTo(x * width, y * height);
  context.stroke();
}

function paintMask(context, picture, colour) {
  const { width, height } = context.canvas;
  const layer = document.createElement("canvas");
  Object.assign(layer, { width, height });
  const over = layer.getContext("2d", { willReadFrequently: true });
  over.imageSmoothingEnabled = false;
  over.drawImage(picture, 0, 0, width, height);
  const pixels = over.getImageData(0, 0, width, height);
  for (let i = 0; i < pixels.data.length; i += 4) pixels.data[i + 3] = pixels.data[i] >= 128 ? 255 : 0;
  over.putImageData(pixels, 0, 0);
  over.globalCompositeOperation = "source-in";
  over.fillStyle = colour;
  over.fillRect(0, 0, width, height);
  context.drawImage(layer, 0, 0);
}

function maskItem(base64, loaded) {
  const picture = new Image();
  picture.onload = loaded;
  picture.src = `data:image/png;base64,${base64}`;
  return { kind: "mask", picture, mask: base64 };
}

function orderedBox([[x1, y1], [x2, y2]]) {
  const box = { kind: "box", vertices: [[Math.min(x1, x2), Math.min(y1, y2)], [Math.max(x1, x2), Math.max(y1, y2)]] };
  const [[left, top], [right, bottom]] = box.vertices;
  return right - left > 0.003 && bottom - top > 0.003 ? box : null;
}

function boxCorners([[x1, y1], [x2, y2]]) {
  return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
}

function circle([x, y], radius, name) {
  const element = document.createElementNS(SVG, "circle");
  for (const [key, value] of Object.entries({ cx: x, cy: y, r: radius, class: name })) element.setAttribute(key, value);
  return element;
}

function distance([x1, y1], [x2, y2]) {
  return Math.hypot(x1 - x2, y1 - y2);
}
