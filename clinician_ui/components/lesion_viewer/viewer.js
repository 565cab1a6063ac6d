// The component: shows a case, takes what the reader does, and sends it once, under a key made here.

const VERDICTS = ["present", "absent", "uncertain", "not_assessable"];
const TOOLS = { move: "Move", box: "Box", polygon: "Polygon", brush: "Brush" };
const SETTLE_MILLISECONDS = 180;
const UNANSWERED_MILLISECONDS = 15000;

class Viewer {
  constructor(root) {
    const find = (selector) => root.querySelector(selector);
    Object.assign(this, { root, tool: "move", keys: readKeys(), pointers: new Map(), data: null, isLocked: false });
    for (const name of ["viewer", "view", "top", "regions", "verdicts", "status", "keys", "note", "confidence"]) {
      this[`${name}Element`] = find(name === "keys" ? "section.keys" : `.${name}`);
    }
    this.image = find("img");
    this.stage = new Stage(find(".view"), find(".stage"), this.image, () => this.drawing?.outline());
    this.drawing = new Drawing(this.stage, find(".ink"), find(".paint"), () => this.drawn());
    this.image.onload = () => this.loaded();
    this.image.onerror = () => this.say("The image cannot be loaded. Ask an admin to check the image folder.", true);
    this.noteElement.oninput = () => this.saveDraft();
    this.listen();
  }

  update(data, send) {
    this.send = send;
    const isNewCase = this.data?.case.id !== data.case.id;
    const isAnswered = this.data?.serial !== data.serial;
    this.data = data;
    if (isNewCase) this.begin();
    if (isAnswered) this.unlock();
    if (isAnswered || isNewCase) this.say(data.message ?? "", data.is_fault);
    if (!isNewCase && isAnswered) this.drawing.compare(data.others ?? []);
    this.drawBars();
    this.drawing.repaint();
    for (const address of data.upcoming ?? []) new Image().src = address;
  }

  begin() {
    const draft = this.readDraft();
    this.seconds = 0;
    this.shownAt = null;
    this.act = crypto.randomUUID?.() ?? String(Math.random()).slice(2) + Date.now();
    this.noteElement.value = draft?.note ?? this.data.note ?? "";
    this.confidenceElement.value = this.data.confidence ?? "";
    this.pending = [draft?.regions ?? this.data.regions ?? [], this.data.others ?? []];
    this.image.classList.add("waits");
    this.image.alt = this.data.case.label;
    this.image.src = this.data.case.image;
    this.unlock();
  }

  loaded() {
    this.stage.show(this.image.naturalWidth, this.image.naturalHeight);
    this.drawing.begin(...this.pending);
    this.image.classList.remove("waits");
    this.shownAt = performance.now();
    this.drawBars();
  }

  drawn() {
    this.saveDraft();
    this.drawBars();
  }

  judge(verdict) {
    // A key that was meant for the last case must not judge one that was not seen yet.
    if (this.isLocked || this.shownAt === null || performance.now() - this.shownAt < SETTLE_MILLISECONDS) return;
    this.drawing.close();
    const regions = this.drawing.regions();
    if (regions.length && (verdict === "absent" || verdict === "not_assessable")) {
      this.say("Regions need the verdict present or uncertain. Remove the regions first.", true);
      return;
    }
    const confidence = this.confidenceElement.value === "" ? null : Number(this.confidenceElement.value);
    const seconds = Math.round((performance.now() - this.shownAt) / 100) / 10;
    this.submit({ act: "judge", verdict, confidence, note: this.noteElement.value, regions, seconds });
  }

  undo() {
    if (this.drawing.undo()) return;
    if (this.data.can_undo && !this.isLocked) this.submit({ act: "undo" });
  }

  submit(content) {
    this.lock();
    const isForCase = content.act === "judge" || content.act === "later";
    const suffix = isForCase ? content.act : crypto.randomUUID?.() ?? Date.now();
    this.send({ ...content, case: this.data.case.id, key: `${this.act}-${suffix}` });
  }

  lock() {
    this.isLocked = true;
    this.viewerElement.setAttribute("aria-busy", "true");
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.unlock();
      this.say("No answer yet. Check the connection and press again: nothing is saved twice.", true);
    }, UNANSWERED_MILLISECONDS);
  }

  unlock() {
    clearTimeout(this.waiting);
    this.isLocked = false;
    this.viewerElement.removeAttribute("aria-busy");
  }

  saved(id) {
    try { sessionStorage.removeItem(`dermaxis.draft.${id}`); } catch { /* nothing was kept */ }
  }

  saveDraft() {
    const draft = { note: this.noteElement.value, regions: this.drawing.regions() };
    const name = `dermaxis.draft.${this.data.case.id}`;
    try { sessionStorage.setItem(name, JSON.stringify(draft)); } catch { /* too large */ }
  }

  readDraft() {
    for (const id of this.data.saved ?? []) this.saved(id);
    const name = `dermaxis.draft.${this.data.case.id}`;
    try { return JSON.parse(sessionStorage.getItem(name) ?? "null"); } catch { return null; }
  }

  say(text, isFault = false) {
    this.statusElement.textContent = text;
    this.statusElement.classList.toggle("bad", Boolean(isFault));
    clearTimeout(this.fading);
    if (text && !isFault) this.fading = setTimeout(() => { this.statusElement.textContent = ""; }, 4000);
  }

  choose(tool) {
    this.tool = tool;
    this.drawing.cancel();
    this.drawing.cursor = null;
    this.drawBars();
  }

  drawBars() {
    const tools = Object.entries(TOOLS).map(([tool, label]) =>
      this.button(label, tool, () => this.choose(tool), this.tool === tool));
    const zoom = [["zoom_out", "−"], ["zoom_in", "+"]].map(([act, label]) =>
      this.button(label, null, () => this.do(act)));
    zoom.forEach((button, i) => button.setAttribute("aria-label", i ? "Zoom in" : "Zoom out"));
    const keys = this.button("Keys", null, () => this.toggleKeys(), !this.keysElement.hidden);
    const fit = this.button("Fit", "fit", () => this.do("fit"));
    this.topElement.replaceChildren(...tools, made("span", { className: "space" }), ...zoom, fit, keys);
    this.viewElement.classList.toggle("draws", this.tool !== "move");
    this.regionsElement.replaceChildren(...this.chips());
    this.verdictsElement.replaceChildren(...this.verdictButtons());
  }

  verdictButtons() {
    const buttons = VERDICTS.map((verdict) => {
      const isCurrent = this.data.verdict === verdict;
      const button = this.button(this.data.labels[verdict], verdict, () => this.judge(verdict), isCurrent);
      button.classList.add("verdict");
      return button;
    });
    if (this.data.can_undo) {
      buttons.push(this.button("Later", "later", () => this.do("later")));
      buttons.push(this.button("Undo", "undo", () => this.undo()));
    }
    return buttons;
  }

  chips() {
    const names = { box: "Box", polygon: "Polygon", stroke: "Brush stroke", mask: "Brush" };
    const chips = this.drawing.items.map((item, index) => {
      const chip = this.button(`${names[item.kind]} ${index + 1} ×`, null, () => this.drawing.remove(index));
      chip.setAttribute("aria-label", `Remove ${names[item.kind].toLowerCase()} ${index + 1}`);
      return chip;
    });
    const others = this.drawing.others.map((other) => {
      const tag = made("span", { textContent: `┅ ${other.label}` });
      tag.style.color = other.colour;
      return tag;
    });
    const hint = made("span", { textContent: chips.length + others.length ? "" : "No regions drawn." });
    return [...chips, ...others, hint];
  }

  button(label, act, pressed, isPressed = false) {
    const button = made("button", { type: "button" });
    button.append(made("span", { textContent: label }));
    if (act) button.append(made("kbd", { textContent: shownKey(this.keys[act]) }));
    button.onclick = pressed;
    button.onpointerdown = (event) => event.stopPropagation();
    button.setAttribute("aria-pressed", String(isPressed));
    return button;
  }

  toggleKeys() {
    this.keysElement.hidden = !this.keysElement.hidden;
    fillKeysPanel(this.keysElement, this.keys, (keys) => {
      this.keys = keys;
      writeKeys(keys);
      this.keysElement.hidden = true;
      this.toggleKeys();
      this.drawBars();
    });
    this.drawBars();
  }

  do(act) {
    if (VERDICTS.includes(act)) this.judge(act);
    else if (act in TOOLS) this.choose(act);
    else if (act === "undo") this.undo();
    else if (act === "later") { if (this.data.can_undo && !this.isLocked) this.submit({ act }); }
    else if (act === "fit") this.stage.fit();
    else if (act === "zoom_in") this.stage.zoom(1.25);
    else if (act === "zoom_out") this.stage.zoom(0.8);
    else if (act === "close") this.drawing.close();
    else if (act === "cancel") { this.drawing.cancel(); this.keysElement.hidden = true; this.drawBars(); }
    else if (act === "larger" || act === "smaller") this.resizeBrush(act === "larger" ? 1.3 : 1 / 1.3);
  }

  resizeBrush(factor) {
    this.drawing.radius = Math.min(Math.max(this.drawing.radius * factor, 0.004), 0.2);
    this.drawing.outline();
  }

  pressed(event) {
    const target = event.composedPath()[0];
    if (event.altKey || target?.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target?.tagName)) return;
    if (!this.root.isConnected && !this.root.host?.isConnected) return;
    if (document.querySelector("[role=dialog]")) return;
    // A key that is being given to an act must not do what it did so far.
    if (target?.dataset?.waits) return;
    const arrows = { arrowleft: [60, 0], arrowright: [-60, 0], arrowup: [0, 60], arrowdown: [0, -60] };
    const key = keyName(event);
    const act = Object.keys(this.keys).find((name) => this.keys[name] === key);
    const isButton = target?.tagName === "BUTTON" && (key === "enter" || key === " ");
    if (isButton || (!act && !(key in arrows))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (key in arrows) this.stage.pan(...arrows[key]);
    else if (!event.repeat || act.startsWith("zoom")) this.do(act);
  }

  listen() {
    this.onKey = (event) => this.pressed(event);
    window.addEventListener("keydown", this.onKey, true);
    const view = this.viewElement;
    view.addEventListener("wheel", (event) => {
      if (event.composedPath().includes(this.keysElement)) return;
      event.preventDefault();
      this.stage.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), this.stage.pointOf(event));
    }, { passive: false });
    view.addEventListener("pointerdown", (event) => this.down(event));
    view.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, (event) => this.up(event));
    view.addEventListener("pointerleave", () => { this.drawing.cursor = null; this.drawing.outline(); });
    view.addEventListener("dblclick", () => { if (this.tool === "move") this.stage.fit(); else this.drawing.close(); });
  }

  down(event) {
    if (event.composedPath().includes(this.keysElement) || this.shownAt === null) return;
    const point = this.stage.pointOf(event);
    this.viewElement.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, point);
    this.viewerElement.focus({ preventScroll: true });
    if (this.pointers.size === 2 && this.draftIsDragged()) this.drawing.cancel();
    this.isPanning = this.tool === "move" || event.button === 1 || this.pointers.size > 1;
    this.viewElement.classList.toggle("pans", this.isPanning);
    if (!this.isPanning && event.button === 0) this.drawing.press(this.tool, point);
  }

  draftIsDragged() {
    return this.drawing.draft?.kind === "box" || this.drawing.draft?.kind === "stroke";
  }

  move(event) {
    const point = this.stage.pointOf(event);
    const before = this.pointers.get(event.pointerId);
    this.drawing.cursor = this.tool === "brush" && event.pointerType !== "touch" ? point : null;
    if (this.drawing.cursor) this.drawing.outline();
    if (!before) return;
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, other]) => other);
    this.pointers.set(event.pointerId, point);
    if (others.length) this.pinch(before, point, others[0]);
    else if (this.isPanning) this.stage.pan(point[0] - before[0], point[1] - before[1]);
    else this.drawing.drag(point);
  }

  pinch(before, point, other) {
    const factor = distance(point, other) / Math.max(distance(before, other), 1);
    this.stage.pan((point[0] - before[0]) / 2, (point[1] - before[1]) / 2);
    this.stage.zoom(factor, [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2]);
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (!this.isPanning) this.drawing.release();
    if (!this.pointers.size) { this.isPanning = false; this.viewElement.classList.remove("pans"); }
  }

  leave() {
    window.removeEventListener("keydown", this.onKey, true);
    this.stage.watch.disconnect();
    clearTimeout(this.waiting);
  }
}

const viewers = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  if (!viewers.has(parentElement)) viewers.set(parentElement, new Viewer(parentElement));
  const viewer = viewers.get(parentElement);
  viewer.update(data, (act) => setTriggerValue("act", act));
  return () => {
    viewer.leave();
    viewers.delete(parentElement);
  };
}
