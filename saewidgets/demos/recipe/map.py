"""``python -m saewidgets.demos.recipe.map``: the demo's map, shipped so that ``s.map()`` opens at once."""

from __future__ import annotations

from pathlib import Path

from saewidgets.analysis.atlas import kept_atlas, kept_medians, progress
from saewidgets.analysis.space import Distances
from saewidgets.demos import DATA, demo
from saewidgets.records import FeatureSpace
from saewidgets.session import Session


def build(session: Session, folder: Path = DATA / "map") -> FeatureSpace:
    """Make the map of the session's SAE and its logit medians in ``folder``; files of other weights are removed.

    What is there already for the same weights and parameters is kept, not made again.
    """
    sae_hash, model_hash = session.sae.hash(), session.model.hash()
    homes = (folder,)
    distances = Distances(
        session.model,
        session.sae,
        session.hook_name,
        session.index,
        lambda measure: kept_medians(measure, sae_hash, model_hash, homes),
    )
    with progress() as step:
        distances.by("logit", step)
        space = kept_atlas(distances, sae_hash, homes, step)
    for path in folder.iterdir():
        if sae_hash not in path.name:
            path.unlink()
    return space


def main() -> None:
    """Build the map of the demo as it is shipped now, and say how good it is."""
    space = build(demo())
    clustered = float((space.cluster >= 0).mean())
    print(f"{len(space):,} features, {len(space.cluster_names):,} clusters holding {clustered:.0%} of them")
    print(f"trustworthiness {space.trustworthiness:.3f}, neighbour recall {space.neighbor_recall:.3f}")
    print(*(f"{path.stat().st_size / 1e6:.1f} MB  {path}" for path in sorted((DATA / "map").iterdir())), sep="\n")


if __name__ == "__main__":
    main()
