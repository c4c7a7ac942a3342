//! What registries answer in headers.

use super::challenge::Challenge;
use super::tags::next_of;

/// A line as a challenge, and as a link.
pub(crate) fn line(text: &str) {
    if let Some(Challenge::Bearer { realm, service, scope }) = Challenge::parse(text) {
        let whole: usize = [Some(realm), service, scope].iter().flatten().map(String::len).sum();
        assert!(whole <= 3 * text.len(), "{text:?} grew");
    }
    if let Some(next) = next_of(text) {
        assert!(text.contains(&next), "{next:?} is not in {text:?}");
    }
}
