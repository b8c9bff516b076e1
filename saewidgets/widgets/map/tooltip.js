// What a point is, beside the pointer.
function createTooltip(view, root) {
  const box = floating(root, "saew-tip", { role: "tooltip" });
  return {
    show(i) {
      box.replaceChildren(...pointLines(view, i));
      const plane = view.plane.getBoundingClientRect();
      const [x, y] = view.camera.toScreen(view.space.x[i], view.space.y[i]);
      const reach = pointRadius(view) + 4;
      showAt(box, { top: plane.top + y - reach, bottom: plane.top + y + reach, left: plane.left + x, right: plane.left + x });
    },
    hide: () => hide(box),
  };
}

function pointLines(view, i) {
  const { space } = view;
  const label = space.meta.labels[i];
  const lines = [make("div", { class: "saew-tip-name" }, make("b", { dir: "auto" }, nameOf(space, i)), label ? make("span", { class: "saew-number" }, String(i)) : null)];
  const cluster = clusterNameOf(space, i);
  if (cluster) lines.push(make("div", { class: "saew-tip-line" }, swatch(view, space.cluster[i]), make("span", { dir: "auto" }, cluster)));
  for (const fact of factsOf(view, i)) lines.push(make("div", { class: "saew-faint" }, fact));
  return lines;
}

function swatch(view, cluster) {
  const mark = make("span", { class: "saew-swatch", "aria-hidden": "true" });
  const hue = view.hues.get(cluster);
  mark.style.background = hue === undefined ? `rgb(${view.theme.none.join(" ")})` : HUES[view.theme.name][hue];
  return mark;
}

// What is known about a feature, in words.
function factsOf(view, i) {
  const { space } = view;
  const facts = [];
  const token = space.meta.top_tokens[i];
  if (token) facts.push(`fires most on ‘${token.trim() || token}’`);
  if (space.density && Number.isFinite(space.density[i])) facts.push(space.density[i] > 0 ? `fires on ${share(space.density[i])} of tokens` : "never fired in the corpus");
  if (space.lit) facts.push(space.lit.activation[i] > 0 ? `${brief(space.lit.activation[i])} on your sentence` : "silent on your sentence");
  return facts;
}

function share(value) {
  return value >= 0.001 ? `${brief(100 * value)} %` : `1 in ${Math.round(1 / value).toLocaleString("en-US")}`;
}
