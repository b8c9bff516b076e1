// Buttons over the map: what a drag does, zoom, reset, picture.
const TOOLS = {
  pan: { icon: "hand", title: "Drag moves the map" },
  box: { icon: "box", title: "Drag draws a box that selects (also: Shift and drag)" },
  lasso: { icon: "lasso", title: "Drag draws a lasso that selects" },
};

function createTools(view) {
  const { signal } = view;
  const drags = Object.entries(TOOLS).map(([tool, { icon: name, title }]) => {
    const node = button({ class: "saew-knob", title, "aria-label": title, "aria-pressed": String(tool === view.tool) }, icon(name));
    listen(node, "click", () => {
      view.tool = tool;
      drags.forEach((other) => other.node.setAttribute("aria-pressed", String(other.tool === tool)));
      view.plane.dataset.tool = tool;
      view.announce(title);
    }, signal);
    return { tool, node };
  });
  const knob = (name, title, act) => {
    const node = button({ class: "saew-knob", title, "aria-label": title }, icon(name));
    listen(node, "click", () => view.space && act(), signal);
    return node;
  };
  const group = (...nodes) => make("div", { class: "saew-knobs" }, ...nodes);
  return make("div", { class: "saew-map-tools" },
    group(knob("plus", "Zoom in", () => zoomCentre(view, 1.8)), knob("minus", "Zoom out", () => zoomCentre(view, 1 / 1.8)), knob("fit", "Show the whole map", () => view.reset())),
    group(...drags.map(({ node }) => node)),
    group(knob("image", "Save the map as a PNG picture", () => savePicture(view))));
}

// What is on the screen as one picture, on the theme's ground, with its legend in words.
function pictureOf(view) {
  view.paintNow();
  const { canvas } = view.overlay;
  const picture = document.createElement("canvas");
  const ratio = canvas.width / view.camera.width;
  const foot = Math.round(34 * ratio);
  picture.width = canvas.width;
  picture.height = canvas.height + foot;
  const pen = picture.getContext("2d");
  pen.fillStyle = view.theme.ground;
  pen.fillRect(0, 0, picture.width, picture.height);
  pen.drawImage(view.painter.canvas, 0, 0);
  pen.drawImage(canvas, 0, 0);
  pen.font = `${12 * ratio}px ${view.theme.font}`;
  pen.fillStyle = view.theme.soft;
  pen.textBaseline = "middle";
  pen.fillText(pictureCaption(view), 12 * ratio, canvas.height + foot / 2, picture.width - 24 * ratio);
  return picture;
}

function pictureCaption(view) {
  const { meta, size } = view.space;
  return [count(size, "feature"), `colour: ${view.legend.words()}`, meta.source].filter(Boolean).join("  ·  ");
}

function savePicture(view) {
  pictureOf(view).toBlob((blob) => {
    if (!blob || view.signal.aborted) return;
    const link = make("a", { download: "feature-map.png", href: URL.createObjectURL(blob) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    view.announce("The picture was saved as feature-map.png");
  }, "image/png");
}
