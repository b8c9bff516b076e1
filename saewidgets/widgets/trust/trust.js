// The trust panel: a verdict, what it rests on, and where the numbers come from.
const HEADLINES = {
  green: "This SAE fits this model",
  amber: "This SAE may not fit this model",
  red: "This SAE does not fit this model",
  pending: "Checking whether this SAE fits this model",
  unchecked: "Not checked yet",
};

function render({ model, el }) {
  const stop = new AbortController();
  const root = make("section", { class: "saew saew-trust", "aria-label": "Does this SAE fit this model?" });

  function paint() {
    const badge = model.get("badge");
    const headline = HEADLINES[badge.status] || HEADLINES.unchecked;
    const seal = make("span", { class: `saew-seal saew-${badge.status}` }, icon(verdictOf(badge).icon));
    const findings = badge.findings || [];
    const good = findings.filter((finding) => finding.status === "green").length;
    const counted = findings.length ? `${good} of ${findings.length} measures as expected` : "";
    const tokens = badge.n_tokens ? `measured on ${count(badge.n_tokens, "token")} of text` : "";
    // The summary repeats the headline where all is well; what it adds otherwise is the cause.
    const cause = badge.status === "green" ? "" : (badge.summary || "").replace(headline, "").replace(/^[:.]\s*/, "");
    root.replaceChildren(
      make("header", { class: "saew-verdict" }, seal,
        make("div", {}, make("h3", {}, headline), cause ? make("p", { class: "saew-why" }, cause) : null,
          make("p", { class: "saew-faint" }, [counted, tokens].filter(Boolean).join(", ")))),
      ...(findings.length ? [make("div", { class: "saew-scroll" }, findingsTable(findings))] : []),
      ...(model.get("_source") ? [make("footer", { class: "saew-source" }, model.get("_source"))] : []));
  }

  watch(model, "change:badge", paint, stop.signal);
  watch(model, "change:_source", paint, stop.signal);
  paint();
  el.append(root);
  return () => {
    stop.abort();
    root.remove();
  };
}
