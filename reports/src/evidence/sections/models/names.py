"""Names in the rows of the section `models`; no torch, since a pack is also read where there is none."""

ORIGINAL = "original"  # a stage, and the route that is none
AGAIN = "original again"  # in the middle of each round: what the place in a round does
OWN_FORMULAS = "own formulas"  # transformers' own formulas in the places of the ops
NO_WORK = "no work"  # ops that do nothing: the bound
NEITHER = (ORIGINAL, AGAIN, OWN_FORMULAS, NO_WORK)  # routes of neither side
INT8 = "+ int8 linear"  # the stage after which the answers may differ
