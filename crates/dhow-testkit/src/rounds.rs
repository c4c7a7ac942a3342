//! How often a test does what it holds.

/// As often as the variable `DHOW_ROUNDS` says; in a test run, where it is not set, `short` times.
pub fn rounds(short: usize) -> usize {
    asked_rounds().unwrap_or(short)
}

/// What `DHOW_ROUNDS` says: somebody wants the long form, on a machine that does nothing else.
pub fn asked_rounds() -> Option<usize> {
    std::env::var("DHOW_ROUNDS").ok()?.parse().ok()
}

/// All instants of death where `DHOW_EVERY_DEATH` is set; in a test run some of them, spread over all.
pub fn deaths<T: Clone>(all: &[T], short: usize) -> Vec<T> {
    if std::env::var_os("DHOW_EVERY_DEATH").is_some() || all.len() <= short {
        return all.to_vec();
    }
    // The middle of each share.
    (0..short).map(|n| all[(2 * n + 1) * all.len() / (2 * short)].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_deaths_are_spread_over_all() {
        assert_eq!(deaths(&[1, 2, 3, 4, 5, 6, 7], 3), [2, 4, 6]);
        assert_eq!(deaths(&[1, 2], 3), [1, 2]);
    }
}
