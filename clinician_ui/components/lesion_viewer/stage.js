// The image under the reader's eyes: where it lies and how large. Positions are fractions of its width and height.

class Stage {
  constructor(view, stage, image, moved) {
    Object.assign(this, { view, stage, image, moved, width: 1, height: 1, scale: 1, x: 0, y: 0, isFitted: true });
    this.watch = new ResizeObserver(() => (this.isFitted ? this.fit() : this.place()));
    this.watch.observe(view);
  }

  show(width, height) {
    Object.assign(this, { width, height });
    this.stage.style.width = `${width}px`;
    this.stage.style.height = `${height}px`;
    this.fit();
  }

  fit() {
    const { clientWidth, clientHeight } = this.view;
    if (!clientWidth || !clientHeight) return;
    this.scale = Math.min(clientWidth / this.width, clientHeight / this.height);
    this.x = (clientWidth - this.width * this.scale) / 2;
    this.y = (clientHeight - this.height * this.scale) / 2;
    this.isFitted = true;
    this.place();
  }

  zoom(factor, at = [this.view.clientWidth / 2, this.view.clientHeight / 2]) {
    const scale = Math.min(Math.max(this.scale * factor, 0.02), 64);
    const ratio = scale / this.scale;
    this.x = at[0] - (at[0] - this.x) * ratio;
    this.y = at[1] - (at[1] - this.y) * ratio;
    this.scale = scale;
    this.isFitted = false;
    this.place();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.isFitted = false;
    this.place();
  }

  place() {
    // Some of the image always stays in view, so that nobody gets lost.
    const rim = 40;
    this.x = Math.min(Math.max(this.x, rim - this.width * this.scale), this.view.clientWidth - rim);
    this.y = Math.min(Math.max(this.y, rim - this.height * this.scale), this.view.clientHeight - rim);
    this.stage.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.moved();
  }

  toScreen([x, y]) {
    return [this.x + x * this.width * this.scale, this.y + y * this.height * this.scale];
  }

  toFraction([x, y]) {
    const inside = (value) => Math.min(Math.max(value, 0), 1);
    return [inside((x - this.x) / (this.width * this.scale)), inside((y - this.y) / (this.height * this.scale))];
  }

  pointOf(event) {
    const box = this.view.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
}
