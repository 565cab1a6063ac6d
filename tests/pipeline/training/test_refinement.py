import torch
from torch import nn

from pipeline.choices import Activation, Objective
from pipeline.training.alignment import align
from pipeline.training.refinement import refine
from pipeline.whitening.surgery import insert_after, whitening_layers

CONCEPTS = ("spot", "stripe")


def network(activation):
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    insert_after(made, "0", concepts=CONCEPTS, activation=activation)
    return made.eval()


def batches(count=4):
    """Small bright spots in one channel, stripes in another: what a maximum sees better than a mean."""
    made = []
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(0, 2, (16, 2), generator=generator).float()
        images = torch.randn(16, 3, 12, 12, generator=generator)
        images[:, 0, 4:6, 4:6] += 3 * labels[:, 0, None, None]
        images[:, 1, :, 7] += 1.5 * labels[:, 1, None]
        made.append({"image": images, "concepts": labels})
    return made


def test_refining_raises_what_the_layer_itself_gives_and_leaves_the_function_alone():
    made, shown = network(Activation.MAX), batches()
    align(made, shown)
    before = made(shown[0]["image"])
    gaps = []
    for _ in range(2):
        images = torch.cat([batch["image"] for batch in shown])
        labels = torch.cat([batch["concepts"] for batch in shown])
        layer = whitening_layers(made)["0.whitening"]
        activations = layer.activations(made[0].module(images)).detach()
        gap = sum(activations[labels[:, j] == 1, j].mean() - activations[labels[:, j] == 0, j].mean() for j in (0, 1))
        gaps.append(float(gap) / 2)
        report = refine(made, "0.whitening", shown, objective=Objective.CONTRAST, steps=30)
    assert gaps[1] > gaps[0] + 0.01
    torch.testing.assert_close(made(shown[0]["image"]), before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.rotation @ layer.rotation.mT, torch.eye(8), rtol=0, atol=1e-5)
    assert report.after >= report.before


def test_alignment_refines_where_it_is_asked_to_and_the_mean_has_nothing_to_gain():
    made, shown = network(Activation.MEAN), batches()
    (report,) = align(made, shown, refinement_steps=5).values()
    assert report.refinement.after - report.refinement.before < 0.02
    (report,) = align(network(Activation.MAX), shown, refinement_steps=5).values()
    assert report.refinement.after > report.refinement.before
    assert report.model_dump(mode="json")["refinement"]["steps"] == report.refinement.steps > 0


def test_a_concept_that_lacks_one_kind_takes_no_part():
    made, shown = network(Activation.MAX), batches()
    for batch in shown:
        batch["concepts"][:, 1] = 1
    report = refine(made, "0.whitening", shown, objective=Objective.CONTRAST, steps=3)
    assert report.after >= report.before
    assert whitening_layers(made)["0.whitening"].rotation.isfinite().all()
