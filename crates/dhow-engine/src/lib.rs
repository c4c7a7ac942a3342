//! The voyage: watch, select, update, sync, rollout, report
