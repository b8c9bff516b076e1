"""Layout, clusters and faithfulness: on planted groups, and against scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_rand_score

from saewidgets.geometry import faithfulness as module
from saewidgets.geometry import files
from saewidgets.geometry.clusters import by_size, clusters, names
from saewidgets.geometry.faithfulness import faithfulness
from saewidgets.geometry.layout import layout, principal
from saewidgets.geometry.neighbors import nearest
from saewidgets.geometry.similarity import Cosine
from saewidgets.records import FeatureSpace, NeighborTable

from . import brute

GROUPS, MEMBERS = 24, 12


def planted(seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """A dictionary of known groups: members at cosine 0.85 or so with their group's direction, groups unrelated."""
    noise = torch.Generator().manual_seed(seed)
    group = torch.arange(GROUPS * MEMBERS) % GROUPS
    centres = torch.nn.functional.normalize(torch.randn(GROUPS, 64, generator=noise), dim=1)
    return centres[group] + 0.6 / 8 * torch.randn(len(group), 64, generator=noise), group.numpy()


@pytest.fixture(scope="module")
def world() -> tuple[Cosine, np.ndarray, NeighborTable]:
    x, group = planted()
    measure = Cosine(x)
    return measure, group, nearest(measure, 15)


@pytest.fixture(scope="module")
def xy(world: tuple[Cosine, np.ndarray, NeighborTable]) -> np.ndarray:
    measure, _, table = world
    return layout(table, principal(measure.units(), 2))


# ---- planted truth -----------------------------------------------------------------------------------------------


def test_neighbours_are_of_the_same_group(world: tuple[Cosine, np.ndarray, NeighborTable]) -> None:
    _, group, table = world
    own = group[table.indices[:, : MEMBERS - 1]] == group[:, None]
    assert own.mean() >= 0.95


def test_groups_are_seen_in_the_plane(world: tuple[Cosine, np.ndarray, NeighborTable], xy: np.ndarray) -> None:
    _, group, _ = world
    away = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    np.fill_diagonal(away, np.inf)
    nearest_drawn = np.argsort(away, axis=1)[:, : MEMBERS - 1]
    assert (group[nearest_drawn] == group[:, None]).mean() >= 0.95
    own = (group[:, None] == group[None]) & np.isfinite(away)
    assert np.median(away[own]) < 0.2 * np.median(away[np.isfinite(away)])


def test_clusters_are_the_groups(world: tuple[Cosine, np.ndarray, NeighborTable]) -> None:
    measure, group, table = world
    points = layout(table, principal(measure.units(), 10), min_dist=0.1)
    found = clusters(points)
    assert adjusted_rand_score(group, found) >= 0.9
    sizes = np.bincount(found[found >= 0])
    assert (np.diff(sizes) <= 0).all()


def test_the_same_bits_every_time(world: tuple[Cosine, np.ndarray, NeighborTable], xy: np.ndarray) -> None:
    measure, _, table = world
    start = principal(measure.units(), 2)
    assert layout(table, start).tobytes() == xy.tobytes()
    assert layout(table, start, seed=1).tobytes() != xy.tobytes()


def test_features_without_a_direction_are_drawn_apart(world: tuple[Cosine, np.ndarray, NeighborTable]) -> None:
    x, _ = planted()
    x[[0, 77]] = 0
    measure = Cosine(x)
    found = layout(nearest(measure, 10), principal(measure.units(), 2))
    rest = np.setdiff1d(np.arange(len(x)), [0, 77])
    assert np.isfinite(found).all()
    assert (found[[0, 77], 1] < found[rest, 1].min()).all()


def test_a_layout_can_be_stopped_half_way(world: tuple[Cosine, np.ndarray, NeighborTable]) -> None:
    measure, _, table = world
    told: list[float] = []

    def stop(stage: str, share: float) -> None:
        told.append(share)
        if share > 0.3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        layout(table, principal(measure.units(), 2), step=stop)
    assert told == sorted(told)
    assert told[-1] < 0.9


def test_too_few_features_for_a_layout() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        layout(NeighborTable(np.full((4, 2), -1, np.int32), np.ones((4, 2), np.float32)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="10 components"):
        principal(torch.eye(4), 10)


# ---- faithfulness ------------------------------------------------------------------------------------------------


def cloud(n: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors and a plane that shows only their first two coordinates, so that much of it is false."""
    x = np.random.default_rng(seed).normal(size=(n, 6)) * [3, 2, 1, 1, 1, 1]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32), np.ascontiguousarray(x[:, :2], np.float32)


@pytest.mark.parametrize("k", [1, 5, 12])
def test_trustworthiness_is_scikit_learns(k: int) -> None:
    x, plane = cloud()
    measure = Cosine(torch.from_numpy(x))
    found = faithfulness(measure, nearest(measure, 20), plane, k)
    assert found.trustworthiness == pytest.approx(trustworthiness(x, plane, n_neighbors=k), abs=1e-6)
    assert found.trustworthiness == pytest.approx(float(found.trust.mean()), abs=1e-6)
    assert found.trustworthiness < 0.97


def test_every_point_by_hand() -> None:
    x, plane = cloud(60)
    measure, k = Cosine(torch.from_numpy(x)), 4
    found = faithfulness(measure, nearest(measure, 6), plane, k)
    alike = brute.cosines(x)
    for feature in range(len(x)):
        true = brute.order(alike, feature)
        drawn = sorted((j for j in range(60) if j != feature), key=lambda j: ((plane[j] - plane[feature]) ** 2).sum())
        places = [true.index(j) + 1 for j in drawn[:k]]
        assert found.planar.indices[feature].tolist() == drawn[:k]
        assert found.planar.ranks is not None
        assert found.planar.ranks[feature].tolist() == places
        np.testing.assert_allclose(found.planar.distances[feature], 1 - alike[feature, drawn[:k]], atol=2e-6)
        assert found.recall[feature] == pytest.approx(len(set(drawn[:k]) & set(true[:k])) / k)
        penalty = sum(place - k for place in places if place > k)
        assert found.trust[feature] == pytest.approx(1 - 2 * penalty / (k * (2 * 60 - 3 * k - 1)), abs=1e-6)


def test_a_sample_stands_for_a_large_map(monkeypatch: pytest.MonkeyPatch) -> None:
    x, plane = cloud()
    measure = Cosine(torch.from_numpy(x))
    table = nearest(measure, 10)
    whole = faithfulness(measure, table, plane, 5)
    monkeypatch.setattr(module, "LARGE", 100)
    monkeypatch.setattr(module, "SAMPLE", 60)
    part, again = (faithfulness(measure, table, plane, 5, seed=3) for _ in range(2))
    measured = ~np.isnan(part.trust)
    assert measured.sum() == 60
    np.testing.assert_array_equal(part.trust[measured], whole.trust[measured])
    np.testing.assert_array_equal(part.trust, again.trust)
    np.testing.assert_array_equal(part.recall, whole.recall)
    np.testing.assert_allclose(part.planar.distances, whole.planar.distances, atol=1e-6)
    ranks, true = part.planar.ranks, whole.planar.ranks
    assert ranks is not None and true is not None
    assert (ranks[measured] == true[measured]).all()
    unknown = ranks[~measured] == 0  # the rest is known where the table holds it
    assert (true[~measured][unknown] > 10).all()
    assert (ranks[~measured][~unknown] == true[~measured][~unknown]).all()


def test_points_on_one_spot_and_zero_rows() -> None:
    x, plane = cloud(40)
    plane[:20] = 0
    x[7] = 0
    measure = Cosine(torch.from_numpy(x))
    found = faithfulness(measure, nearest(measure, 5), plane, 5)
    rest = np.setdiff1d(np.arange(40), [7])
    assert np.isnan(found.trust[7]) and np.isnan(found.recall[7])
    assert (found.planar.indices[7] == -1).all()
    assert (found.planar.indices[rest] >= 0).all()
    assert (found.planar.indices[rest] != 7).all()
    assert (found.planar.indices[rest] != rest[:, None]).all()


def test_faithfulness_refuses_what_it_cannot_measure() -> None:
    x, plane = cloud(20)
    measure = Cosine(torch.from_numpy(x))
    with pytest.raises(ValueError, match="3 columns"):
        faithfulness(measure, nearest(measure, 3), plane, 4)
    with pytest.raises(ValueError, match="below half"):
        faithfulness(measure, nearest(measure, 12), plane, 10)


# ---- clusters and their names ------------------------------------------------------------------------------------


def test_numbers_go_by_size() -> None:
    assert by_size(np.array([4, -1, 0, 0, 4, 2, 2, 2])).tolist() == [1, -1, 2, 2, 1, 0, 0, 0]
    assert by_size(np.array([-1, -1])).tolist() == [-1, -1]
    assert clusters(np.zeros((4, 2))).tolist() == [-1] * 4


def test_names_are_what_members_share_and_others_lack() -> None:
    labels = ["Golden Gate bridge", "the old bridge", "bridge and river", "the cat", "a cat", "cats, the cat"]
    labels += ["", "the end"]
    cluster = np.array([0, 0, 0, 1, 1, 1, 2, -1])
    first, second, third = names(cluster, labels)
    assert first.split(", ")[0] == "bridge"
    assert second.split(", ")[0] == "cat"
    assert third == ""


def test_a_word_of_one_member_names_no_larger_group() -> None:
    labels = ["wine", "wine glass", "red wine", "wine bar"]
    assert names(np.zeros(4, np.int32), labels) == ("wine",)
    assert names(np.full(2, -1, np.int32), ["a", "b"]) == ()


# ---- files -------------------------------------------------------------------------------------------------------


def space_of(world: tuple[Cosine, np.ndarray, NeighborTable], xy: np.ndarray) -> FeatureSpace:
    measure, group, table = world
    trust = faithfulness(measure, table, xy, 15)
    cluster = group.astype(np.int32)
    named = tuple(f"grüppe {i}" for i in range(GROUPS))
    return FeatureSpace(xy, cluster, named, {"decoder": table}, parameters={"seed": 0}, **trust._asdict())


def test_a_map_comes_back_as_it_was(
    world: tuple[Cosine, np.ndarray, NeighborTable], xy: np.ndarray, tmp_path: Path
) -> None:
    space = space_of(world, xy)
    back = files.load(files.save(space, tmp_path / "new" / "map.npz"))
    assert back.frame.equals(space.frame)
    assert back.tables["decoder"].frame.equals(space.tables["decoder"].frame)
    assert back.planar is not None and space.planar is not None
    assert back.planar.frame.equals(space.planar.frame)
    assert (back.trustworthiness, back.parameters) == (space.trustworthiness, space.parameters)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["map.npz"]


def test_a_damaged_file_is_named(
    world: tuple[Cosine, np.ndarray, NeighborTable], xy: np.ndarray, tmp_path: Path
) -> None:
    path = files.save(space_of(world, xy), tmp_path / "map.npz")
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"hello", whole[:500] + bytes(64) + whole[564:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"map\.npz is not a whole map file"):
            files.load(path)
    with pytest.raises(FileNotFoundError):
        files.load(tmp_path / "none.npz")
