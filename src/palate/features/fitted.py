"""Content of items after fitting: encoders that exist, and what takes their vectors to the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features, check_finite
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.core.tuning import Fusion, TuningSpec
from palate.data.catalog import Catalog
from palate.data.views import TrainView
from palate.features.encoders.base import EncodingFailure
from palate.features.feature_spec import FeatureSpec
from palate.features.impute import Imputer
from palate.features.relational import take_known
from palate.features.store import FeatureStore
from palate.features.trainable import FUSED, TrainableContent, TrainableEncoders, shapes_of

Failures = list[tuple[str, EncodingFailure]]


@dataclass(frozen=True, eq=False)
class FittedContent:
    """Encoders fitted to what one training view may see; :class:`palate.features.plan.ContentPlan` makes it.

    It encodes any catalogue of the same columns; the vectors of one catalogue are an :class:`ItemFeatures`.

    Attributes:
        plan: feature name -> how it is encoded, single columns included.
        encoders: feature name -> encoder, fitted; features of given vectors have none.
        store: where vectors are kept.
        sources: feature name -> the modalities it is made of.
        main: names of the features of whole modalities; the others are of single columns.
        relational: features made of relations among the items known in fitting.
        imputer: predicts missing modalities in what models are given; where modalities are fused, before they are.
        trained: networks that were trained with a model and encode in place of the encoders.
        failures: (feature, failure) for rows that could not be encoded in fitting and count as absent.
    """

    plan: Mapping[str, FeatureSpec]
    encoders: Mapping[str, Encoder]
    store: FeatureStore
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    main: tuple[str, ...] = ()
    relational: Mapping[str, Features] = field(default_factory=dict)
    imputer: Imputer | None = None
    trained: TrainableEncoders | None = None
    failures: tuple[tuple[str, EncodingFailure], ...] = ()

    @property
    def main_plan(self) -> dict[str, FeatureSpec]:
        """Feature name -> how it is encoded, whole modalities alone."""
        return {name: spec for name, spec in self.plan.items() if name in self.main}

    def with_store(self, store: FeatureStore) -> FittedContent:
        """The same content, with vectors kept in another store."""
        return replace(self, store=store)

    def encode(
        self, items: Catalog, rows: NDArray[np.int64] | None = None, failures: Failures | None = None
    ) -> ItemFeatures:
        """Encode rows of the catalogue that the content was fitted on, or of one that continues it.

        Args:
            items: the catalogue.
            rows: int64 [m], rows to encode; None encodes all. Content that the store holds is not encoded again.
            failures: receives (feature, failure) for rows that could not be encoded and count as absent.

        Raises:
            FeatureError: if given vectors are not finite.
        """
        at = np.arange(len(items)) if rows is None else np.asarray(rows, np.int64)
        known = {name: take_known(features, at) for name, features in self.relational.items()}
        return self._encode(items, rows, known, failures)

    def encode_new(self, items: Catalog, failures: Failures | None = None) -> ItemFeatures:
        """Encode a catalogue of items that were unknown in fitting: features made of relations are absent.

        Args:
            items: a catalogue with the same columns.
            failures: as in :meth:`encode`.

        Raises:
            FeatureError: if given vectors are not finite.
        """
        nowhere = np.full(len(items), np.iinfo(np.int64).max)
        known = {name: take_known(features, nowhere) for name, features in self.relational.items()}
        return self._encode(items, None, known, failures)

    def append_items(self, features: ItemFeatures, items: Catalog, failures: Failures | None = None) -> ItemFeatures:
        """Features of a catalogue that got more rows; only these are encoded.

        Args:
            features: of the first ``features.n_items`` items.
            items: the longer catalogue.
            failures: as in :meth:`encode`.

        Raises:
            FeatureError: if given vectors are not finite or come from another source.
        """
        new = self.encode(items, np.arange(features.n_items, len(items)), failures)
        return features.append(new.select(list(features)), len(items) - features.n_items)

    def drop_modalities(
        self, features: ItemFeatures, items: Catalog, missing: Mapping[str, NDArray[np.bool_]]
    ) -> ItemFeatures:
        """The features as if items had come without some modalities.

        Columns of several modalities that are read together are encoded again where some of them are left, and so is
        the vector in which modalities are fused.

        Args:
            features: of all ``items``.
            items: the catalogue.
            missing: modality -> bool [n_items], True for the items that are to lack it.
        """
        never = np.zeros(len(items), bool)
        if self.trained is not None and FUSED in features:
            inputs = self._network_inputs(self.trained, items, None, self.relational, None)
            left = {
                name: replace(one, present=one.present & ~missing.get(self.sources[name][0], never))
                for name, one in inputs.items()
            }
            encoded = self.trained.encode(self._impute(left))
            return ItemFeatures({**self.relational, **encoded}, features.n_items, features.sources)
        out, poorer = features.without(missing), items.drop_content(missing)
        for name, sources in features.sources.items():
            lost = np.stack([missing.get(modality, never) for modality in sources])
            partly = np.flatnonzero(np.any(lost, axis=0) & ~np.all(lost, axis=0))
            if len(partly):
                spec = self.plan[name]
                raw = poorer.raw(spec.modality, partly, spec.columns)
                left_over = self.store.encode(self.encoders[name], raw)
                out = out.replace({name: ItemFeatures({name: out[name]}).with_rows(partly, {name: left_over})[name]})
        return out

    def modality_features(self, features: ItemFeatures, items: Catalog) -> ItemFeatures:
        """The features by modality: ``features`` themselves, or the inputs of the networks that fuse modalities.

        Args:
            features: of all ``items``.
            items: the catalogue.
        """
        if self.trained is None or FUSED not in features:
            return features
        inputs = self._network_inputs(self.trained, items, None, self.relational, None)
        return ItemFeatures(inputs, features.n_items, self.sources)

    def model_features(self, features: ItemFeatures) -> ItemFeatures:
        """The features as models get them: with missing modalities predicted where there is an imputer.

        A vector in which modalities are fused is complete: they were imputed before.
        """
        if self.imputer is None or FUSED in features:
            return features
        return features.replace(self.imputer(features))

    def training_view(self, view: TrainView, features: ItemFeatures, queries: bool = False) -> TrainView:
        """``view`` with these features; rows that it may not see are hidden.

        Args:
            view: the training view that this content was fitted to.
            features: of all items.
            queries: encode the search queries of ``view`` with the encoder of texts.
        """
        if queries and view.searches is not None and "text" in self.encoders:
            typed = np.isin(np.arange(len(view.searches.queries)), view.searches.query)
            encoded = self.store.encode(self.encoders["text"], view.searches.queries.raw("text"))
            view = replace(view, query_features=encoded.mask_rows(typed))
        given = self.model_features(features)
        main = {name: given[name] for name in given if name in self.main}
        single = {name: given[name] for name in self.plan if name not in self.main}
        return replace(view.with_features(main, single), sources=self.sources)

    def trainable(
        self, features: ItemFeatures, items: Catalog, tuning: TuningSpec, fusion: Fusion, width: int
    ) -> TrainableContent:
        """Networks that are to be trained with a model, in place of the encoders' vectors.

        Args:
            features: of all ``items``.
            items: the catalogue.
            tuning: which weights of the encoders are trained.
            fusion: where modalities are fused.
            width: width of the fused vector.

        Raises:
            ConfigError: if nothing can be trained, or there are no vectors.
        """
        names = [name for name in features if name in self.main]
        if not names:
            raise ConfigError("there are no vectors to train", key=f"tuning={tuning}", hint="see palate check DATA")
        encoders = {name: self.encoders[name] for name in names if name in self.encoders}
        raws = {name: items.raw(self.plan[name].modality, None, self.plan[name].columns) for name in encoders}
        shapes = shapes_of(encoders, raws, tuning, fusion)
        dims = {name: features[name].dim for name in names}
        network = TrainableEncoders(encoders, dims, shapes, tuning, fusion, width)
        inputs = self._impute(self._network_inputs(network, items, None, self.relational, None))
        return TrainableContent(network, inputs, ItemFeatures(network.encode(inputs), features.n_items, self.sources))

    def finalize(self, trainable: TrainableContent) -> tuple[FittedContent, ItemFeatures]:
        """This content after training: it keeps the networks, for items that come later, and encodes all items."""
        network = trainable.network.cpu().eval()
        vectors = {**self.relational, **network.encode(trainable.inputs)}
        return replace(self, trained=network), ItemFeatures(vectors, trainable.vectors.n_items, self.sources)

    def _encode(
        self,
        items: Catalog,
        rows: NDArray[np.int64] | None,
        relational: Mapping[str, Features],
        failures: Failures | None,
    ) -> ItemFeatures:
        size = len(items) if rows is None else len(rows)
        if self.trained is None:
            vectors = {name: self._read(name, self.encoders.get(name), items, rows, failures) for name in self.plan}
            return ItemFeatures({**vectors, **relational}, size, self.sources)
        inputs = self._network_inputs(self.trained, items, rows, relational, failures)
        encoded = self.trained.encode(self._impute(inputs))
        return ItemFeatures({**relational, **encoded}, size, self.sources)

    def _network_inputs(
        self,
        network: TrainableEncoders,
        items: Catalog,
        rows: NDArray[np.int64] | None,
        relational: Mapping[str, Features],
        failures: Failures | None,
    ) -> dict[str, Features]:
        """What ``network`` reads of ``rows``, by feature."""
        inputs = {}
        for name, encoder in network.input_encoders.items():
            if name in self.plan:
                inputs[name] = self._read(name, encoder or self.encoders.get(name), items, rows, failures)
            else:
                inputs[name] = relational[name]
        return inputs

    def _read(
        self,
        name: str,
        encoder: Encoder | None,
        items: Catalog,
        rows: NDArray[np.int64] | None,
        failures: Failures | None,
    ) -> Features:
        spec = self.plan[name]
        if spec.given or encoder is None:
            given = items.given[spec.modality]
            given = given if rows is None else given.take(rows)
            check_finite(given, name)
            return given
        raw, unusable = items.raw(spec.modality, rows, spec.columns), list[EncodingFailure]()
        label = content_label(spec.modality, spec.columns or items.columns(spec.modality))
        features = self.store.encode(encoder, raw, failures=unusable, label=label)
        if failures is not None:
            failures += [(name, failure) for failure in unusable]
        return features

    def _impute(self, inputs: Mapping[str, Features]) -> Mapping[str, Features]:
        return inputs if self.imputer is None else self.imputer(inputs)


def content_label(modality: str, columns: Sequence[str], shown: int = 3) -> str:
    """What is read, for progress: ``text: title, plot``.

    Args:
        modality: that the columns are read as.
        columns: names of the columns.
        shown: the others are only counted.
    """
    more = f" and {len(columns) - shown} more" if len(columns) > shown else ""
    return f"{modality}: {', '.join(columns[:shown])}{more}" if columns else modality
