"""Networks that guess evidence: what they see, what they must not see, and what they refuse."""

import numpy as np
import pytest
import torch

from db.errors import UsageError
from inference.evidence.masks import as_cells
from inference.evidence.networks import layout_of, network_of
from inference.evidence.networks.fusion import FusionLayer
from inference.evidence.networks.transformer import Block, begin_blocks, blocks, square_positions
from tests.unit.evidence_toys import channel, settings_of

CHANNELS = (
    channel("Cr", "geochemistry"),
    channel("Ni", "geochemistry"),
    channel("gravity", "geophysics"),
    channel("faults", "geology"),
    channel("lithology: gabbro", "geology"),
    channel("clay", "spectral"),
)
VITS = ("vit", "vit_no_fusion", "vit_no_geology")
AUTOENCODERS = ("conv_autoencoder", "dense_autoencoder")
WINDOW = 16


def network_and_input(method, channels=CHANNELS, **changes):
    torch.manual_seed(11)
    network = network_of(settings_of(method, **changes), channels).eval()
    with torch.no_grad():  # blocks begin at nothing: fresh tokens do not hear of each other
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    layout = network.layout
    values = torch.randn(3, len(layout.order), WINDOW, WINDOW)
    known = torch.rand(3, len(layout.kinds), WINDOW, WINDOW)
    is_hidden = torch.rand(3, 4, 4) < 0.7
    return network, values, known, is_hidden


def answer(network, *batch):
    with torch.inference_mode():
        return network(*batch)


@pytest.mark.parametrize("method", VITS)
@pytest.mark.parametrize("planted", [1e6, float("inf"), float("nan")])
def test_what_is_hidden_does_not_reach_the_answer(method, planted):
    network, values, known, is_hidden = network_and_input(method)
    before = answer(network, values, known, is_hidden)
    cells = as_cells(is_hidden, 4)[:, None]
    values[:, :3] = values[:, :3].masked_fill(cells, planted)
    known[:, :2] = known[:, :2].masked_fill(cells, planted)
    assert torch.equal(answer(network, values, known, is_hidden), before)


@pytest.mark.parametrize("method", VITS)
def test_a_hidden_patch_is_guessed_from_others_in_sight(method):
    network, values, known, is_hidden = network_and_input(method)
    is_hidden[:] = False
    is_hidden[:, 0, 0] = True
    before = answer(network, values, known, is_hidden)
    values[:, 0, 12:, 12:] += 1
    changed = answer(network, values, known, is_hidden)
    assert (changed[:, :, :4, :4] != before[:, :, :4, :4]).any()


@pytest.mark.parametrize(
    ("method", "is_seen"), [("vit", True), ("vit_no_fusion", True), ("vit_no_geology", False)]
)
def test_geology_of_a_hidden_patch_stays_in_sight_unless_it_is_left_out(method, is_seen):
    network, values, known, is_hidden = network_and_input(method)
    is_hidden[:] = True
    kinds = dict(zip(network.layout.kinds, network.layout.places, strict=True))
    assert ("geology" in kinds) is is_seen
    assert "spectral" in kinds
    before = answer(network, values, known, is_hidden)
    values[:, 3, :4, :4] += 1  # the first channel behind the hidden ones: faults, or clay
    assert (answer(network, values, known, is_hidden) != before).any()


def test_cells_that_are_unknown_are_told_from_those_that_are_average():
    network, values, known, is_hidden = network_and_input("vit")
    is_hidden[:] = False
    values[:, :2] = 0
    known[:, 0] = 0
    before = answer(network, values, known, is_hidden)
    known[:, 0] = 1
    assert (answer(network, values, known, is_hidden) != before).any()


@pytest.mark.parametrize("method", VITS + AUTOENCODERS)
def test_answers_have_the_hidden_channels_and_do_not_depend_on_the_batch(method):
    network, values, known, is_hidden = network_and_input(method)
    whole = answer(network, values, known, is_hidden)
    assert whole.shape == (3, 3, WINDOW, WINDOW)
    for one in range(3):
        part = slice(one, one + 1)
        alone = answer(network, values[part], known[part], is_hidden[part])
        torch.testing.assert_close(alone, whole[part], atol=1e-5, rtol=1e-5)


def test_cells_of_a_dense_autoencoder_do_not_meet_and_it_reads_no_geology():
    network, values, known, _ = network_and_input("dense_autoencoder")
    before = answer(network, values, known, None)
    values[:, 3:] += 5
    torch.testing.assert_close(answer(network, values, known, None), before)
    values[:, :3, 7, 9] += 1
    differs = (answer(network, values, known, None) - before).abs().amax((0, 1)) > 1e-6
    assert differs.nonzero().tolist() == [[7, 9]]


def test_a_convolutional_autoencoder_takes_windows_that_are_no_multiple_of_four():
    network, *_ = network_and_input("conv_autoencoder")
    answered = answer(network, torch.randn(1, 6, 18, 18), torch.ones(1, 4, 18, 18), None)
    assert answered.shape == (1, 3, 18, 18)


def test_the_middle_of_an_autoencoder_is_as_narrow_as_asked():
    network = network_of(settings_of("dense_autoencoder", options={"bottleneck": 1}), CHANNELS)
    values = torch.randn(1, 6, 8, 8)
    middle = network.encoder(torch.cat((values[:, :3], torch.ones(1, 2, 8, 8)), 1))
    assert middle.shape == (1, 1, 8, 8)


def test_hidden_sources_come_first_wherever_they_stand():
    layout = layout_of(tuple(CHANNELS[place] for place in (5, 3, 0, 2, 4, 1)))
    assert layout.kinds == ("geochemistry", "geophysics", "geology", "spectral")
    assert layout.places == ((2, 5), (3,), (1, 4), (0,))
    assert layout.hidden_order == [2, 5, 3]


def test_the_fusion_layer_reads_each_source_with_a_stem_of_its_own():
    layer = FusionLayer([2, 1], 4)
    fused = layer([torch.randn(2, 3, 8, 8), torch.randn(2, 2, 8, 8)])
    assert fused.shape == (2, 8, 8, 8)
    assert [stem.in_channels for stem in layer.stems] == [3, 2]


def test_a_token_sees_its_own_patch_and_its_cells_go_back_where_they_came_from():
    from inference.evidence.networks.vit import _cells, _patches

    window = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
    patches = _patches(window, 4)
    assert torch.equal(patches[1, 2].view(3, 4, 4), window[1, :, 4:, :4])
    assert torch.equal(_cells(patches, 2, 4), window)


def test_fresh_blocks_pass_on_what_they_get():
    tokens = torch.randn(2, 5, 16)
    assert torch.equal(Block(16, 2)(tokens), tokens) is False
    stack = blocks(16, 2, 3)
    begin_blocks(stack)
    assert torch.equal(stack[:3](tokens), tokens)


@pytest.mark.parametrize("method", VITS)
def test_evidence_is_as_loud_as_positions_in_fresh_tokens(method):
    torch.manual_seed(1)
    network = network_of(settings_of(method, width=64), CHANNELS)
    embedded = []
    network.embedding.register_forward_hook(lambda _module, _args, out: embedded.append(out))
    layout = network.layout
    known = torch.ones(8, len(layout.kinds), 16, 16)
    network(torch.randn(8, len(layout.order), 16, 16), known, torch.zeros(8, 4, 4, dtype=torch.bool))
    assert 0.5 < embedded[0].std() < 2.5


@pytest.mark.parametrize("method", AUTOENCODERS)
def test_constant_windows_come_back_without_seams(method):
    network, *_ = network_and_input(method)
    answered = answer(network, torch.full((1, 6, 16, 16), 0.7), torch.ones(1, 4, 16, 16), None)
    torch.testing.assert_close(answered, answered[:, :, :1, :1].expand_as(answered))


def test_positions_are_sines_of_row_and_column():
    positions = square_positions(3, 8).view(3, 3, 8)
    assert torch.equal(positions[2, 0, :4], positions[2, 1, :4])
    assert torch.equal(positions[0, 2, 4:], positions[1, 2, 4:])
    np.testing.assert_allclose(
        positions[2, 1, :4], [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02)], atol=1e-6
    )
    assert len(torch.unique(positions.view(9, 8), dim=0)) == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "pca"}, "unknown network 'pca'"),
        ({"window_px": 18}, "window_px is 18: it must be a multiple of 4"),
        ({"width": 18}, "width is 18"),
        ({"heads": 3}, "width is 16: it must be a multiple of 3"),
        ({"decoder_width": 6}, "decoder_width is 6"),
        ({"depth": 0}, "depth is 0"),
        ({"stem": 0}, "stem is 0"),
        ({"options": {"bottleneck": 2}}, "unknown option 'bottleneck' of the method vit: it has none"),
        ({"method": "dense_autoencoder", "options": {"middle": 2}}, "choose among bottleneck"),
        ({"method": "conv_autoencoder", "options": {"bottleneck": 0}}, "bottleneck is 0"),
    ],
)
def test_settings_that_make_no_network_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        network_of(settings_of(**changes), CHANNELS)


def test_evidence_without_anything_to_guess_is_refused():
    with pytest.raises(UsageError, match="none of geochemistry or geophysics"):
        network_of(settings_of(), CHANNELS[3:])


def test_leaving_out_geology_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="no geology to leave out"):
        network_of(settings_of("vit_no_geology"), (*CHANNELS[:3], CHANNELS[5]))


def test_one_source_alone_makes_a_network():
    network = network_of(settings_of("vit"), CHANNELS[2:3]).eval()
    answered = answer(network, torch.randn(2, 1, 16, 16), torch.ones(2, 1, 16, 16), torch.ones(2, 4, 4) > 0)
    assert answered.shape == (2, 1, 16, 16)
