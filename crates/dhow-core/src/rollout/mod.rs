//! Rollouts: states, events, records.
