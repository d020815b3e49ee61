"""What the author of a model does about a failing check; printed below the failure."""

from __future__ import annotations

CAPABILITIES = (
    "Make `capabilities` say what the model does: they are tested both ways, what is claimed and what is not."
)
CONTENT = (
    "A model that reads content says so: capabilities = Capabilities(content=True, fusion=(...), ...), and its Config extends "
    "ContentConfig; one that can train encoders with itself says tuning=True, and its Config extends AdaptedConfig (or a "
    "subclass, such as NeighbourConfig). A model without content has neither."
)
SEED = "Draw from the seeded generators only: `rng` of on_epoch and collate, torch's own generator, rng_for(run.seed, ...)."
STATE = (
    "What scoring needs must be a parameter, a registered buffer, or returned by extra_state() and read by "
    "load_extra_state(); build() creates tensors from sizes alone, since restoring calls it without data."
)
COLD = (
    "An item that training gave no vector gets one from content: `self.cold = FromNeighbours(...)` or `FromContent(...)` in "
    "build() of a ContentMatcher, or update_items() of your own that sets which items are scorable."
)
SCORABLE = "scorer().scorable() is True exactly for items that the model knows something about: behaviour or content."
ROWS = (
    "Score each user from that user's row and history alone: no statistics over the batch, evaluation mode in scorer()."
)
LISTS = (
    "Leave lists to Scorer.topk, or rank as it does: by score, then by row; -1 and -inf only where candidates run out."
)
HISTORY = (
    "capabilities.new_users means: score from users.history alone where users.rows is -1, also from an empty history."
)
LEAK = (
    "Read `train` only. Whatever is hidden there (test rows, content of hidden items) must not be reached another way."
)
ABSENT = "Use the mask: rows where Features.present is False hold anything, so multiply by it or select before reading."
TRAINED = (
    "Content that is trained must reach the loss: read it through self.content inside loss() (rows, linear, projected, "
    "all_rows), not from copies made in setup()."
)
KEPT = (
    "What is computed from content once (a graph, smoothed vectors) belongs into derive(), which setup() calls and which runs "
    "again where modalities drop out. Where content is trained it does not: read vectors by content.all_rows() in loss(), and "
    "say graph_of_trained_content = True for neighbours, which are then chosen again before each epoch. Say "
    "graph_of_initial_content = True where a graph is meant to stay."
)
IMPUTED = (
    "Read content through update_items() and the training view, which hold imputed vectors, and keep no other copy."
)
SETTINGS = "Declare each setting in Config as Field(default, ge=..., description='...'); refuse nothing by hand."
TYPES = (
    "Check values by types and bounds of Field, or by a validator that raises ValueError: the error then names the key."
)
LOSS = "loss(batch) returns {'loss': a scalar with a gradient, ...other scalars to log}, for any batch size from 1."
VIEW = "Never write into arrays of the view or of Features: copy first; they may be read-only memory maps."
LIBRARY = "This tests code outside the model: if the model overrides fit, save, recommend or add_items, do not."

REMEDIES: dict[str, str] = {
    **dict.fromkeys(
        (
            "the_axes_are_settings_of_exactly_the_content_models",
            "each_tuning_is_accepted_or_refused_by_name",
            "each_fusion_is_accepted_or_refused_by_name",
            "gaps_have_settings_exactly_where_content_is_read",
            "frozen_and_late_is_what_the_model_was",
        ),
        CONTENT,
    ),
    **dict.fromkeys(
        (
            "a_tuning_that_is_none_is_refused_with_those_known",
            "dropout_is_a_share_and_imputation_a_known_kind",
            "vectors_that_training_would_change_are_not_imputed",
        ),
        "Do not redefine tuning, fusion, modality_dropout or impute: ContentConfig declares and checks them.",
    ),
    **dict.fromkeys(
        (
            "content_that_nothing_can_train_is_refused",
            "every_trained_weight_of_the_content_gets_a_gradient",
            "trained_content_learns_saves_and_reads_new_items",
            "trained_content_is_the_same_bits_from_the_same_seed",
            "frozen_weights_stay_and_trained_ones_move",
            "dropout_reaches_content_that_is_trained",
            "dropout_changes_what_is_learned",
        ),
        TRAINED,
    ),
    **dict.fromkeys(
        ("what_is_kept_of_content_follows_dropout", "what_is_kept_of_content_follows_training"),
        KEPT,
    ),
    "members_cannot_train_the_content_they_share": "Fit members by training.fit.fit_member, which refuses it.",
    **dict.fromkeys(
        ("fit_returns_the_model_itself", "fitting_again_forgets_the_past", "fitting_leaves_its_settings_alone"),
        "Keep nothing of a fit outside parameters, buffers and attributes set in build() or setup(), and do not change "
        "self.config: settings chosen on validation are returned by selected_settings().",
    ),
    **dict.fromkeys(
        (
            "same_seed_gives_the_same_bits",
            "another_seed_differs_exactly_when_there_is_something_to_draw",
            "a_model_called_deterministic_reads_no_seed",
            "global_generators_do_not_matter",
            "global_generators_are_left_alone",
            "scoring_is_the_same_under_any_global_seed",
            "dropout_in_training_is_reproducible_and_survives_saving",
            "every_kind_of_imputation_is_reproducible",
        ),
        SEED,
    ),
    **dict.fromkeys(("inputs_are_not_changed", "read_only_memory_maps_are_read"), VIEW),
    "no_training_rows_are_refused": "Do not catch DataError in setup() or solve(): the view refuses to be empty.",
    "a_vector_that_is_not_finite_is_refused_by_name": "Read vectors from train.features, where they were checked.",
    "content_is_asked_for_exactly_by_models_that_need_it": "Say requirements = Requirements(content=True) if, and only if, "
    "the model cannot be fitted without content; otherwise fit it from behaviour alone where there is none.",
    "given_neighbour_graphs_are_enough_content": "Take given graphs where there are no vectors (item_graph does), or say "
    "requirements = Requirements(dense=True): vectors are then made of the graphs.",
    **dict.fromkeys(("loss_is_a_finite_scalar_or_refused", "loss_accepts_a_single_pair"), LOSS),
    **dict.fromkeys(
        ("every_trained_parameter_gets_a_gradient", "training_moves_the_parameters"),
        "Every parameter with requires_grad must reach the loss of some phase; make the others buffers or freeze them.",
    ),
    "a_whole_epoch_depends_on_its_generator_alone_and_moves_its_parameters": "train_epoch(lr, rng) of a phase draws from rng "
    "only, changes the parameters of its phase and no others, and returns {'loss': a finite float}.",
    "training_positives_score_above_the_rest": "The model learns nothing after 40 epochs at lr=.03, or rows are shifted: "
    "look at the sign of the loss, at the order of users and items in tables, and at what scorer() returns.",
    "the_log_says_what_happened": "Return True from solve() only when the model is fitted; otherwise leave it to the loop.",
    "settings_chosen_on_validation_are_settings": "selected_settings() returns keys and values that Config takes.",
    "a_fitted_model_is_in_evaluation_mode": "Do not call train() in on_fit_end(), scorer() or update_items().",
    "dropout_leaves_content_whole_once_training_is_over": "Call super().on_fit_end(), which freezes the content, and make "
    "final vectors from content without dropout.",
    **dict.fromkeys(
        (
            "imputation_fills_gaps_and_is_saved_with_the_run",
            "imputation_sees_no_content_of_cold_items",
            "new_items_with_gaps_are_imputed",
            "gaps_are_filled_before_modalities_meet",
        ),
        IMPUTED,
    ),
    **dict.fromkeys(
        ("an_item_with_neither_content_nor_behaviour_is_not_scorable", "scorable_is_a_mask_of_items"),
        f"{SCORABLE} It is bool [n_items].",
    ),
    **dict.fromkeys(
        (
            "a_cold_item_is_scorable_exactly_with_the_ability",
            "cold_items_score_by_their_content",
            "an_appended_item_is_scored_or_refused",
            "a_twin_of_a_cold_item_scores_like_it",
            "appending_items_moves_no_other_score",
            "appending_twice_is_appending_once",
            "added_rows_are_recommended_or_refused",
            "items_can_be_added_again_and_again",
            "a_refused_addition_leaves_everything_as_it_was",
            "a_run_saved_after_adding_items_knows_them",
        ),
        f"{COLD} {CAPABILITIES}",
    ),
    **dict.fromkeys(("items_with_missing_content_score_finite", "values_of_absent_rows_are_never_read"), ABSENT),
    "content_matters_exactly_with_the_ability": f"{CONTENT} If it does say so, no score depends on content yet.",
    **dict.fromkeys(
        (
            "a_training_view_holds_no_test_row",
            "test_rows_do_not_change_the_model",
            "content_of_cold_items_does_not_change_the_fit",
            "words_and_attributes_of_cold_items_do_not_change_the_fit",
            "hidden_content_is_absent_in_the_view",
        ),
        LEAK,
    ),
    "order_of_items_does_not_matter": "Break ties by something else than the row, and sum in float64 where rounding shows.",
    **dict.fromkeys(
        (
            "restored_model_scores_the_same_bits",
            "restored_model_has_the_same_state",
            "restored_model_recommends_the_same",
            "restored_model_can_be_saved_again",
            "cold_protocol_survives_saving",
            "a_moved_run_works",
            "a_run_replaces_an_older_one_whole",
        ),
        STATE,
    ),
    **dict.fromkeys(
        (
            "a_run_holds_no_pickle",
            "a_run_leaves_no_trace_of_its_writing",
            "a_newer_format_is_refused_by_number",
            "a_damaged_file_is_refused_by_name",
        ),
        f"{LIBRARY} Keep state in tensors, extra_state() and artifacts(), never in files of your own.",
    ),
    **dict.fromkeys(
        ("tensors_with_a_row_a_user_are_named", "an_erased_user_is_in_no_tensor"),
        "Name each tensor with a row for each user in user_tensors() (user_parameters of a VectorMatcher), so that a user "
        "can be erased from a run; keep no other copy of a user's row.",
    ),
    "what_only_training_reads_is_not_saved": "Name in training_tensors() (training_only of a VectorMatcher) exactly the "
    "tensors that neither scoring nor update_items() reads.",
    **dict.fromkeys(
        ("scores_are_finite_float32", "no_users_are_no_scores", "some_items_score_as_among_all"),
        "score(users, items) is float32 [B, n_items], or [B, len(items)] in the order of items, also for no users; finite "
        "for every scorable item, never NaN.",
    ),
    **dict.fromkeys(
        ("order_of_users_does_not_matter", "scores_do_not_depend_on_the_batch", "one_user_alone_scores_the_same"), ROWS
    ),
    "repeated_scores_are_equal": "A scorer is frozen: score() changes nothing and draws nothing.",
    "scoring_needs_no_gradient_mode": "Detach tensors in scorer(), or score under torch.no_grad().",
    "vectors_give_the_scores": "user_vectors and item_vectors give the scores as dot products, or raise UnsupportedError "
    "with a hint where the model has none.",
    **dict.fromkeys(
        (
            "topk_equals_brute_force",
            "topk_is_sorted_and_distinct",
            "topk_scores_are_the_scores",
            "topk_pads_only_when_candidates_ran_out",
            "topk_respects_exclude",
            "topk_respects_allowed",
            "topk_of_one_user_is_that_of_all",
            "table_is_what_the_scores_say",
            "more_than_the_catalogue_is_the_catalogue",
        ),
        LISTS,
    ),
    **dict.fromkeys(
        (
            "empty_histories_score_finite",
            "visitors_mix_with_known_users",
            "visitors_are_served_or_refused_by_name",
            "an_empty_history_is_served",
            "similar_items_leave_out_the_item_itself",
            "a_visitor_with_a_users_history_is_no_stranger",
        ),
        f"{HISTORY} {CAPABILITIES}",
    ),
    **dict.fromkeys(
        (
            "table_has_the_promised_shape",
            "one_user_one_item",
            "k_below_one_is_refused",
            "what_a_user_took_is_left_out",
            "filter_seen_can_be_switched_off",
            "excluded_items_stay_out",
            "only_allowed_items_come",
            "unknown_item_ids_are_errors",
            "unknown_users_are_an_error_skipped_or_served_the_popular",
            "users_or_a_history_are_needed",
            "serving_changes_nothing",
        ),
        LIBRARY,
    ),
    "nothing_is_printed": "A library does not print: log by logging.getLogger(__name__), or report progress by track().",
    **dict.fromkeys(
        (
            "unknown_setting_is_refused",
            "misspelt_setting_is_answered_with_the_right_one",
            "settings_survive_a_round_trip",
            "settings_are_frozen",
            "small_settings_are_settings",
        ),
        f"{SETTINGS} Config extends ModelConfig, TrainedConfig, ContentConfig or AdaptedConfig and keeps its model_config.",
    ),
    "setting_of_a_wrong_type_is_refused_by_name": TYPES,
    "defaults_are_enough": "Every setting has a default; data decide by None, which is chosen in fitting.",
    **dict.fromkeys(
        (
            "fresh_copy_is_unfitted_with_the_same_settings",
            "fresh_copy_takes_changes_and_refuses_unknown_ones",
            "two_models_share_nothing",
        ),
        "Create tensors in build() and setup(), never in __init__ or on the class: a new model has none, and models share "
        "nothing.",
    ),
    "presets_are_valid_settings": "presets maps a name to settings that Config takes.",
    "name_is_the_name_of_its_file_or_package": "A file or package is named like the model: src/palate/models/match/<name>.py with "
    "@models.register('<name>') and name = '<name>', so that one import finds it.",
    "paper_and_docstrings_are_there": "Give the module a docstring (paper, equation, what is chosen otherwise), the class "
    "one line, and paper = 'Authors, Title, Venue year'.",
    "every_setting_is_described": SETTINGS,
    "file_fits_on_a_few_screens": "Keep a model within 200 lines: move parts that others could use to modules/ or losses/, "
    "or make it a package, models/match/<name>/model.py.",
    "capabilities_agree_with_requirements": "new_items, Requirements(content=True) and Requirements(dense=True) need "
    "Capabilities(content=True); dense needs content; a trained model overrides batches() or extends one that does.",
    "unfitted_model_says_so": LIBRARY,
}
"""Check -> what to do."""
