// A box in the browser's top layer, where no notebook cell clips it.
function floating(root, className, attributes = {}) {
  const box = make("div", { class: `saew-float ${className}`, popover: "manual", ...attributes });
  root.append(box);
  return box;
}

function showAt(box, anchor, below = false) {
  if (!box.isConnected) return;
  if (box.showPopover) {
    if (!box.matches(":popover-open")) box.showPopover();
  } else box.classList.add("saew-open");
  const size = box.getBoundingClientRect();
  const page = { width: document.documentElement.clientWidth, height: window.innerHeight };
  const above = anchor.top - size.height - 8;
  const under = anchor.bottom + 8;
  const fits = below ? under + size.height <= page.height : above < 4;
  box.style.top = `${Math.max(4, fits ? under : above)}px`;
  const left = below ? anchor.right - size.width : anchor.left;
  box.style.left = `${Math.max(4, Math.min(left, page.width - size.width - 8))}px`;
}

function hide(box) {
  if (box.showPopover) {
    if (box.matches(":popover-open")) box.hidePopover();
  } else box.classList.remove("saew-open");
}
