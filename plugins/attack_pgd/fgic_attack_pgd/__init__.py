"""FGSM and PGD as fgic attackers."""

from fgic_attack_pgd.attackers import FgsmAttacker, PgdAttacker

__all__ = ["FgsmAttacker", "PgdAttacker"]
