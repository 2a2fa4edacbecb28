"""A classifier with ports of its own, for tests of the conformance suites; the fixture `toys` puts it beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from fgic_core import Classifier, Context, FittedClassifier, Input, InputSpec, Size


class Student(Classifier):
    """Softmax regression that learns what a teacher says, and its advisers where there are some."""

    inputs = {
        **Classifier.inputs,
        "teacher": Input("model", auto=False),
        "advisers": Input("model", auto=False, required=False, many=True),
        "more": Input("dataset", auto=False, required=False),
        "judge": Input("model", required=False, at="use"),
    }
    epochs: int = Field(3, ge=1, description="Passes over the train split.")

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        from torch import nn

        network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, len(classes)))
        return FittedClassifier(network, InputSpec(Size(16, 16)), tuple(classes))

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        import torch

        fitted = self.build(train.classes)
        optimizer = torch.optim.SGD(fitted.network.parameters(), lr=0.5)
        if state := ctx.resume():
            fitted.network.load_state_dict(state["network"])
        pictures = [train.crop(row) for row in range(len(train))]
        said = [model.predict(pictures) for model in (ctx.inputs["teacher"], *ctx.inputs.get("advisers", ()))]
        soft = torch.from_numpy(sum(said) / len(said))
        images = torch.stack([fitted.input.prepare(picture) for picture in pictures])
        for epoch in ctx.epochs(self.epochs):
            loss = torch.nn.functional.cross_entropy(fitted.network(images), soft)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            ctx.evaluate(fitted, epoch)
            ctx.checkpoint(epoch, {"network": fitted.network.state_dict()})
        return fitted
