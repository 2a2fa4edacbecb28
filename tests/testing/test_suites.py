"""The suites pass on the toys, and fail on a component that breaks its contract or is not given at all."""

from __future__ import annotations

from collections.abc import Callable

TOYS = """
import pytest
from fgic_core.testing import *
from pydantic import Field
from fgic_core import Attacker, ComponentOption
import fgic_toy_student
import fgic_toys

class Hardened(fgic_toys.Linear):
    '''Looks at what an attack makes of a picture first.'''
    attack: ComponentOption[Attacker] = Field("attacker/sign", description="Makes pictures hard.")

    def fit(self, train, val, ctx):
        fitted = self.build(train.classes)
        picture = fitted.input.prepare(train.crop(0))[None]
        label = __import__("torch").from_numpy(train.labels[:1])
        hard = self.attack.perturb(fitted.network.eval(), picture, label, 0.1, ctx.generator("attack"))
        assert (hard != picture).any()
        return super().fit(train, val, ctx)

def suite(base, made):
    class Suite(base):
        @pytest.fixture
        def component(self):
            return made
    return Suite

TestDots = suite(DatasetReaderSuite, fgic_toys.Dots())
TestBright = suite(DetectorSuite, fgic_toys.Bright())
TestExact = suite(CropperSuite, fgic_toys.Exact(margin=1))
TestTint = suite(GeneratorSuite, fgic_toys.Tint())
TestLinear = suite(ClassifierSuite, fgic_toys.Linear())
TestHardened = suite(ClassifierSuite, Hardened())
TestStudent = suite(ClassifierSuite, fgic_toy_student.Student())
TestSaliency = suite(ExplainerSuite, fgic_toys.Saliency())
TestSign = suite(AttackerSuite, fgic_toys.Sign())
"""

BROKEN = """
import pytest
from fgic_core.testing import *
from fgic_core import Attacker, Cropper, Explainer, Maps

class Outside(Attacker):
    '''Leaves the ball, and the network in training mode.'''
    def perturb(self, network, images, labels, eps, generator):
        network.train()
        return images + 2 * eps

class Edges(Explainer):
    '''Ignores the network.'''
    def explain(self, network, images, targets, generator):
        return Maps(images.mean(1, keepdim=True), ("edges",))

class Away(Cropper):
    '''Shows nothing of the object.'''
    def region(self, box, image):
        return box.shift(10_000, 0)

class TestOutside(AttackerSuite):
    @pytest.fixture
    def component(self): return Outside()

class TestEdges(ExplainerSuite):
    @pytest.fixture
    def component(self): return Edges()

class TestAway(CropperSuite):
    @pytest.fixture
    def component(self): return Away()

class TwoMinds(Cropper):
    '''Looks at something else where it masks.'''
    def region(self, box, image):
        return box if self.view == "crop" else box.expand(3)

class TestTwoMinds(CropperSuite):
    @pytest.fixture
    def component(self): return TwoMinds()

class TestNothing(CropperSuite):
    pass
"""


def test_every_toy_keeps_its_contract(outcomes: Callable[[str], dict[str, str]]) -> None:
    found = outcomes(TOYS)
    assert [name for name, outcome in found.items() if outcome != "PASSED"] == []
    assert len(found) >= 60


def test_broken_components_fail_where_they_break(outcomes: Callable[[str], dict[str, str]]) -> None:
    found = outcomes(BROKEN)
    failed = {name for name, outcome in found.items() if outcome != "PASSED"}
    assert "TestOutside::test_it_stays_in_the_ball_and_in_the_unit_range[0.5]" in failed
    assert "TestOutside::test_it_leaves_the_network_and_the_images_as_it_found_them" in failed
    assert "TestEdges::test_other_weights_give_another_map" in failed
    assert "TestAway::test_a_region_shows_some_of_the_object" in failed
    assert "TestTwoMinds::test_a_mask_shows_the_pixels_of_the_crop_where_they_are_in_the_picture" in failed
    nothing = [name for name in found if name.startswith("TestNothing")]
    assert nothing
    assert failed.issuperset(nothing), "a suite without its component must not be green"
