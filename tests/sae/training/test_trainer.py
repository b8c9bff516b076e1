"""The trainer against the same formulas written plainly (`reference`), and what it promises about its state."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from saewidgets.sae.activations import JumpReLU, TopK
from saewidgets.sae.toy import planted
from saewidgets.sae.training import trainer as training
from saewidgets.sae.training.trainer import Diverged, Trainer, schedule

from .reference import Dense, normal

D_IN, D_SAE, K, BATCH = 6, 20, 3, 64


def activations(count: int = BATCH, seed: int = 0) -> Tensor:
    """Of a toy, moved off the origin and in units of their own."""
    return 7.0 * (planted(12, D_IN, active=2.0).sample(count, seed=seed)[0] + normal(D_IN, seed=99))


def new(first: Tensor | None = None, **changes: Any) -> Trainer:
    options: dict[str, Any] = {"d_sae": D_SAE, "k": K, "steps": 40, "lr": 1e-2, "dead_after": 10**9}
    options |= {"initial": "random", **changes}
    return Trainer(activations() if first is None else first, **options)


def learn(trainer: Trainer, steps: int, start: int = 0) -> Trainer:
    for number in range(start, start + steps):
        trainer.step(activations(seed=number))
    return trainer


def tensors(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.state()[0].items()}


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
@pytest.mark.parametrize("dead_after", [10**9, 100], ids=["all living", "with dead"])
def test_steps_are_those_of_the_plain_formulas(architecture: Any, dead_after: int) -> None:
    """Twelve steps: warm-up's first, the level, three of the decay; the parameters agree after each."""
    options: dict[str, Any] = {"d_sae": D_SAE, "k": K, "steps": 12, "lr": 1e-2, "dead_after": dead_after}
    ours = new(architecture=architecture, **options)
    plain = Dense(activations(), architecture=architecture, **options)
    with torch.no_grad():  # half of the features begin too low to be chosen, but not too low for the auxiliary loss
        ours.parameters["b_enc"][::2] -= 1.0
        plain.b_enc[::2] -= 1.0
    dead = []
    for number in range(12):
        x = activations(seed=number)
        loss = plain.step(x)
        ours.step(x)
        assert ours.figures["loss"] == pytest.approx(loss, rel=1e-4)
        assert ours.figures["fvu"] == pytest.approx(plain.fvu, rel=1e-4)
        assert torch.equal(ours.silent, plain.silent.long())
        for name, expected in zip(training.PARAMETERS, plain.parameters, strict=True):
            expected = expected.T if name == "W_enc" else expected
            torch.testing.assert_close(ours.parameters[name].double(), expected, rtol=1e-3, atol=2e-5)
        dead.append(int(ours.figures["dead"]))
    assert (max(dead) > 0) == (dead_after == 100)
    assert ours.figures["loss"] > ours.figures["fvu"] if dead[-1] else ours.figures["loss"] == ours.figures["fvu"]
    x = activations(seed=50)
    expected = plain.reconstruct(x).detach().float()
    if architecture == "topk":
        torch.testing.assert_close(ours.sae().reconstruct(x), expected, rtol=1e-3, atol=1e-2)
    else:
        assert ours.smallest == pytest.approx(plain.smallest[-1], rel=1e-4)


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_the_figures(architecture: Any) -> None:
    trainer = learn(new(architecture=architecture), 3)
    assert trainer.figures.keys() == {"step", "tokens", "loss", "fvu", "l0", "dead", "lr"}
    assert (trainer.step_number, trainer.tokens) == (3, 3 * BATCH)
    assert trainer.figures["lr"] == pytest.approx(1e-2 * schedule(2 / 40))
    assert 0 < trainer.figures["l0"] <= K
    assert all(isinstance(value, (int, float)) for value in trainer.figures.values())


def test_the_schedule() -> None:
    """Rises from a hundredth over 2 %, stands, and falls to nothing over the last 30 %."""
    assert schedule(0.0) == pytest.approx(0.01)
    assert schedule(0.01) == pytest.approx(0.51)
    assert [schedule(share) for share in (0.02, 0.3, 0.7)] == pytest.approx([1.0, 1.0, 1.0])
    assert schedule(0.85) == pytest.approx(0.5)
    assert schedule(1.0) == schedule(1.2) == 0.0


def test_decoder_rows_keep_unit_length() -> None:
    trainer = learn(new(), 5)
    torch.testing.assert_close(trainer.parameters["W_dec"].norm(dim=1), torch.ones(D_SAE))
    copy = trainer.directions()
    copy.zero_()
    assert trainer.directions().abs().sum() > 0


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_the_scale_folds_away(architecture: Any) -> None:
    """`sae` takes raw inputs: it gives what the trained parameters give on scaled ones, scaled back."""
    trainer = learn(new(architecture=architecture), 5)
    sae, x = trainer.sae(hook_name="here"), activations(seed=77)
    assert sae.hook_name == "here" and not any(t.requires_grad for t in sae.tensors().values())
    W_enc, b_enc, W_dec, b_dec = (trainer.parameters[name].detach() for name in training.PARAMETERS)
    pre = (x / trainer.scale - b_dec) @ W_enc.T + b_enc
    if architecture == "topk":
        assert sae.activation == TopK(K)
        keep = torch.zeros_like(pre).scatter(1, pre.topk(K, dim=1).indices, 1.0)
    else:
        assert isinstance(sae.activation, JumpReLU)
        keep = (pre > trainer.threshold).float()
    expected = trainer.scale * ((pre.relu() * keep) @ W_dec + b_dec)
    torch.testing.assert_close(sae.reconstruct(x), expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(sae.encode(x).dense(D_SAE), trainer.scale * pre.relu() * keep, rtol=1e-4, atol=1e-3)


def test_inputs_in_other_units_give_the_same_dictionary() -> None:
    """Times a power of two: every rounding is the same."""
    once, scaled = new(), new(8.0 * activations())
    for number in range(4):
        once.step(activations(seed=number))
        scaled.step(8.0 * activations(seed=number))
    mine, theirs = once.sae(), scaled.sae()
    assert torch.equal(mine.W_enc, theirs.W_enc) and torch.equal(mine.W_dec, theirs.W_dec)
    assert torch.equal(8.0 * mine.b_dec, theirs.b_dec) and torch.equal(8.0 * mine.b_enc, theirs.b_enc)


def test_what_sae_gives_does_not_move_when_training_goes_on() -> None:
    trainer = learn(new(), 2)
    sae = trainer.sae()
    before = sae.hash()
    learn(trainer, 2, start=2)
    assert sae.hash() == before != trainer.sae().hash()


@pytest.mark.parametrize("steps", [12, 60])
def test_the_jumprelu_lets_k_features_pass_on_fresh_data(steps: int) -> None:
    trainer = learn(new(d_sae=24, k=2, steps=steps), steps)
    x = activations(2000, seed=1234)
    values, _ = trainer.sae().encode(x)
    assert float((values > 0).sum(1).float().mean()) == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_state_and_restore_continue_bit_for_bit(architecture: Any) -> None:
    trainer = learn(new(architecture=architecture, dead_after=200), 4)
    kept, numbers = tensors(trainer), dict(trainer.state()[1])
    learn(trainer, 5, start=4)
    other = new(torch.ones(2, D_IN), architecture=architecture, dead_after=200, seed=3)
    other.restore(kept, numbers)
    assert (other.step_number, other.scale, other.tokens) == (4, numbers["scale"], 4 * BATCH)
    learn(other, 5, start=4)
    mine, theirs = tensors(other), tensors(trainer)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert other.state()[1] == trainer.state()[1]
    assert other.figures == trainer.figures


def test_restore_keeps_a_copy() -> None:
    trainer = learn(new(), 2)
    kept, numbers = tensors(trainer), dict(trainer.state()[1])
    before = {name: tensor.clone() for name, tensor in kept.items()}
    other = new()
    other.restore(kept, numbers)
    learn(other, 2, start=2)
    assert all(torch.equal(kept[name], before[name]) for name in kept)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_one_bad_number_ends_it_and_touches_no_parameter(bad: float, architecture: Any) -> None:
    trainer = learn(new(architecture=architecture), 3)
    before, sae = tensors(trainer), trainer.sae().hash()
    x = activations()
    x[5, 2] = bad
    with pytest.raises(Diverged, match=r"not finite at step 3.*NaN or infinity in the activations"):
        trainer.step(x)
    after = tensors(trainer)
    assert all(torch.equal(before[name], after[name]) for name in before if name != "silent")
    assert trainer.step_number == 3
    assert architecture == "batchtopk" or trainer.sae().hash() == sae


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
@pytest.mark.parametrize("lr", [3.0, 1e3, 1e38])
def test_divergence_ends_it(lr: float, architecture: Any) -> None:
    """Also where it never was better than the mean: with so few dimensions the first FVU is above 1."""
    with pytest.raises(Diverged, match="lower lr"):
        learn(new(lr=lr, architecture=architecture), 10)


def test_a_sudden_jump_in_the_loss_ends_it() -> None:
    trainer = learn(new(steps=400), 30)
    assert trainer.best_fvu < 0.9
    before = tensors(trainer)
    with torch.no_grad():
        trainer.parameters["b_dec"] += 100.0
    moved = tensors(trainer)
    with pytest.raises(Diverged, match="came apart at step 30"):
        trainer.step(activations())
    assert all(torch.equal(tensors(trainer)[name], moved[name]) for name in before if name != "silent")


def test_one_odd_batch_does_not_end_it() -> None:
    trainer = learn(new(steps=400), 30)
    trainer.step(activations() + normal(BATCH, D_IN, seed=5) * 6)
    learn(trainer, 2)


def test_dead_features_come_back() -> None:
    """Four features serve eight directions; the other twelve are never chosen but for the auxiliary loss."""

    def one_of_eight(seed: int) -> Tensor:
        which = torch.randint(8, (BATCH,), generator=torch.Generator().manual_seed(seed))
        return torch.eye(8)[which] * (1 + 0.2 * normal(BATCH, 1, seed=seed))

    fvu, living = {}, {}
    for dead_after in (100, 10**9):
        options: dict[str, Any] = {"d_sae": 16, "k": 1, "architecture": "topk", "steps": 100, "seed": 1}
        trainer = new(one_of_eight(0), dead_after=dead_after, **options)
        with torch.no_grad():
            trainer.parameters["b_enc"][4:] -= 2.0
        for seed in range(100):
            trainer.step(one_of_eight(seed))
        living[dead_after] = int((trainer.silent < 10 * BATCH).sum())
        fvu[dead_after] = trainer.figures["fvu"]
    assert living[100] > living[10**9]
    assert fvu[100] < 0.5 * fvu[10**9]


def test_the_auxiliary_gradient_is_the_dead_features_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The living see the main loss only: dead features take no gradient out of what was reconstructed."""

    def gradients(coefficient: float) -> dict[str, Tensor]:
        monkeypatch.setattr(training, "AUX_COEFFICIENT", coefficient)
        trainer = new(architecture="topk", dead_after=10)
        with torch.no_grad():
            trainer.parameters["b_enc"][:4] -= 1.0
        trainer.silent[:4] = 1000
        loss, _, _ = trainer._loss(activations(8 * BATCH) / trainer.scale)
        loss.backward()
        dead.append((trainer.silent > 10).nonzero().flatten().tolist())
        return {name: p.grad.clone() for name, p in trainer.parameters.items() if p.grad is not None}

    dead: list[list[int]] = []
    without, with_it = gradients(0.0), gradients(1.0)
    assert dead[0] == dead[1] and 0 < len(dead[0]) <= 4
    living = [i for i in range(D_SAE) if i not in dead[0]]
    for name in ("W_enc", "b_enc", "W_dec"):
        assert torch.equal(without[name][living], with_it[name][living])
        assert not without[name][dead[0]].any()
        assert with_it[name][dead[0]].any()
    assert torch.equal(without["b_dec"], with_it["b_dec"])


@pytest.mark.parametrize("k", [0, -1, D_SAE, D_SAE + 5])
def test_an_impossible_k(k: int) -> None:
    with pytest.raises(ValueError, match=f"k must be from 1 to d_sae − 1 = 19, got {k}"):
        new(k=k)


def test_an_unknown_architecture() -> None:
    with pytest.raises(ValueError, match="must be one of topk, batchtopk, got 'gated'"):
        new(architecture="gated")


@pytest.mark.parametrize(
    "first", [torch.zeros(0, 4), torch.ones(4), torch.full((3, 4), math.nan), torch.full((3, 4), math.inf)]
)
def test_an_impossible_first_batch(first: Tensor) -> None:
    with pytest.raises(ValueError, match="training needs finite activations"):
        new(first)


def test_activations_all_alike_are_told() -> None:
    with pytest.raises(Diverged, match="not finite"):
        new().step(torch.ones(8, D_IN))


def test_half_precision_activations_are_learnt_in_full() -> None:
    trainer = new(activations().bfloat16())
    trainer.step(activations().bfloat16())
    assert {p.dtype for p in trainer.parameters.values()} == {torch.float32}


def test_the_mixed_precision_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pre-activations in bfloat16, as under CUDA's autocast: the loss stays near, the parameters stay float32."""
    plain = learn(new(), 10)
    rounded: list[torch.dtype] = []

    def half(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
        out = torch.nn.functional.linear(x.bfloat16(), W.bfloat16(), b.bfloat16())
        rounded.append(out.dtype)
        return out

    monkeypatch.setattr(training, "_encoded", half)
    mixed = learn(new(), 10)
    assert rounded == [torch.bfloat16] * 10
    assert mixed.figures["fvu"] == pytest.approx(plain.figures["fvu"], rel=0.05)
    assert {p.dtype for p in mixed.parameters.values()} == {torch.float32}


def test_products_allowed_in_bfloat16_learn_the_same() -> None:
    """torch's own switch for faster float32 products; where a processor has no bfloat16 it changes nothing."""
    options: dict[str, Any] = {"d_sae": 256, "k": 8, "steps": 60}
    x = planted(128, 32, active=4.0).sample(2048, seed=0)[0]
    full, fast = new(x, **options), new(x, **options)
    for part in x.split(64):
        full.step(part)
    torch.set_float32_matmul_precision("medium")
    try:
        for part in x.split(64):
            fast.step(part)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert fast.figures["fvu"] == pytest.approx(full.figures["fvu"], rel=0.02)
    assert full.figures["fvu"] < 0.8


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_no_warning_reaches_the_user(architecture: Any, recwarn: pytest.WarningsRecorder) -> None:
    learn(new(architecture=architecture, dead_after=10), 3).sae()
    assert not recwarn.list


@pytest.mark.parametrize("k", [1, D_SAE - 1])
@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_the_ends_of_what_is_possible(k: int, architecture: Any) -> None:
    trainer = learn(new(k=k, architecture=architecture, dead_after=10), 3)
    assert math.isfinite(trainer.figures["loss"])
