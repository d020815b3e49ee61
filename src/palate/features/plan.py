"""Which encoder reads which content, decided before anything is encoded."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from palate.core.content import Features
from palate.core.encoder import Encoder, FittedEncoder, Raw
from palate.core.errors import ConfigError, NoContentError, did_you_mean
from palate.core.item_features import ItemFeatures
from palate.data.catalog import COLUMN_KINDS, Catalog
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.default_encoders import GIVEN, default_encoder
from palate.features.encoders.base import ContentEncoder, EncodingFailure
from palate.features.encoders.derived import DerivedEncoder
from palate.features.encoders.make import make_encoder
from palate.features.feature_spec import SAME_AS, FeatureSpec, feature_specs
from palate.features.fields import plan_fields
from palate.features.fitted import FittedContent
from palate.features.impute import Impute, Imputer
from palate.features.relational import relational_features
from palate.features.saved import FACTS, load_encoder
from palate.features.store import FeatureStore

log = logging.getLogger("palate")


@dataclass(frozen=True, eq=False)
class ContentPlan:
    """Encoders by feature name, nothing fitted or encoded yet; several models may be fitted with the same plan.

    Attributes:
        features: feature name -> how it is encoded, whole modalities.
        store: where vectors are kept.
        fields: the same for single columns; the encoder ``as:NAME`` is that of the feature NAME.
        encoders: feature name -> an encoder that exists already and is used instead of the one in the specification.
    """

    features: Mapping[str, FeatureSpec]
    store: FeatureStore
    fields: Mapping[str, FeatureSpec] = field(default_factory=dict)
    encoders: Mapping[str, Encoder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", feature_specs(self.features))
        object.__setattr__(self, "fields", feature_specs(self.fields))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features of whole modalities, in a fixed order."""
        return tuple(self.features)

    def only(self, names: Sequence[str]) -> ContentPlan:
        """The same plan without other features of whole modalities.

        Args:
            names: names of features, also of some that are not in the plan.
        """
        return replace(self, features={name: spec for name, spec in self.features.items() if name in names})

    def empty(self) -> ContentPlan:
        """A plan that encodes nothing, for models that read no content."""
        return ContentPlan({}, self.store)

    def without_columns(self, columns: Collection[str], items: Catalog) -> ContentPlan:
        """The plan without some columns; a feature that reads nothing else is left out, given vectors stay.

        Args:
            columns: names of columns.
            items: the catalogue, which knows the columns of each modality.
        """
        kept: list[dict[str, FeatureSpec]] = []
        for specs in (self.features, self.fields):
            kept.append({})
            for name, spec in specs.items():
                read = tuple(spec.columns or items.columns(spec.modality))
                rest = tuple(column for column in read if column not in columns)
                if spec.given or rest == read:
                    kept[-1][name] = spec
                elif rest:
                    kept[-1][name] = spec._replace(columns=rest)
        return replace(self, features=kept[0], fields=kept[1])

    def fit(
        self, view: TrainView, data: Dataset, *, dense: bool = False, fields: bool = False, impute: Impute = "none"
    ) -> tuple[FittedContent, ItemFeatures]:
        """Fit encoders to the content of ``view.visible_items`` and encode the whole catalogue of ``data``.

        Args:
            view: decides what content may be seen in fitting.
            data: holds the catalogue.
            dense: make spectral features for modalities that have a given k-NN graph but no vectors.
            fields: encode single columns as well.
            impute: what predicts missing modalities; fitted to what ``view`` may see.

        Returns:
            The fitted content, and the features of all items, rows that ``view`` may not see included: models get
            them through :meth:`FittedContent.training_view`. Features whose content is empty in all rows that may be
            seen are left out, and named if they are whole modalities.

        Raises:
            ConfigError: for an unknown encoder, or one of another modality.
            FeatureError: if given vectors are not finite.
        """
        wanted = {**self.features, **(self.fields if fields else {})}
        encoders = self._fitted_encoders(wanted, view, data)
        specs = {name: spec for name, spec in wanted.items() if spec.given or name in encoders}
        for name in self.features.keys() - specs.keys():
            log.warning("%s: nothing to read in any item, left out", name)
        main = tuple(name for name in self.features if name in specs)
        relational = relational_features(view.relations, set(self.features), data.n_items) if dense else {}
        failures: list[tuple[str, EncodingFailure]] = []
        content = FittedContent(
            specs,
            encoders,
            self.store,
            sources={
                **{name: (name,) for name in (*main, *relational)},
                **{name: spec.sources(data.items.kinds) for name, spec in specs.items()},
            },
            main=(*main, *relational),
            relational=relational,
        )
        features = content.encode(data.items, failures=failures)
        content = replace(content, failures=tuple(failures))
        if impute != "none" and content.main:
            visible = content.training_view(view, features).visible
            content = replace(content, imputer=Imputer(impute, content.sources).fit(visible))
        return content, features

    def view(
        self,
        view: TrainView,
        data: Dataset,
        *,
        dense: bool = False,
        fields: bool = False,
        queries: bool = False,
        impute: Impute = "none",
    ) -> TrainView:
        """``view`` with content, where the encoders are not needed afterwards.

        Args:
            view: decides what content may be seen.
            data: holds the catalogue.
            dense: see :meth:`fit`.
            fields: see :meth:`fit`.
            queries: see :meth:`FittedContent.training_view`.
            impute: see :meth:`fit`.
        """
        content, features = self.fit(view, data, dense=dense, fields=fields, impute=impute)
        return content.training_view(view, features, queries)

    def _stored(self, encoder: ContentEncoder, raws: Sequence[Raw]) -> Features:
        """Vectors from the store; what is unusable counts as absent, and is named when the catalogue is encoded."""
        return self.store.encode(encoder, raws, failures=[])

    def _fitted_encoders(self, specs: Mapping[str, FeatureSpec], view: TrainView, data: Dataset) -> dict[str, Encoder]:
        """Feature name -> fitted encoder; without those that found nothing to be fitted to."""
        encoders: dict[str, Encoder] = {}
        for name, spec in specs.items():
            if name in self.encoders:
                encoders[name] = self.encoders[name]
            elif spec.encoder.startswith(SAME_AS):
                if (other := spec.encoder.removeprefix(SAME_AS)) in encoders:
                    encoders[name] = encoders[other]
            elif not spec.given:
                encoder = find_encoder(spec.encoder, spec.modality)
                if isinstance(encoder, FittedEncoder) and encoder.fitted_on is None:
                    visible = np.flatnonzero(view.visible_items)
                    raws = data.items.raw(spec.modality, visible, spec.columns)
                    try:
                        if isinstance(encoder, DerivedEncoder):
                            encoder.fit_stored(self._stored, raws, data.items.raw("text", visible))
                        else:
                            encoder.fit(raws)
                    except NoContentError:
                        continue
                encoders[name] = encoder
        return encoders


def plan_content(
    data: Dataset, encoders: Mapping[str, str] | None = None, store: FeatureStore | str | Path | None = None
) -> ContentPlan:
    """The default plan: given vectors where there are any, else the first installed default encoder.

    Args:
        data: holds the catalogue.
        encoders: ``{"text": "minilm", "text.words": "tfidf", "image": "hf:openai/clip"}``; the part before a dot is
            the modality; ``none`` leaves a modality out. Modalities that are not named keep their default. Single
            columns of text are read by MiniLM only where the texts are.
        store: a folder for vectors, or a store; None keeps them in memory.

    Raises:
        ConfigError: for an unknown modality.
    """
    features: dict[str, FeatureSpec] = {}
    chosen = dict(encoders or {})
    known = (*COLUMN_KINDS, *data.items.given)
    for name in chosen:
        if name.partition(".")[0] not in known:
            raise ConfigError("unknown modality", key=name, hint=did_you_mean(name, known))
    for modality in data.items.modalities:
        named = {name: spec for name, spec in chosen.items() if name.partition(".")[0] == modality}
        if not named and modality in data.items.given:
            named = {modality: GIVEN + data.items.given[modality].identity}
        for name, spec in (named or {modality: default_encoder(modality)}).items():
            if spec != "none":
                features[name] = FeatureSpec(modality, spec)
    opened = store if isinstance(store, FeatureStore) else FeatureStore(store)
    texts = [spec for name, spec in chosen.items() if name.partition(".")[0] == "text"]
    meaning = any("minilm" in spec for spec in texts or [default_encoder("text")])
    fields = plan_fields(data.items, {spec.modality for spec in features.values()}, meaning)
    return ContentPlan(features, opened, feature_specs(fields))


def find_encoder(spec: str, modality: str) -> Encoder:
    """An encoder from its specification, or from the folder of a saved one.

    Raises:
        ConfigError: for an unknown name, option or value, and for an encoder of another modality.
        ArtefactError: for a damaged folder.
    """
    if not (Path(spec) / FACTS).is_file():
        return make_encoder(spec, modality)
    encoder = load_encoder(spec)
    if encoder.modality != modality:
        raise ConfigError(f"reads {encoder.modality}, not {modality}", key=spec)
    return encoder
