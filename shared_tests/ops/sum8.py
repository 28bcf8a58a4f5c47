"""sum8: the sum of eight tensors, a probe for the dispatch lab: what a call with eight tensor arguments costs."""

from shared_tests.ops.sum4 import probe

SPEC = probe(8)
