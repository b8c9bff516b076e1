"""A language model ready to be looked into: module, tokenizer, hooks, device."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from saewidgets.lm import hooks
from saewidgets.lm.tokens import Text, Tokens, readable, token_bytes, tokenize
from saewidgets.lm.worker import ModelWorker, worker_of

WINDOW = 1024  # longest stretch run at once: attention and memory stay small on a laptop


class LanguageModel:
    """A Hugging Face causal language model with its tokenizer, or a `TransformerBridge` the user built.

    Attributes:
        module: what is run: the Hugging Face module (inside the bridge, if one was given).
        tokenizer: a Hugging Face tokenizer.
        name: as the user or its config calls it.
        bridge: the `TransformerBridge`, or None.
        source: the folder or hub name it was loaded from, so that another process can load it too; "" for an object.
    """

    source: str = ""

    def __init__(self, module: nn.Module, tokenizer: Any, name: str, bridge: Any = None) -> None:
        self.module: Any = module.eval()  # its attributes differ from architecture to architecture
        self.tokenizer = tokenizer
        self.name = name
        self.bridge = bridge

    def __repr__(self) -> str:
        return f"LanguageModel({self.name!r}, {self.n_layers} layers, d_model={self.d_model}, {self.device})"

    @property
    def config(self) -> Any:
        """The text model's Hugging Face config."""
        config: Any = self.module.config
        return config.get_text_config() if hasattr(config, "get_text_config") else config

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks."""
        return int(self.config.num_hidden_layers)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.config.hidden_size)

    @property
    def context(self) -> int:
        """Most tokens the model can attend to."""
        return int(getattr(self.config, "max_position_embeddings", 0) or WINDOW)

    @property
    def window(self) -> int:
        """Longest stretch of a text run at once; longer texts are split, with a visible seam."""
        return min(self.context, WINDOW)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.module.parameters()).device

    @property
    def worker(self) -> ModelWorker:
        """The thread that runs this model."""
        return worker_of(self.module)

    @functools.cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a generation."""
        given = getattr(getattr(self.module, "generation_config", None), "eos_token_id", None)
        ids = given if isinstance(given, (list, tuple)) else [given]
        return frozenset(int(i) for i in (*ids, self.tokenizer.eos_token_id) if i is not None)

    def hook(self, name: str) -> hooks.HookPoint:
        """Find a hook by its TransformerLens name.

        Raises:
            ValueError: when there is none of that name; the message lists near names.
        """
        if self.bridge is None:
            return hooks.resolve(self.module, name)
        point = self.bridge.hook_dict.get(name)
        if point is None:
            raise hooks.unknown_hook(name, sorted(self.bridge.hook_dict))
        return hooks.HookPoint(name, point, "output")

    @contextlib.contextmanager
    def hooked(self, *given: tuple[hooks.HookPoint, Callable[[Tensor], Tensor | None]]) -> Iterator[None]:
        """The model to oneself, with these functions at these hooks, for one forward pass.

        Also without any: a pass beside another thread's would run that one's hooks. Code that runs inside must not
        wait for the worker, which may be waiting for the lock.
        """
        with self.worker.lock, contextlib.ExitStack() as attached:
            for point, fn in given:
                attached.callback(point.attach(fn).remove)
            yield

    def tokens(self, text: Text, prepend_bos: bool = True, add_generation_prompt: bool = False) -> Tokens:
        """Tokenize a text or a chat; see `saewidgets.lm.tokens.tokenize`."""
        return tokenize(self.tokenizer, text, prepend_bos, add_generation_prompt)

    def str_tokens(self, text: Text, prepend_bos: bool = True) -> list[str]:
        """The text cut into its tokens, as readable strings; bytes that are part of a character read ``\\xF0``."""
        return readable(token_bytes(self.tokenizer, self.tokens(text, prepend_bos).ids))[0]

    def hash(self) -> str:
        """A fingerprint (sha256, 16 hex digits) of every weight's name, shape, dtype and 64 spaced values."""
        digest = hashlib.sha256()
        for name, tensor in self.module.state_dict().items():
            flat = tensor.detach().reshape(-1)
            sample = flat[:: max(1, len(flat) // 64)][:64].float().cpu()
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode() + sample.numpy().tobytes())
        return digest.hexdigest()[:16]
