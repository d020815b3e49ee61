"""News recommendation: encoders of articles and of readers, learnt from impressions."""
