// Bars beside the picture of cosines, one a row; a path for each kind, stretched to the rows' height.
function createBars(className, kinds) {
  const svg = svgNode("svg", { class: `saew-bars ${className}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const paths = kinds.map((kind) => svgNode("path", { class: `saew-${kind}` }));
  const mark = svgNode("path", { class: "saew-threshold" });
  svg.append(...paths, mark);
  return {
    node: svg,
    // `valueOf(row)` from 0 to 1, `kindOf(row)` one of the kinds, `flip` for bars that grow to the left.
    paint(rows, valueOf, kindOf, { flip = false, threshold = null } = {}) {
      svg.setAttribute("viewBox", `0 0 100 ${rows}`);
      const gap = rows <= 90 ? 0.12 : 0;
      const parts = kinds.map(() => []);
      for (let row = 0; row < rows; row++) {
        const length = Math.max(0, Math.min(1, valueOf(row) || 0)) * 100;
        parts[kinds.indexOf(kindOf(row))].push(`M${flip ? 100 - length : 0} ${row + gap}h${length}v${1 - 2 * gap}h${-length}z`);
      }
      paths.forEach((path, i) => path.setAttribute("d", parts[i].join("")));
      mark.setAttribute("d", threshold === null ? "" : `M${100 * threshold} 0V${rows}`);
    },
  };
}
