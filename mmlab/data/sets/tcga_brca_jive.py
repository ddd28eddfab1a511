"""Breast cancer of The Cancer Genome Atlas: three kinds of omics of 348 tumours, 132 of them with a subtype.

mRNA expression (645 features), DNA methylation (574) and miRNA expression (423). 132 tumours have one of three PAM50
subtypes (Basal, Her2, LumA); the other 216 have none, and show what unlabelled items are worth. The views come from the
R package r.jive (GPL-3; O'Connell and Lock 2016, Bioinformatics 32:2877), the subtypes from mixOmics (GPL-2 or later);
the data themselves are of TCGA's open tier (TCGA Network 2012, Nature 490:61-70). Models trained on it are for
research, not for decisions about people.
"""

from __future__ import annotations

import torch

from mmlab.data.files import registry
from mmlab.data.splits import Scale, Splits, rescale, stratified
from mmlab.data.tensors import TensorData
from mmlab.wording import naming

__all__ = ["SUBTYPES", "tcga_brca_jive"]

SUBTYPES = ("Basal", "Her2", "LumA")
"""The subtypes, in the order of their labels."""
_VIEWS = {"mrna": "mrna", "methylation": "meth", "mirna": "mirna"}


def tcga_brca_jive(test_share: float = 0.3, unlabelled: bool = True, scale: Scale = "zscore", seed: int = 0) -> Splits:
    """The tumours, split at random with the same share of each subtype on both sides: the set has no split of its own.

    Args:
        test_share: Share of each subtype's tumours that is for the test.
        unlabelled: Whether the tumours without a subtype are among the training items.
        scale: How features are rescaled, by the training items only; see :func:`mmlab.data.splits.rescale`.
        seed: Seed of the split. Repeat with several seeds: the test has some 40 tumours.

    Returns:
        Splits with keys ``mrna`` (N, 645), ``methylation`` (N, 574), ``mirna`` (N, 423), ``label`` (place in
        :data:`SUBTYPES`, or -1) and ``label_present`` (N,) bool. All test items have a label.

    Raises:
        FileNotFoundError: If the prepared set is not there; the message says how to get it.
        ValueError: If an argument is out of its range, or the file is not as it should be.
    """
    arrays = registry.load_arrays("tcga_brca_jive", "tcga_brca_jive.npz")
    path = registry.where("tcga_brca_jive") / "tcga_brca_jive.npz"
    if tuple(arrays["pam50_name"].tolist()) != SUBTYPES:
        raise ValueError(
            f"{path} names the subtypes {', '.join(map(str, arrays['pam50_name']))}, expected "
            f"{', '.join(SUBTYPES)}: put the right file there (check: mmlab data verify tcga_brca_jive)."
        )
    label = torch.from_numpy(arrays["pam50"]).long()
    tensors = {key: torch.from_numpy(arrays[name]).float() for key, name in _VIEWS.items()}
    whole = TensorData({**tensors, "label": label, "label_present": label >= 0})
    labelled = torch.nonzero(label >= 0)[:, 0]
    with naming(path):
        kept, held = (labelled[side] for side in stratified(label[labelled], test_share, seed))
        if unlabelled:
            kept = torch.cat([kept, torch.nonzero(label < 0)[:, 0]]).sort().values
        train, test = rescale([whole.subset(kept), whole.subset(held)], tuple(_VIEWS), scale)
    return Splits(
        train=train,
        validation=None,
        test=test,
        description="TCGA breast cancer, three views, PAM50 subtype of some tumours; a random stratified split.",
        source=("tcga_brca_jive",),
    )
