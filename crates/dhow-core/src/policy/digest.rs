use crate::noun::Tag;

/// Policy `digest`: the one tag that is followed is the only candidate.
///
/// The tag itself is compared, never what a filter extracts from it: what is followed is a name in the
/// registry, and no other tag may stand in for it.
pub(super) fn accepts(followed: &Tag, tag: &str) -> bool {
    followed.as_str() == tag
}

#[cfg(test)]
mod tests {
    use super::super::{Policy, Rule, ranked};

    #[test]
    fn only_the_followed_tag_is_ranked() {
        let rule = Rule::from(Policy::digest("latest").unwrap());
        assert_eq!(ranked(&rule, ["latest", "latest2", "1.0.0", "Latest"].into_iter()), Ok(vec!["latest"]));
        assert_eq!(ranked(&rule, ["1.0.0"].into_iter()), Ok(vec![]));
    }

    #[test]
    fn no_extract_can_put_another_tag_in_its_place() {
        let rule = Rule::new(Policy::digest("latest").unwrap(), Some("^(latest)"), Some("$1")).unwrap();
        assert_eq!(ranked(&rule, ["latest-arm", "latest"].into_iter()), Ok(vec!["latest"]));
    }
}
