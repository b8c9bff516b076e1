// One view of a card: which feature it shows, where it may go, and how it asks the kernel.
const PAST = 200;

function createView(model, root, signal) {
  const view = { model, root, signal, id: crypto.randomUUID?.() ?? String(Math.random()), cards: createShelf(), card: null, feature: model.get("feature"), past: [], can: new Set(model.get("_can")), asked: 0 };
  view.set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };
  view.ask = (type, what) => model.send({ type, view: view.id, ...what });
  view.total = () => view.list?.list()?.total ?? 0;
  view.reaches = (feature) => view.cards.has(feature) || (view.can.has("load") && feature >= 0 && feature < view.total());
  view.go = (feature) => {
    if (feature !== null && feature !== view.feature && view.reaches(feature)) view.set("feature", feature);
  };
  view.beside = (step) => view.list?.beside(step) ?? null;
  view.step = (step) => view.go(view.beside(step));
  view.random = () => view.go(view.list.random());
  view.back = () => {
    const feature = view.past.pop();
    view.returning = feature !== undefined && feature !== view.feature && view.reaches(feature);
    if (view.returning) view.go(feature);
  };
  view.labelOf = (feature) => {
    const list = view.list?.list();
    const row = list?.rowOf(feature);
    return row === undefined ? undefined : list.labels[row];
  };
  view.ablate = (which, text = "") => {
    view.asked += 1;
    view.examples.overtaken(which);
    if (which !== TYPED) view.tester.part()?.overtaken();
    view.ask("ablate", { generation: view.asked, feature: view.feature, which, text });
  };
  view.interval = () => view.examples?.interval() ?? 0;
  return view;
}
