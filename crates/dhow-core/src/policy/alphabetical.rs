use std::cmp::Ordering;

use super::Order;

/// Policy `alphabetical`: byte order, so upper case stands before lower case and `10` before `9`, as in Flux.
/// The greater of two is the newer one.
pub(super) fn compare(order: Order, left: &str, right: &str) -> Ordering {
    order.apply(left.cmp(right))
}

impl Order {
    /// Turns an ascending comparison into one in which the greater side is selected.
    pub(super) fn apply(self, ascending: Ordering) -> Ordering {
        match self {
            Self::Asc => ascending,
            Self::Desc => ascending.reverse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Policy, Rule, ranked, select};

    #[test]
    fn asc_selects_the_last_letter_and_desc_the_first() {
        let tags = ["b", "a", "c"];
        let asc = Rule::from(Policy::alphabetical("asc").unwrap());
        let desc = Rule::from(Policy::alphabetical("desc").unwrap());
        assert_eq!(select(&asc, tags.into_iter()), Ok(Some("c")));
        assert_eq!(select(&desc, tags.into_iter()), Ok(Some("a")));
    }

    #[test]
    fn bytes_are_compared_and_nothing_else() {
        let asc = Rule::from(Policy::alphabetical("asc").unwrap());
        let best_first = ranked(&asc, ["10", "9", "B", "a", "RELEASE.2021-02"].into_iter());
        assert_eq!(best_first, Ok(vec!["a", "RELEASE.2021-02", "B", "9", "10"]));
    }
}
