//! Keeping the mirror small: many small fetches leave many small packs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::command::Git;

/// After so many fetches and pushes git is asked to tidy up.
const EVERY: u32 = 64;
/// How long that may take.
const LIMIT: Duration = Duration::from_secs(900);

/// Counts what leaves packs behind.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    count: AtomicU32,
}

impl Upkeep {
    /// Counts one; now and then git tidies up in the background. A crash in between does no harm.
    pub(crate) fn count(&self, git: &Arc<Git>) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_multiple_of(EVERY) {
            let git = Arc::clone(git);
            tokio::spawn(async move { tidy(&git).await });
        }
    }
}

/// Lets git decide whether there is anything to tidy, and do it.
async fn tidy(git: &Git) {
    match git.run(&["maintenance", "run", "--auto", "--quiet"], LIMIT).await {
        Ok(output) if output.ok => tracing::debug!("the mirror of the fleet was tidied"),
        Ok(output) => {
            tracing::warn!(git = crate::redact::words(&output.stderr, &[]), "the mirror could not be tidied")
        }
        Err(error) => tracing::warn!(%error, "the mirror could not be tidied"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn git_can_tidy_a_mirror() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mirror");
        crate::mirror::Mirror::create(&path).unwrap();
        let git = Git { git_dir: Some(path), environment: Default::default(), config: Vec::new() };
        let output = git.run(&["maintenance", "run", "--auto", "--quiet"], LIMIT).await.unwrap();
        assert!(output.ok, "{}", output.stderr);
    }
}
