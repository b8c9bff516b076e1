"""Feature spaces with planted groups: what a layout of a real dictionary looks like, made in a second."""

from __future__ import annotations

import numpy as np

from saewidgets.records import FeatureSpace, NeighborTable, Provenance

THEMES = (
    "San Francisco landmarks|Golden Gate Bridge|Alcatraz|Ghirardelli Square|Fisherman’s Wharf|Presidio|Lombard Street",
    "Contracts and law|liability clauses|governing law|breach of contract|indemnity|severability|notice periods",
    "Python code|def and class|import lines|list comprehensions|exceptions|decorators|f-strings",
    "Scripture|Psalms|Gospel of John|commandments|parables|prophets|epistles",
    "Cooking|baking bread|sauces|spices|roasting|measures|desserts",
    "Grief and comfort|condolences|loss|mourning|memory|solace|farewell",
    "Chemistry|organic acids|bonds|catalysts|alloys|isotopes|solvents",
    "Football|goals|transfers|referees|stadiums|league tables|managers",
    "Space travel|launches|orbits|astronauts|probes|telescopes|lunar bases",
    "Medicine|dosage|symptoms|surgery|vaccines|diagnosis|side effects",
    "Poetry|rhyme|sonnets|metre|odes|free verse|ballads",
    "French words|articles|verbs|greetings|numbers|accents|pronouns",
)
WORDS = ("first", "late", "formal", "quoted", "plural", "long", "in lists", "after a comma", "headings", "spoken")


def dictionary(n: int, d_in: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit decoder vectors ``[n, d_in]`` in planted groups, and the group of each, -1 for none."""
    noise = np.random.default_rng(seed)
    groups = max(4, n // 45)
    centres = noise.normal(size=(groups, d_in))
    size = noise.pareto(1.6, groups) + 0.4
    group = noise.choice(groups, n, p=size / size.sum())
    vectors = centres[group] + 0.55 * noise.normal(size=(n, d_in))
    alone = noise.random(n) < 0.25
    vectors[alone] = noise.normal(size=(int(alone.sum()), d_in))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.where(alone, -1, group)


def nearest(vectors: np.ndarray, k: int) -> NeighborTable:
    """Exact nearest by cosine distance, a block of rows at a time."""
    indices, distances = [], []
    for start in range(0, len(vectors), 1024):
        away = 1 - vectors[start : start + 1024] @ vectors.T
        away[np.arange(len(away)), np.arange(start, start + len(away))] = np.inf
        part = np.argpartition(away, k - 1, axis=1)[:, :k]
        value = np.take_along_axis(away, part, axis=1)
        order = np.argsort(value, axis=1, kind="stable")
        indices.append(np.take_along_axis(part, order, axis=1))
        distances.append(np.take_along_axis(value, order, axis=1))
    return NeighborTable(np.concatenate(indices).astype(np.int32), np.concatenate(distances).astype(np.float32))


def plane(group: np.ndarray, seed: int = 0) -> np.ndarray:
    """Islands of the groups on a disc, strays between them."""
    noise = np.random.default_rng(seed)
    groups = int(group.max()) + 1
    angle, reach = noise.random(groups) * 2 * np.pi, 10 * np.sqrt(noise.random(groups))
    centre = np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)
    sizes = np.maximum(1, np.bincount(group[group >= 0], minlength=groups))
    bent = noise.normal(size=(groups, 2, 2))
    xy = 10.5 * np.sqrt(noise.random(len(group)))[:, None] * unit(noise.random(len(group)) * 2 * np.pi)
    inside = group >= 0
    spread = 0.05 * np.sqrt(sizes[group[inside]])[:, None] * noise.normal(size=(int(inside.sum()), 2))
    xy[inside] = centre[group[inside]] + np.einsum("nij,nj->ni", bent[group[inside]], spread) * 0.8
    return xy.astype(np.float32)


def unit(angle: np.ndarray) -> np.ndarray:
    """Points on the unit circle."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def make_space(n: int = 2000, k: int = 30, seed: int = 0, tables: bool = True) -> FeatureSpace:
    """A feature space of ``n`` features with everything known about it."""
    noise = np.random.default_rng(seed + 1)
    vectors, group = dictionary(n, seed=seed)
    xy = plane(group, seed)
    names, labels, tokens = named(group, noise)
    density = np.exp(noise.normal(-7.5, 1.3, n)).clip(1e-6, 0.2).astype(np.float32)
    density[noise.random(n) < 0.01] = 0
    trust = np.where(group >= 0, noise.beta(12, 1.2, n), noise.beta(3, 2, n)).astype(np.float32)
    known = {"decoder": nearest(vectors, k)} if tables else {}
    return FeatureSpace(
        xy=xy,
        cluster=group.astype(np.int32),
        cluster_names=names,
        tables=known,
        planar=planar(xy, vectors, 12) if tables else None,
        trust=trust,
        recall=(0.9 * trust).astype(np.float32),
        trustworthiness=0.962,
        neighbor_recall=0.81,
        density=density,
        labels=labels,
        label_scores=noise.beta(4, 2, n).astype(np.float32),
        top_tokens=tokens,
        provenance=Provenance("SmolLM2-135M-Instruct", f"planted groups, d_sae {n}", "blocks.10.hook_resid_post"),
    )


def planar(xy: np.ndarray, vectors: np.ndarray, k: int) -> NeighborTable:
    """The nearest in the plane, with true distances and ranks."""
    indices, distances, ranks = [], [], []
    for i in range(len(xy)):
        off = ((xy - xy[i]) ** 2).sum(axis=1)
        off[i] = np.inf
        part = np.argpartition(off, k)[:k]
        part = part[np.argsort(off[part], kind="stable")]
        away = 1 - vectors @ vectors[i]
        away[i] = np.inf
        indices.append(part)
        distances.append(away[part])
        ranks.append([1 + int((away < away[j]).sum()) for j in part])
    return NeighborTable(np.array(indices, np.int32), np.array(distances, np.float32), np.array(ranks, np.int32))


def named(group: np.ndarray, noise: np.random.Generator) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Names of the clusters, labels and top tokens of the features."""
    groups = int(group.max()) + 1
    names, members = [], []
    for number in range(groups):
        title, *topics = THEMES[number % len(THEMES)].split("|")
        names.append(title if number < len(THEMES) else f"{topics[(number // len(THEMES)) % 6]}, {WORDS[number % 10]}")
        members.append(topics)
    labels, tokens = [], []
    for number in group.tolist():
        topics = members[number] if number >= 0 else members[int(noise.integers(groups))]
        topic = topics[int(noise.integers(len(topics)))]
        detail = WORDS[int(noise.integers(len(WORDS)))]
        labels.append("" if noise.random() < 0.1 else topic if noise.random() < 0.25 else f"{topic}, {detail}")
        tokens.append(" " + topic.split()[-1])
    return tuple(names), tuple(labels), tuple(tokens)
