"""Whether a swapped model says the same: greedy tokens, logits against float64, perplexity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from evidence.sections.models.names import INT8, ORIGINAL, OWN_FORMULAS
from evidence.sections.models.variants import Key, Variants

NEW_TOKENS = 64
LARGE = 0.3  # billions of parameters, from which stages before the last are held to one forward pass


def greedy(model: Any, ids: Tensor, count: int) -> Tensor:
    """`count` tokens after each prompt, [batch, count]; the first of equal logits, as argmax has it."""
    out = model(ids, use_cache=True)
    tokens = [out.logits[:, -1].argmax(-1)]
    while len(tokens) < count:
        out = model(tokens[-1][:, None], past_key_values=out.past_key_values, use_cache=True)
        tokens.append(out.logits[:, -1].argmax(-1))
    return torch.stack(tokens, dim=1)


def exact_logits(model: Any, ids: Tensor) -> Tensor:
    """The logits of the same weights in float64, of the last token of each prompt: [batch, vocabulary].

    The model itself is widened and made narrow again, which loses nothing: a copy of a model of 1.2 billion parameters
    beside it would take 15 GB.
    """
    narrow = [(parameter, parameter.dtype) for parameter in model.parameters()]
    buffers = [(module, dict(module._buffers)) for module in model.modules() if module._buffers]
    with torch.inference_mode(False):  # see `zoo.load`
        model.double()
    try:
        return model(ids, logits_to_keep=1, use_cache=False).logits[:, -1]
    finally:
        with torch.inference_mode(False):
            for parameter, dtype in narrow:
                parameter.data = parameter.data.to(dtype)
        for module, own in buffers:
            module._buffers.update(own)


class Answers:
    """What the original says, and how far a variant is from it.

    Args:
        variants: of the model.
        ids: prompts, [batch, tokens].
        exact: what `exact_logits` gave for them before the model had any variants.
        count: new tokens.
    """

    def __init__(self, variants: Variants, ids: Tensor, exact: Tensor, count: int = NEW_TOKENS):
        self.variants, self.ids, self.exact = variants, ids, exact
        model = variants.model
        self.tokens = greedy(model, ids, count)
        self.text = torch.cat((ids, self.tokens), dim=1)
        whole = model(self.text, use_cache=False).logits
        self.logits = whole[:, ids.shape[1] - 1 : -1].float()  # those that chose each new token
        self.error = self._error(model)
        self.loss = self._loss(whole)
        scale = self.exact.abs().max().item()
        self.allowed = 2 * self.error + torch.finfo(whole.dtype).eps * scale

    def _error(self, model: Any) -> float:
        got = model(self.ids, logits_to_keep=1, use_cache=False).logits[:, -1]
        return (got.double() - self.exact).abs().max().item()

    def _loss(self, logits: Tensor) -> float:
        """Mean cross entropy of the prompts' own tokens."""
        length = self.ids.shape[1]
        return F.cross_entropy(logits[:, : length - 1].flatten(0, 1).float(), self.ids[:, 1:].flatten()).item()

    def row(self, key: Key, generated: bool) -> dict[str, Any]:
        """How a variant answers.

        Args:
            key: the variant.
            generated: whether it generates the tokens itself, or gives in one pass over the original's text the token
                that it would choose at every place: the same tokens, if all are the original's.
        """
        stage, route = key
        with self.variants.use(key) as model:
            error = self._error(model)
            whole = None
            if not generated or stage == INT8:
                whole = model(self.text, use_cache=False).logits
            tokens = greedy(model, self.ids, self.tokens.shape[1]) if generated else None
        if tokens is None:
            assert whole is not None
            tokens = whole[:, self.ids.shape[1] - 1 : -1].argmax(-1)
        row: dict[str, Any] = {
            "kind": "answers", "stage": stage, "route": route, "how": "generated" if generated else "one forward pass",
            "tokens": self.tokens.numel(), "tokens_same": self._same(tokens, generated),
            "largest_gap": self._gap(tokens, generated), "error": error, "own_error": self.error,
            "allowed": self.allowed,
        }  # fmt: skip
        if stage == INT8:
            assert whole is not None
            perplexity = torch.tensor([self._loss(whole), self.loss]).exp().tolist()
            row |= {"perplexity": perplexity[0], "own_perplexity": perplexity[1]}
        return row

    def _same(self, tokens: Tensor, generated: bool) -> int:
        """Tokens that are the original's; of generated ones those before the first that is not."""
        equal = tokens == self.tokens
        return int((equal.long().cumprod(1) if generated else equal).sum())

    def _gap(self, tokens: Tensor, generated: bool) -> float | None:
        """By how much the original preferred its own token where another was chosen first: the largest of these."""
        gaps = []
        for row, (got, own) in enumerate(zip(tokens, self.tokens, strict=True)):
            places = (got != own).nonzero().flatten()[: 1 if generated else None].tolist()
            for place in places:
                logits = self.logits[row, place]
                gaps.append((logits[own[place]] - logits[got[place]]).item())
        return max(gaps, default=None)


def answers(
    variants: Variants, ids: Tensor, exact: Tensor, billions: float, count: int = NEW_TOKENS
) -> Iterator[dict[str, Any]]:
    """A row for every variant that should answer as the original does, and for those of int8."""
    held = Answers(variants, ids, exact, count)
    keys = [key for key in variants.keys(bounds=False) if key[0] != ORIGINAL]
    floats = [stage for stage, _ in keys if stage != INT8]
    last = floats[-1] if floats else None
    # transformers' own formulas say whether the swapping itself keeps the answers: where all is swapped is enough.
    # With PyTorch's int8 product of several rows in float32 a model of 1.2 billion said nothing within 900 s.
    keys = [key for key in keys if key[1] != OWN_FORMULAS or key[0] == last]
    for stage, route in keys:
        small = billions < LARGE and stage != INT8
        # A step of five rows takes PyTorch 1.9 s in a model of 1.2 billion on two cores: where the decoding of no route
        # is in question, one pass does.
        yield held.row((stage, route), generated=small or (stage == last and route != OWN_FORMULAS))
