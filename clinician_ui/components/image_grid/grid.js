// Many images: a cursor moved by arrows, a selection made by space, click or shift, one verdict for all of it.

const VERDICTS = ["present", "absent", "uncertain", "not_assessable"];

class Grid {
  constructor(root) {
    Object.assign(this, { root, selected: new Set(), here: 0, keys: readKeys(), isLocked: false });
    for (const name of ["bar", "cells", "status"]) this[name] = root.querySelector(`.${name}`);
    this.onKey = (event) => this.pressed(event);
    window.addEventListener("keydown", this.onKey, true);
  }

  update(data, send) {
    this.send = send;
    const isOtherPage = this.data?.page !== data.page;
    const isAnswered = this.data?.serial !== data.serial;
    this.data = data;
    if (isOtherPage) { this.here = 0; this.selected.clear(); this.cells.scrollTop = 0; }
    if (isAnswered) {
      this.isLocked = false;
      if (!data.is_fault) this.selected.clear();
      this.say(data.message, data.is_fault);
    }
    this.selected = new Set([...this.selected].filter((id) => data.images.some((image) => image.id === id)));
    this.here = Math.min(this.here, Math.max(data.images.length - 1, 0));
    this.draw();
  }

  draw() {
    this.cells.replaceChildren(...this.data.images.map((image, index) => this.cell(image, index)));
    this.mark();
  }

  cell(image, index) {
    const cell = made("div", { className: "cell" });
    cell.setAttribute("role", "option");
    cell.setAttribute("aria-label", image.label ? `${image.id}, ${image.label}` : image.id);
    cell.append(made("img", { src: image.thumbnail, alt: "", loading: "lazy", draggable: false }));
    if (image.label) cell.append(made("span", { className: "verdict", textContent: image.label }));
    cell.onclick = (event) => this.clicked(index, event.shiftKey);
    return cell;
  }

  mark() {
    [...this.cells.children].forEach((cell, index) => {
      cell.setAttribute("aria-selected", String(this.selected.has(this.data.images[index].id)));
      cell.classList.toggle("here", index === this.here);
    });
    this.drawBar();
  }

  drawBar() {
    const count = this.selected.size;
    const assigning = (verdict) => () => this.assign(verdict);
    const buttons = VERDICTS.map((verdict) =>
      this.button(this.data.labels[verdict], verdict, assigning(verdict), !count),
    );
    const text = made("span", { className: "count", textContent: `${count} selected` });
    const all = this.button("All", "ctrl+a", () => this.selectAll());
    const none = this.button("None", "escape", () => this.selectNone(), !count);
    const undo = this.button("Undo", "undo", () => this.undo());
    const like = this.data.can_compare ? [this.button("Like this", "like", () => this.compare(), count !== 1)] : [];
    this.bar.replaceChildren(text, ...buttons, undo, made("span", { className: "space" }), ...like, all, none);
  }

  button(label, act, pressed, isDisabled = false) {
    const button = made("button", { type: "button", disabled: isDisabled || this.isLocked, onclick: pressed });
    button.append(made("span", { textContent: label }), made("kbd", { textContent: shownKey(this.keys[act] ?? act) }));
    return button;
  }

  clicked(index, isRange) {
    const from = isRange ? Math.min(this.here, index) : index;
    const to = isRange ? Math.max(this.here, index) : index;
    for (let i = from; i <= to; i += 1) {
      const { id } = this.data.images[i];
      if (!isRange && this.selected.has(id)) this.selected.delete(id);
      else this.selected.add(id);
    }
    this.here = index;
    this.mark();
  }

  go(step, isRange) {
    const next = Math.min(Math.max(this.here + step, 0), this.data.images.length - 1);
    if (isRange) for (const i of [this.here, next]) this.selected.add(this.data.images[i].id);
    this.here = next;
    this.mark();
    this.cells.children[next]?.scrollIntoView({ block: "nearest" });
  }

  selectAll() {
    for (const { id } of this.data.images) this.selected.add(id);
    this.mark();
  }

  selectNone() {
    this.selected.clear();
    this.mark();
  }

  assign(verdict) {
    if (!this.selected.size || this.isLocked) return;
    this.submit({ act: "assign", verdict, images: [...this.selected] });
  }

  undo() {
    if (!this.isLocked) this.submit({ act: "undo" });
  }

  compare() {
    if (!this.data.can_compare || this.selected.size !== 1 || this.isLocked) return;
    this.submit({ act: "like", images: [...this.selected] });
  }

  submit(content) {
    this.isLocked = true;
    this.drawBar();
    const key = crypto.randomUUID?.() ?? `${Math.random()}${Date.now()}`;
    this.send({ ...content, context: this.data.context, key });
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => { this.isLocked = false; this.drawBar(); }, 15000);
  }

  say(text, isFault) {
    this.status.textContent = text ?? "";
    this.status.classList.toggle("bad", Boolean(isFault));
  }

  columns() {
    return getComputedStyle(this.cells).gridTemplateColumns.split(" ").length;
  }

  pressed(event) {
    const target = event.composedPath()[0];
    const isTyping = target?.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target?.tagName);
    if (event.altKey || isTyping || document.querySelector("[role=dialog]") || !this.data?.images.length) return;
    const key = keyName(event).replace("shift+", "");
    const moves = { arrowleft: -1, arrowright: 1, arrowup: -this.columns(), arrowdown: this.columns() };
    const verdict = VERDICTS.find((name) => this.keys[name] === key);
    if (target?.tagName === "BUTTON" && (key === "enter" || key === " ")) return;
    if (key in moves) this.go(moves[key], event.shiftKey);
    else if (key === " ") this.clicked(this.here, false);
    else if (key === "ctrl+a") this.selectAll();
    else if (key === "escape") this.selectNone();
    else if (key === this.keys.undo && !event.repeat) this.undo();
    else if (verdict && !event.repeat) this.assign(verdict);
    else if (key === this.keys.like && !event.repeat) this.compare();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  leave() {
    window.removeEventListener("keydown", this.onKey, true);
    clearTimeout(this.waiting);
  }
}

const grids = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  if (!grids.has(parentElement)) grids.set(parentElement, new Grid(parentElement));
  const grid = grids.get(parentElement);
  grid.update(data, (act) => setTriggerValue("act", act));
  return () => {
    grid.leave();
    grids.delete(parentElement);
  };
}
