// State, progress and buttons of a run.
const STATES = {
  waiting: { word: "Waiting", icon: "dots", tone: "pending" },
  running: { word: "Training", icon: "dots", tone: "running" },
  paused: { word: "Paused", icon: "pause", tone: "amber" },
  finished: { word: "Finished", icon: "check", tone: "green" },
  stopped: { word: "Stopped", icon: "stop", tone: "unchecked" },
  failed: { word: "Failed", icon: "cross", tone: "red" },
};
const SURE_MS = 6000;
const SLIP_MS = 400;
const SILENCE_S = 30;

// A press waits for the run's answer; a second press of the same meaning is not sent.
function createButtons(view, announce) {
  const hold = button({ class: "saew-tool saew-hold" });
  const stop = button({ class: "saew-tool saew-stop" });
  const why = make("span", { class: "saew-faint saew-why" });
  const node = make("div", { class: "saew-run-buttons" }, hold, stop, why);
  let asked = "";
  let armed = 0;
  let timer = 0;

  function disarm() {
    clearTimeout(timer);
    armed = 0;
    paint();
  }

  function ask(what) {
    asked = what;
    view.tell(what);
    disarm();
  }

  function paint() {
    const { state } = view.status;
    const going = view.live && ["running", "paused"].includes(state);
    // Hiding a focused button would throw the keyboard out of the widget.
    if (!going && node.contains(document.activeElement)) view.root.focus();
    hold.hidden = stop.hidden = !going;
    why.textContent = !view.live && !view.over() ? "A saved page: the training cannot be steered from here." : "";
    const paused = state === "paused";
    hold.replaceChildren(icon(paused ? "play" : "pause"), asked === "pause" ? "Pausing…" : asked === "resume" ? "Resuming…" : paused ? "Resume" : "Pause");
    stop.replaceChildren(icon("stop"), asked === "stop" ? "Stopping…" : armed ? "Press again to stop" : "Stop and keep");
    hold.title = paused ? "Go on training" : "Hold the training after this step";
    stop.title = "End the training now and keep what was learnt";
    stop.classList.toggle("saew-armed", !!armed);
    for (const node of [hold, stop]) node.setAttribute("aria-disabled", String(asked !== ""));
  }

  listen(hold, "click", () => asked || ask(view.status.state === "paused" ? "resume" : "pause"), view.signal);
  listen(stop, "click", (event) => {
    if (asked) return;
    if (armed && event.timeStamp - armed > SLIP_MS) {
      ask("stop");
    } else if (!armed) {
      armed = event.timeStamp;
      paint();
      announce("Press again to stop the training and keep what was learnt.");
      timer = setTimeout(disarm, SURE_MS);
    }
  }, view.signal);
  listen(node, "keydown", (event) => event.key === "Escape" && armed && disarm(), view.signal);
  view.signal.addEventListener("abort", () => clearTimeout(timer));
  return {
    node,
    paint,
    answered() {
      asked = "";
      paint();
    },
  };
}

function createProgress(view) {
  const fill = make("span", { class: "saew-fill" });
  const bar = make("div", { class: "saew-bar", role: "progressbar", "aria-label": "Tokens trained on", "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
  const share = make("span", { class: "saew-num saew-share" });
  return {
    node: make("div", { class: "saew-progress" }, bar, share),
    paint() {
      const { total_tokens: total, state } = view.status;
      const tokens = lastOf(view.history, "tokens") || 0;
      // The last batch need not be a full one, and a text may end early: finished is finished.
      const done = state === "finished" ? 1 : total > 0 ? Math.min(1, tokens / total) : 0;
      fill.style.transform = `scaleX(${done})`;
      share.textContent = percent(done < 1 ? Math.floor(done * 100) / 100 : 1);
      bar.setAttribute("aria-valuenow", String(Math.floor(100 * done)));
      bar.setAttribute("aria-valuetext", `${wholeCount(tokens)} of ${wholeCount(total)} tokens`);
    },
  };
}

// What the clock says now: between two rows it goes on by itself while the training runs.
function timesOf(view) {
  const { state, total_tokens: total } = view.status;
  const since = view.live && state === "running" && view.history.size ? (performance.now() - view.heard) / 1000 : 0;
  const elapsed = (lastOf(view.history, "seconds") || 0) + Math.min(since, SILENCE_S);
  const left = (total - lastOf(view.history, "tokens")) / rateOf(view.history) - since;
  return { elapsed, left, since };
}

function factsOf(view) {
  const { history, status } = view;
  const { elapsed, left } = timesOf(view);
  const tokens = lastOf(history, "tokens") || 0;
  const facts = [["Tokens", `${shortCount(tokens)} of ${shortCount(status.total_tokens)}`], ["Speed", history.size ? `${wholeCount(rateOf(history))} tokens/s` : "–"]];
  facts.push([view.over() ? "Took" : "Elapsed", clock(elapsed)]);
  if (!view.over()) facts.push(["Time left", status.state === "waiting" ? "–" : roughly(left)]);
  return facts;
}

function createStrip(view, { compact = false, announce }) {
  const chip = make("span", { class: "saew-state" });
  const title = make("h3", { class: "saew-run-title" });
  const buttons = createButtons(view, announce);
  const progress = createProgress(view);
  const facts = make("dl", { class: "saew-facts" });
  const detail = make("p", { class: "saew-faint saew-detail" });
  const problem = make("p", { class: "saew-problem", role: "alert", hidden: true });
  let said = "";
  let trouble = "";

  function paintStatus() {
    const { state, error } = view.status;
    const shown = STATES[state] || { word: state, icon: "ring", tone: "unchecked" };
    chip.className = `saew-state saew-${shown.tone}`;
    chip.replaceChildren(icon(shown.icon), view.live || view.over() ? shown.word : `${shown.word} when saved`);
    title.textContent = view.status.title;
    const text = trouble || (state === "failed" ? error || "The training failed." : "");
    problem.hidden = !text;
    if (problem.textContent !== text) problem.textContent = text;
    buttons.paint();
    view.root.dataset.state = state;
    if (said && said !== state) announce(state === "failed" ? "" : `${shown.word}.`);
    said = state;
  }

  function paint() {
    const list = factsOf(view);
    if (compact) list.push(["FVU", brief(lastOf(view.history, "fvu"))]);
    // Changed in place, so that a value can be selected while they tick.
    while (facts.children.length > list.length) facts.lastChild.remove();
    list.forEach(([name, value], i) => {
      const row = facts.children[i] || facts.appendChild(make("div", {}, make("dt"), make("dd", { class: "saew-num" })));
      if (row.firstChild.textContent !== name) row.firstChild.textContent = name;
      if (row.lastChild.textContent !== value) row.lastChild.textContent = value;
    });
    progress.paint();
    const { since } = timesOf(view);
    detail.textContent = since > SILENCE_S ? `No news for ${clock(since)}. ${view.status.detail}` : view.status.detail;
  }

  const ticker = setInterval(() => view.live && view.status.state === "running" && paint(), 1000);
  view.signal.addEventListener("abort", () => clearInterval(ticker));
  const head = make("div", { class: "saew-run-head" }, make("div", { class: "saew-run-names" }, chip, compact ? null : title), compact ? progress.node : null, buttons.node);
  return {
    node: make("header", { class: `saew-run${compact ? " saew-compact" : ""}` }, head, compact ? null : progress.node, make("div", { class: "saew-run-line" }, facts, detail), problem),
    paint,
    paintStatus() {
      buttons.answered();
      paintStatus();
      paint();
    },
    fail(text) {
      trouble = text;
      buttons.answered();
      paintStatus();
    },
    heal() {
      if (!trouble) return;
      trouble = "";
      paintStatus();
    },
  };
}
