"""Maps as cells: grids, independence of hidden cells and of codes, and reconstruction from codes."""

import torch

from palate.modules.cells import CellAutoencoder, CellTower, cell_grid, grid_positions, mask_cells


def test_grids_count_cut_cells():
    assert cell_grid(32, 48) == (2, 3) and cell_grid(33, 16) == (3, 1)
    assert grid_positions(2, 3).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    tokens, mask = CellTower(8)(torch.zeros(2, 1, 33, 40))
    assert tokens.shape == (2, 9, 8) and mask.all()
    assert CellAutoencoder(1, 4).ids(torch.zeros(2, 1, 33, 40)).shape == (2, 9)


def test_what_is_hidden_changes_nothing():
    torch.manual_seed(0)
    tower = CellTower(8)
    maps, hidden = torch.randn(1, 3, 32, 32), torch.tensor([[True, False, False, True]])
    other = maps.clone()
    other[:, :, :16, :16], other[:, :, 16:, 16:] = 7.0, -3.0
    (a, mask), (b, _) = tower(maps, hidden), tower(other, hidden)
    assert torch.equal(a, b) and torch.equal(mask, ~hidden)
    assert not torch.equal(tower(maps)[0], tower(other)[0])
    assert torch.equal(mask_cells(maps, hidden)[:, :, :16, 16:], maps[:, :, :16, 16:])


def test_a_code_depends_on_its_own_cell_alone():
    torch.manual_seed(0)
    codes = CellAutoencoder(3, 8)
    maps = torch.randn(1, 3, 32, 40)
    other = maps.clone()
    other[:, :, :16, :16] += 5
    a, b = codes.vectors(maps), codes.vectors(other)
    changed = (a != b).any(2)[0].tolist()
    assert changed == [True, False, False, False, False, False]


def test_codes_are_learnt_that_tell_cells_apart():
    torch.manual_seed(0)
    shades = torch.tensor([-0.9, -0.3, 0.3, 0.9])
    maps = shades[torch.randint(4, (20, 1, 2, 2))].repeat_interleave(16, 2).repeat_interleave(16, 3)
    codes = CellAutoencoder(1, 6, dim=8, width=16)
    codes.quantise.initialize(codes.vectors(maps).detach().flatten(0, 1), torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(codes.parameters(), 5e-3)
    for _ in range(150):
        reconstructed, loss = codes(maps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float((reconstructed.detach() - maps).square().mean()) < 0.05
    ids, truth = codes.ids(maps), maps[:, 0, ::16, ::16].flatten(1)
    for code in ids.unique():
        assert truth[ids == code].std(unbiased=False) < 0.01
