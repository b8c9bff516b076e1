// The trust badge: an icon and a word, never a colour alone; a click shows what was measured.
const VERDICTS = {
  green: { word: "fits", icon: "check" },
  amber: { word: "may not fit", icon: "warn" },
  red: { word: "does not fit", icon: "cross" },
  pending: { word: "checking…", icon: "dots" },
  unchecked: { word: "not checked", icon: "ring" },
};
const JUDGED = { green: "as expected", amber: "doubtful", red: "not as expected" };

function verdictOf(badge) {
  return VERDICTS[badge.status] || VERDICTS.unchecked;
}

function findingsTable(findings) {
  const rows = findings.map((finding) => {
    const verdict = verdictOf(finding);
    const mark = make("span", { class: `saew-mark saew-${finding.status}`, role: "img", "aria-label": JUDGED[finding.status] }, icon(verdict.icon));
    const value = finding.value === null ? "not a number" : brief(finding.value);
    return make("tr", {},
      make("th", { scope: "row" }, mark, make("span", {}, finding.name)),
      make("td", { class: "saew-num" }, value),
      make("td", {}, finding.expected),
      make("td", { class: "saew-cause" }, finding.cause || ""));
  });
  const heads = ["Measured", "Value", "Expected", "Likely cause"].map((name) => make("th", { scope: "col" }, name));
  return make("table", { class: `saew-findings${findings.some((finding) => finding.cause) ? "" : " saew-no-cause"}` }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
}

function trustBadge(model, root, signal) {
  const chip = button({ class: "saew-badge", "aria-haspopup": "dialog", "aria-expanded": "false" });
  const box = floating(root, "saew-trust-box", { role: "dialog", "aria-label": "Does this SAE fit this model?", tabindex: "-1" });
  let open = false;
  const paint = () => {
    const badge = model.get("badge");
    const verdict = verdictOf(badge);
    chip.className = `saew-badge saew-${badge.status}`;
    chip.replaceChildren(icon(verdict.icon), verdict.word);
    chip.setAttribute("aria-label", `SAE and model: ${verdict.word}. ${badge.summary || ""}`);
    const findings = badge.findings || [];
    box.replaceChildren(make("p", { class: "saew-summary" }, badge.summary || verdict.word), ...(findings.length ? [findingsTable(findings)] : []));
  };
  const close = (refocus) => {
    open = false;
    hide(box);
    chip.setAttribute("aria-expanded", "false");
    if (refocus) chip.focus();
  };
  listen(chip, "click", () => {
    if (open) return close(false);
    open = true;
    chip.setAttribute("aria-expanded", "true");
    showAt(box, chip.getBoundingClientRect(), true);
    box.focus();
  }, signal);
  listen(box, "keydown", (event) => event.key === "Escape" && close(true), signal);
  listen(document, "pointerdown", (event) => {
    const path = event.composedPath();
    if (open && !path.includes(box) && !path.includes(chip)) close(false);
  }, signal);
  document.addEventListener("scroll", () => open && close(false), { signal, capture: true });
  watch(model, "change:badge", paint, signal);
  paint();
  return chip;
}
