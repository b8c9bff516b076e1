// Two dimensions: planted directions as rays, learnt features as arrows that swing onto them, samples as a cloud.
const SWING_MS = 160;
const RADIUS = 1.3;

function createDisc(view, store) {
  const cloud = make("canvas", { class: "saew-cloud", "aria-hidden": "true" });
  const svg = svgNode("svg", { viewBox: `${-RADIUS} ${-RADIUS} ${2 * RADIUS} ${2 * RADIUS}`, class: "saew-disc-plot", role: "img" });
  const square = make("div", { class: "saew-disc-square" }, cloud, svg);
  const keys = make("figcaption", { class: "saew-faint" }, "rays: planted directions  ·  arrows: learnt features  ·  dots: samples");
  const node = make("figure", { class: "saew-disc" }, square, keys);
  let rays = null;
  let arrows = [];
  let angles = null;
  let moving = 0;

  function build() {
    const { n, d, planted } = store;
    rays = Array.from({ length: n }, (_, i) => {
      const [x, y] = [planted[2 * i], -planted[2 * i + 1]];
      const ray = svgNode("g");
      ray.append(svgNode("path", { d: `M0 0L${x} ${y}`, class: "saew-ray" }), svgNode("circle", { cx: x, cy: y, r: 0.032, class: "saew-end" }));
      if (n <= 24) ray.append(svgNode("text", { x: 1.17 * x, y: 1.17 * y + 0.035, "text-anchor": "middle" }, String(i)));
      return ray;
    });
    arrows = Array.from({ length: d }, () => svgNode("path", { d: "M0 0H0.8M0.8 0L0.8 0.036L0.93 0L0.8 -0.036Z" }));
    svg.replaceChildren(svgNode("circle", { r: 1, class: "saew-circle" }), ...rays, ...arrows);
    paintCloud();
  }

  function paintCloud() {
    const size = Math.round(square.getBoundingClientRect().width * (window.devicePixelRatio || 1));
    if (!size || !store.points) return;
    cloud.width = cloud.height = size;
    const norms = Array.from({ length: store.points.length / 2 }, (_, i) => Math.hypot(store.points[2 * i], store.points[2 * i + 1])).sort((a, b) => a - b);
    // The longest few samples may leave the disc.
    const scale = 0.95 / (norms[Math.floor(0.97 * norms.length)] || 1);
    const ink = cloud.getContext("2d");
    ink.fillStyle = "rgba(128, 134, 145, 0.42)";
    const radius = Math.max(1, size / 420);
    for (let i = 0; i < norms.length; i++) {
      const at = [store.points[2 * i] * scale, -store.points[2 * i + 1] * scale].map((value) => ((value + RADIUS) / (2 * RADIUS)) * size);
      ink.beginPath();
      ink.arc(at[0], at[1], radius, 0, 7);
      ink.fill();
    }
  }

  function turn(to) {
    arrows.forEach((arrow, i) => arrow.setAttribute("transform", `rotate(${(-to[i] * 180) / Math.PI})`));
    angles = to;
  }

  function swing(target) {
    cancelAnimationFrame(moving);
    if (!angles || matchMedia("(prefers-reduced-motion: reduce)").matches) return turn(target);
    const [from, began] = [angles, performance.now()];
    const ways = target.map((angle, i) => ((angle - from[i] + 5 * Math.PI) % (2 * Math.PI)) - Math.PI);
    const step = (now) => {
      const share = Math.min(1, Math.max(0, (now - began) / SWING_MS));
      turn(share < 1 ? from.map((angle, i) => angle + share * ways[i]) : target);
      if (share < 1 && !view.signal.aborted) moving = requestAnimationFrame(step);
    };
    moving = requestAnimationFrame(step);
  }

  const watcher = new ResizeObserver(() => rays && paintCloud());
  watcher.observe(square);
  view.signal.addEventListener("abort", () => {
    watcher.disconnect();
    cancelAnimationFrame(moving);
  });
  return {
    node,
    paint(frame, words) {
      if (!rays) build();
      const on = new Set();
      for (let i = 0; i < store.n; i++) {
        rays[i].setAttribute("class", `saew-planted saew-${judge(store, frame.matched[i])}`);
        if (frame.matched[i] >= store.recovered) on.add(frame.best[i]);
      }
      arrows.forEach((arrow, j) => arrow.setAttribute("class", `saew-arrow${on.has(j) ? " saew-on" : ""}`));
      swing(Array.from({ length: store.d }, (_, j) => Math.atan2(frame.decoder[2 * j + 1], frame.decoder[2 * j])));
      svg.setAttribute("aria-label", `Planted directions as rays, learnt features as arrows. ${words}.`);
    },
    point(row) {
      rays?.forEach((ray, i) => ray.classList.toggle("saew-pointed", row !== null && store.order[row] === i));
    },
  };
}
