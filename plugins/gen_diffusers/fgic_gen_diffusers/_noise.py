"""The noise that pictures are hidden in, what a network predicts of it, and the way back."""

from __future__ import annotations

import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

#: Steps from a picture to noise.
STEPS = 1000
#: diffusers' names of the schedules.
_BETAS = {"cosine": "squaredcos_cap_v2", "linear": "linear"}
#: Orders of DPM-Solver++; the first is DDIM (Lu et al. 2022, section 4).
_ORDERS = {"ddim": 1, "dpmsolver++": 2}
#: Least log(alpha / sigma) to start from: the last steps of the cosine schedule divide by nearly nothing (diffusers).
_LEAST_LAMBDA = -5.1


class Noise:
    """The forward process ``x_t = alpha_t x_0 + sigma_t eps`` with ``alpha_t² + sigma_t² = 1``.

    Ho et al. 2020, where ``alpha_t²`` is the cumulative product of ``1 - beta``.

    Args:
        schedule: ``cosine`` or ``linear``.
        prediction: what the network predicts: ``epsilon``, or ``v = alpha_t eps - sigma_t x_0`` (Salimans and Ho 2022).
    """

    def __init__(self, schedule: str, prediction: str) -> None:
        self.schedule, self.prediction = schedule, prediction
        cumulative = self.solver("ddim", 1).alphas_cumprod
        self._alphas, self._sigmas = cumulative.sqrt(), (1 - cumulative).sqrt()

    def solver(self, sampler: str, steps: int) -> DPMSolverMultistepScheduler:
        """What goes from noise to a picture, given the picture that the network sees at each of its ``timesteps``."""
        solver: DPMSolverMultistepScheduler = DPMSolverMultistepScheduler(
            num_train_timesteps=STEPS,
            beta_schedule=_BETAS[self.schedule],
            prediction_type="sample",
            solver_order=_ORDERS[sampler],
            timestep_spacing="trailing",
            lambda_min_clipped=_LEAST_LAMBDA,
        )
        solver.set_timesteps(steps)
        return solver

    def add(self, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The pictures x_0 (n, 3, h, w) in [-1, 1], with noise of the steps t (n,), from 0."""
        alpha, sigma = self._at(t, x0)
        return alpha * x0 + sigma * eps

    def target(self, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """What the network should predict."""
        alpha, sigma = self._at(t, x0)
        return eps if self.prediction == "epsilon" else alpha * eps - sigma * x0

    def picture(self, predicted: torch.Tensor, noisy: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The picture x_0 that a prediction amounts to, clipped to [-1, 1]."""
        alpha, sigma = self._at(t, noisy)
        x0 = (noisy - sigma * predicted) / alpha if self.prediction == "epsilon" else alpha * noisy - sigma * predicted
        return x0.clamp(-1, 1)

    def _at(self, t: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Alpha and sigma of steps, to be multiplied with pictures."""
        t = t.cpu().reshape(-1)
        alpha, sigma = (values[t].reshape(-1, 1, 1, 1).to(like.device) for values in (self._alphas, self._sigmas))
        return alpha, sigma
