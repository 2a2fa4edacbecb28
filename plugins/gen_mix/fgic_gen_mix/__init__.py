"""New pictures from existing ones: cut-paste, mixup and CutMix."""

from fgic_gen_mix.generator import MixGenerator

__all__ = ["MixGenerator"]
