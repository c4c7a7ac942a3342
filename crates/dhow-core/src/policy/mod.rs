//! Policies: the rule that selects the newest acceptable version of an artifact.
