//! What goes wrong now and is tried again by itself: told once, and shown until it is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use dhow_core::noun::{ArtifactName, EnvironmentName, ServiceName};

/// What is in trouble.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    /// The fleet's repository.
    Fleet,
    /// Selecting versions of an artifact.
    Select(ServiceName, EnvironmentName, ArtifactName),
    /// Pushing to the fleet's repository.
    Push,
    /// Writing an update into the fleet's files.
    Update(ServiceName, EnvironmentName),
}

/// The troubles of now. They are not stored: after a start they are met again, or are over.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<BTreeMap<About, String>>);

impl Troubles {
    /// Notes a trouble; true where it is new, or another than before.
    pub fn note(&self, about: About, reason: &str) -> bool {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.insert(about, reason.to_owned()).is_none_or(|before| before != reason)
    }

    /// It is known already.
    pub fn has(&self, about: &About) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(about)
    }

    /// It is over.
    pub fn over(&self, about: &About) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(about);
    }

    /// Forgets those of what is not in the fleet any more.
    pub fn retain(&self, is_there: impl Fn(&About) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|about, _| is_there(about));
    }

    /// All of them, for people.
    pub fn told(&self) -> Vec<String> {
        let troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = troubles.iter().map(|(about, reason)| match about {
            About::Fleet => format!("the fleet cannot be read, what runs is not touched: {reason}"),
            About::Push => format!("the fleet's remote refuses our commits: {reason}"),
            About::Update(service, environment) => {
                format!("the update of {service} in {environment} cannot be written: {reason}")
            }
            About::Select(service, environment, artifact) => {
                format!("no version of {artifact} can be selected for {service} in {environment}: {reason}")
            }
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_new_once_and_shown_until_it_is_over() {
        let troubles = Troubles::default();
        assert!(troubles.note(About::Fleet, "no route"));
        assert!(!troubles.note(About::Fleet, "no route"));
        assert!(troubles.note(About::Fleet, "refused"));
        assert_eq!(troubles.told(), ["the fleet cannot be read, what runs is not touched: refused"]);
        troubles.over(&About::Fleet);
        assert!(troubles.told().is_empty());
    }
}
