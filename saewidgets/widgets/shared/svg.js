// SVG nodes; text goes in as text only.
const SVG_SPACE = "http://www.w3.org/2000/svg";

function svgNode(tag, attributes = {}, text = null) {
  const node = document.createElementNS(SVG_SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== null) node.textContent = text;
  return node;
}
