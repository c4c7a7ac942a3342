//! The rules of the voyage, one test a promise: the real engine, on twins in memory and a clock that takes no time.

#![expect(clippy::unwrap_used, reason = "a test panics where a promise is broken")]

mod approvals;
mod crash;
mod debts;
mod drift;
mod first_sight;
mod fleet;
mod gates;
mod going_back;
mod holds;
mod left_out;
mod looks;
mod model;
mod order;
mod promotion;
mod quarantine;
mod removal;
mod rollback;
mod room;
mod servers;
mod support;
mod taken_over;
