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
    /// The aliases of a fleet whose root file declares and whose folders use these names. Where it declares two names of
    /// one group, or uses two, they are two environments and each stands for itself. A fleet that declares `production`
    /// and has folders `prod` means one: its gates must bind them.
    pub(crate) fn of(declared: &BTreeSet<String>, used: &BTreeSet<String>) -> Self {
        let mut means = BTreeMap::new();
        for group in GROUPS {
            if two_of(group, declared).is_none() && two_of(group, used).is_none() {
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

/// The other names of an environment's group: `prod` for `production`. Empty where it has none.
pub fn other_names(environment: &EnvironmentName) -> impl Iterator<Item = &'static str> + use<'_> {
    let group = GROUPS.iter().find(|group| group.contains(&environment.as_str()));
    group.into_iter().flat_map(|names| names.iter().copied()).filter(|name| *name != environment.as_str())
}

/// Groups of which a fleet has more than one name: legal, but seldom meant.
pub(crate) fn doubtful(declared: &BTreeSet<String>, used: &BTreeSet<String>) -> Vec<Vec<&'static str>> {
    GROUPS.iter().filter_map(|group| two_of(group, declared).or_else(|| two_of(group, used))).collect()
}

/// The names of a group among these, where they are two or more.
fn two_of(group: &[&'static str], names: &BTreeSet<String>) -> Option<Vec<&'static str>> {
    let found: Vec<&str> = group.iter().copied().filter(|name| names.contains(*name)).collect();
    (found.len() > 1).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaring(declared: &[&str], used: &[&str]) -> Aliases {
        let set = |names: &[&str]| names.iter().map(|s| (*s).to_owned()).collect();
        Aliases::of(&set(declared), &set(used))
    }

    fn aliases(used: &[&str]) -> Aliases {
        declaring(&[], used)
    }

    #[test]
    fn gates_declared_under_one_name_bind_folders_under_the_other() {
        let one = declaring(&["production"], &["prod"]);
        assert_eq!(one.resolve("prod").unwrap().as_str(), "production");
    }

    #[test]
    fn an_alias_means_its_environment_unless_both_names_are_used() {
        assert_eq!(aliases(&["prod"]).resolve("prod").unwrap().as_str(), "production");
        assert_eq!(aliases(&["preprod"]).resolve("preprod").unwrap().as_str(), "stage");
        let both = aliases(&["prod", "production"]);
        assert_eq!(both.resolve("prod").unwrap().as_str(), "prod");
        let declared = declaring(&["prod", "production"], &["prod"]);
        assert_eq!(declared.resolve("prod").unwrap().as_str(), "prod");
        assert_eq!(aliases(&["qa"]).resolve("qa").unwrap().as_str(), "qa");
    }
}
