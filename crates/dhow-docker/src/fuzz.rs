//! A door to the private parsers, for `tests/fuzz` alone.

/// Reads an answer as each thing that docker, a server or a proxy may say. Panics where a promise is broken.
pub fn answer(data: &[u8]) {
    crate::compose::fuzz::answer(data);
    crate::swarm::fuzz::answer(data);
    crate::executor::fuzz::answer(data);
    crate::inspect::fuzz::answer(data);
    crate::proxy::fuzz::answer(data);
    crate::room::fuzz::answer(data);
}
