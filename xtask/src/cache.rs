//! The cache outside the checkout: what is installed once and serves every clone.

use std::env;
use std::path::PathBuf;

use anyhow::Context as _;

/// The cache's folder: `$XDG_CACHE_HOME/dhow`, else `~/.cache/dhow`. It may not exist yet.
///
/// Fails where neither variable is set.
pub fn dir() -> anyhow::Result<PathBuf> {
    choose(path("XDG_CACHE_HOME"), path("HOME"))
}

fn path(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}

/// A relative path counts as unset, as the XDG specification says: it would land in the checkout.
fn choose(cache: Option<PathBuf>, home: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    cache
        .filter(|dir| dir.is_absolute())
        .or_else(|| home.filter(|dir| dir.is_absolute()).map(|home| home.join(".cache")))
        .map(|dir| dir.join("dhow"))
        .context("no place for the cache: set XDG_CACHE_HOME or HOME to an absolute path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xdg_wins_over_home() {
        let dir = choose(Some("/var/cache".into()), Some("/home/alice".into())).unwrap();
        assert_eq!(dir, PathBuf::from("/var/cache/dhow"));
    }

    #[test]
    fn a_relative_or_empty_xdg_falls_back_to_home() {
        for relative in ["", "cache"] {
            let dir = choose(Some(relative.into()), Some("/home/alice".into())).unwrap();
            assert_eq!(dir, PathBuf::from("/home/alice/.cache/dhow"));
        }
    }

    #[test]
    fn without_a_home_the_message_says_what_to_set() {
        let message = choose(None, None).unwrap_err().to_string();
        assert!(message.contains("XDG_CACHE_HOME"), "{message}");
    }
}
