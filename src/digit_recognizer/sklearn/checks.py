"""The checks of ``sklearn.utils.estimator_checks`` that an estimator of images cannot pass, and why.

These checks train on tables that they make themselves, of 1 to 20 features. Scikit-learn has no tag for a
number of features, so they fail with the sentence about the number of pixels. The tests run all of them with
the features of these tables repeated to fill images; then none fails.
"""

from __future__ import annotations

_OTHER_SIZE = "trains on tables of 1 to 20 features, and images have 784 pixels"

EXPECTED_FAILED_CHECKS = dict.fromkeys(
    (
        "check_array_api_input",
        "check_classifier_data_not_an_array",
        "check_classifiers_classes",
        "check_classifiers_train",
        "check_dict_unchanged",
        "check_dont_overwrite_parameters",
        "check_dtype_object",
        "check_estimators_dtypes",
        "check_estimators_fit_returns_self",
        "check_estimators_nan_inf",
        "check_estimators_overwrite_params",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_fit2d_predict1d",
        "check_fit_check_is_fitted",
        "check_fit_idempotent",
        "check_fit_score_takes_y",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_n_features_in",
        "check_n_features_in_after_fitting",
        "check_pipeline_consistency",
        "check_positive_only_tag_during_fit",
        "check_readonly_memmap_input",
        "check_supervised_y_2d",
    ),
    _OTHER_SIZE,
)
