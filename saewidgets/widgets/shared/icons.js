// 16 × 16 line icons, drawn with the colour of the text beside them.
const ICONS = {
  check: "M3.5 8.5l3 3 6-7",
  warn: "M8 5.5v3.2M8 11.2v.1M8 2.2l6 10.8H2z",
  cross: "M4.5 4.5l7 7M11.5 4.5l-7 7",
  dots: "M3.5 8v.01M8 8v.01M12.5 8v.01",
  ring: "M8 3.5a4.5 4.5 0 1 0 .01 0",
  pencil: "M10.6 3.2l2.2 2.2-7.4 7.4-2.9.7.7-2.9z",
  pilcrow: "M11.5 3H7a2.6 2.6 0 0 0 0 5.2h1.4M8.4 3v10M11 3v10",
  back: "M9.5 4L5.5 8l4 4",
  play: "M5 3.2l7.5 4.8L5 12.8z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  up: "M4 10l4-4 4 4",
  down: "M4 6l4 4 4-4",
  list: "M3 4.5h10M3 8h10M3 11.5h10",
  random: "M2.5 4.8h2.2l5.6 6.4h3M2.5 11.2h2.2l1.6-1.9M8.6 6.7l1.7-1.9h3M11.6 3l1.9 1.8-1.9 1.8M11.6 9.4l1.9 1.8-1.9 1.8",
  stop: "M4.2 4.2h7.6v7.6H4.2z",
};

function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "saew-icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}
