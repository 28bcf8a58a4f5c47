"""A fresh process until its first token: imports, the model, the route's load, patching and first calls told apart.

`python -m evidence.sections.models.start JOB` is that process; the job has the time at which it was started.
"""

from __future__ import annotations

import time

_BEGUN = time.time()  # before any import that counts

import json  # noqa: E402
import sys  # noqa: E402


def main() -> None:
    job = json.loads(sys.argv[1])
    marks = {"interpreter": _BEGUN - job["started"]}
    last = _BEGUN

    def mark(what: str) -> None:
        nonlocal last
        now = time.time()
        marks[what], last = now - last, now

    import torch

    mark("import torch")
    import transformers  # noqa: F401

    mark("import transformers")
    from evidence.core.json_lines import say
    from evidence.sections.models import zoo
    from evidence.sections.models.names import ORIGINAL
    from evidence.sections.models.variants import patcher
    from evidence.sections.models.worker import peak_bytes

    model = zoo.load(job["model"], zoo.dtype_of(job["dtype"]))
    ids = zoo.prompts(job["model"], model.config.vocab_size)[:1]
    mark("model")
    stage = ORIGINAL
    if job["route"] != ORIGINAL:
        patch = patcher(job["route"])  # imports the route's package, which loads its library or graphs
        mark("import and load the route")
        stage, ops = zoo.float_stages(model)[job["stages"] - 1]
        patch(model, ops)
        mark("patch")
    with torch.inference_mode():
        out = model(ids, use_cache=True, logits_to_keep=1)
        token = out.logits[:, -1].argmax(-1)
        mark("first token")
        model(token[:, None], past_key_values=out.past_key_values, use_cache=True).logits[:, -1].argmax(-1)
        mark("second token")
    say(stage=stage, marks=marks, peak_bytes=peak_bytes())


if __name__ == "__main__":
    main()
