//! Aliases of environments: `prod` means `production`, `staging` and `preprod` mean `stage`.

use std::collections::{BTreeMap, BTreeSet};

use crate::noun::{EnvironmentName, InvalidName};

/// The environment whose deployments are templates of previews.
pub const PULL_REQUEST: &str = "pull_request";

const GROUPS: [&[&str]; 2] = [&["production", "prod"], &["stage", "staging", "preprod"]];

/// Which spelling means which environment in one fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Aliases {
    means: BTreeMap<&'static str, &'static str>,
}

impl Aliases {
    /// The aliases of a fleet that declares or uses these names. Where it has two names of one group, they are two
    /// environments and each stands for itself.
    pub(crate) fn of(used: &BTreeSet<String>) -> Self {
        let mut means = BTreeMap::new();
        for group in GROUPS {
            if group.iter().filter(|name| used.contains(**name)).count() <= 1 {
                means.extend(group.iter().map(|name| (*name, group[0])));
            }
        }
        Self { means }
    }

    /// The environment that a spelling means.
    pub(crate) fn resolve(&self, spelled: &str) -> Result<EnvironmentName, InvalidName> {
        EnvironmentName::new(self.means.get(spelled).copied().unwrap_or(spelled))
    }

    /// The same for a name that was checked.
    pub(crate) fn meant(&self, spelled: &EnvironmentName) -> EnvironmentName {
        self.resolve(spelled.as_str()).unwrap_or_else(|_| spelled.clone())
    }
}

/// Groups of which a fleet has more than one name: legal, but seldom meant.
pub(crate) fn doubtful(used: &BTreeSet<String>) -> Vec<Vec<&'static str>> {
    GROUPS
        .iter()
        .map(|group| group.iter().copied().filter(|name| used.contains(*name)).collect::<Vec<_>>())
        .filter(|names| names.len() > 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases(used: &[&str]) -> Aliases {
        Aliases::of(&used.iter().map(|s| (*s).to_owned()).collect())
    }

    #[test]
    fn an_alias_means_its_environment_unless_both_names_are_used() {
        assert_eq!(aliases(&["prod"]).resolve("prod").unwrap().as_str(), "production");
        assert_eq!(aliases(&["preprod"]).resolve("preprod").unwrap().as_str(), "stage");
        let both = aliases(&["prod", "production"]);
        assert_eq!(both.resolve("prod").unwrap().as_str(), "prod");
        assert_eq!(aliases(&["qa"]).resolve("qa").unwrap().as_str(), "qa");
    }
}
