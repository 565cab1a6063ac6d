// Keys: their defaults, what the reader made of them (kept in the browser), and the panel to change them.

const DEFAULT_KEYS = {
  present: "p", absent: "a", uncertain: "u", not_assessable: "n", later: "l", undo: "ctrl+z",
  move: "v", box: "b", polygon: "g", brush: "d", close: "enter", cancel: "escape",
  fit: "f", zoom_in: "+", zoom_out: "-", larger: ".", smaller: ",", like: "s",
};
const KEY_LABELS = {
  present: "Present", absent: "Absent", uncertain: "Uncertain", not_assessable: "Not assessable",
  later: "Save for later", undo: "Undo", move: "Move the image", box: "Draw a box",
  polygon: "Draw a polygon", brush: "Draw with a brush", close: "Close the polygon", cancel: "Drop what is being drawn",
  fit: "Fit the image", zoom_in: "Zoom in", zoom_out: "Zoom out", larger: "Larger brush", smaller: "Smaller brush",
  like: "Grid: images like this",
};
const KEYS_STORED = "dermaxis.keys";

function keyName(event) {
  const name = event.key === "=" ? "+" : event.key.toLowerCase();
  return (event.ctrlKey || event.metaKey ? "ctrl+" : "") + name;
}

function readKeys() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEYS_STORED) ?? "{}");
    const known = Object.entries(kept).filter(([act, key]) => act in DEFAULT_KEYS && typeof key === "string");
    return { ...DEFAULT_KEYS, ...Object.fromEntries(known) };
  } catch {
    return { ...DEFAULT_KEYS };
  }
}

function writeKeys(keys) {
  try { localStorage.setItem(KEYS_STORED, JSON.stringify(keys)); } catch { /* kept for this visit only */ }
}

function shownKey(key) {
  const words = { enter: "Enter", escape: "Esc", " ": "Space" };
  const parts = key.length > 1 ? key.split("+") : [key];
  return words[key] ?? parts.map((part) => part.charAt(0).toUpperCase() + part.slice(1)).join(" ");
}

function fillKeysPanel(panel, keys, changed) {
  panel.replaceChildren(made("h3", { textContent: "Keys" }));
  for (const [act, label] of Object.entries(KEY_LABELS)) {
    const button = made("button", { type: "button", textContent: shownKey(keys[act]) });
    button.onclick = () => {
      Object.assign(button, { textContent: "press a key", onkeydown: (event) => take(event, act) });
      button.dataset.waits = "for a key";
      button.focus();
    };
    const row = made("div", { className: "row" });
    row.append(made("span", { textContent: label }), button);
    panel.append(row);
  }
  const reset = made("button", { type: "button", textContent: "Restore the defaults" });
  reset.onclick = () => changed({ ...DEFAULT_KEYS });
  const hint = made("p", { textContent: "Arrow keys move the image; the wheel or two fingers zoom." });
  panel.append(hint, reset);

  function take(event, act) {
    if (["Shift", "Control", "Alt", "Meta", "Tab"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    const key = keyName(event);
    const swapped = Object.keys(keys).find((other) => keys[other] === key);
    changed({ ...keys, ...(swapped ? { [swapped]: keys[act] } : {}), [act]: key });
  }
}

function made(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}
