"""Live fuel moisture: how much water plants hold, in per cent of their dry mass, with four months of radar and optics.

Samples of leaves and twigs were weighed at some 150 places in the western United States. Beside each sample stand
the backscatter of Sentinel-1 (radar), the reflectances of an optical satellite, and three indices made of these, each
for the month of the sample and the three before. Splits hold out places, not samples: samples of one place are alike.
"""

from __future__ import annotations

import torch

from mmlab.data.files import registry
from mmlab.data.splits import Splits, rescale
from mmlab.data.tensors import TensorData

__all__ = ["BANDS", "live_fuel_moisture"]

BANDS = {
    "optical": ("red", "green", "blue", "swir", "nir", "ndvi", "ndwi", "nirv"),
    "radar": ("vv", "vh", "vh_vv"),
}
"""What each sensor measures, by the names of the table's columns: ``vv(t-3)`` to ``vv(t)``, and so on."""
FILE = "training_features.csv"
MONTHS = ("(t-3)", "(t-2)", "(t-1)", "(t)")


def live_fuel_moisture(fold: int = 0, folds: int = 5, seed: int = 0) -> Splits:
    """Samples by place: the places of one fold are for the test.

    Args:
        fold: Which fold is held out, from 0.
        folds: Number of folds.
        seed: Seed of how places are dealt to folds.

    Returns:
        Splits with keys ``radar`` (N, 4, 3) and ``optical`` (N, 4, 8), months by bands, each standardised by the
        training items, and ``target`` (N,), the moisture, standardised likewise; subjects are the places.

    Raises:
        FileNotFoundError: If the table is not there; the message says how to get it.
        ValueError: If there is no such fold, or the table is not as it should be.
    """
    columns = {f"{band}{month}": "f" for bands in BANDS.values() for band in bands for month in MONTHS}
    table = registry.load_table("live_fuel_moisture", FILE, {"site": "U", "percent(t)": "f", **columns})
    sites = sorted(set(table["site"]))
    if not 0 <= fold < folds <= len(sites):
        raise ValueError(f"fold={fold}, folds={folds}: there are {len(sites)} places; count folds from 0.")
    dealt = torch.randperm(len(sites), generator=torch.Generator().manual_seed(seed)) % folds
    held = {site for site, place in zip(sites, dealt.tolist(), strict=True) if place == fold}
    tensors = {
        sensor: torch.tensor([[table[f"{band}{month}"] for band in bands] for month in MONTHS])
        .permute(2, 0, 1)
        .contiguous()  # (N, 4, bands)
        for sensor, bands in BANDS.items()
    }
    whole = TensorData(tensors | {"target": torch.tensor(table["percent(t)"])}, table["site"])
    is_held = [site in held for site in table["site"]]
    parts = [whole.subset([i for i, held in enumerate(is_held) if held == side]) for side in (False, True)]
    train, test = rescale(parts, (*BANDS, "target"), "zscore")
    return Splits(
        train=train,
        validation=None,
        test=test,
        description=f"Live fuel moisture with radar and optics, places of fold {fold} of {folds} held out.",
        source=("live_fuel_moisture",),
    )
