"""Settings of all tests: property tests draw the same cases every time, and a slow machine fails none of them.

The first case that fails is told as it is. To look for a smaller one can take Hypothesis five minutes where a case
writes files or asks a network; ``pytest --hypothesis-profile=smallest`` does it.
"""

from hypothesis import Phase, settings

settings.register_profile("smallest", deadline=None, derandomize=True)
settings.register_profile(
    "fgic", settings.get_profile("smallest"), phases=[phase for phase in Phase if phase is not Phase.shrink]
)
settings.load_profile("fgic")
