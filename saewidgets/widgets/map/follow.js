// Size and theme of the page around the map.
function followSize(view, signal) {
  const watcher = new ResizeObserver(() => {
    const before = { ...view.camera };
    fitCanvases(view);
    if (!view.space || view.camera.width < 2) return;
    const atHome = before.scale === view.camera.home.scale || before.width < 2;
    view.camera.setHome(homeOf(view.space));
    view.camera.jump(atHome ? view.camera.home : before);
    view.paintNow();
  });
  watcher.observe(view.plane);
  signal.addEventListener("abort", () => watcher.disconnect());
}

// Hosts tell of their theme by attributes of the page, systems by a media query.
function followTheme(changed, signal) {
  // Some hosts name a theme before its stylesheet has arrived.
  const later = () => [60, 600].forEach((ms) => setTimeout(() => signal.aborted || changed(), ms));
  const watcher = new MutationObserver(later);
  for (const node of [document.documentElement, document.body]) watcher.observe(node, { attributes: true, attributeFilter: ["class", "theme", "data-jp-theme-light", "data-vscode-theme-kind"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later, { signal });
  signal.addEventListener("abort", () => watcher.disconnect());
}
