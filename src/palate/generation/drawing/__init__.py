"""Pictures that are drawn here: vocabulary of conditions, weights in a folder, training, preferences as conditions."""
