//! Whether what a container mounts from elsewhere holds what the fleet holds.

use std::collections::BTreeSet;

use dhow_core::noun::Digest;
use dhow_core::port::TargetError;

use super::body::Body;
use super::error;
use super::site::Site;

/// Those of the pairs (path in the fleet, path at the place) that hold the same files with the same bytes.
pub(super) async fn same(
    site: &Site,
    body: &Body,
    pairs: BTreeSet<(String, String)>,
) -> Result<BTreeSet<(String, String)>, TargetError> {
    let mut same = BTreeSet::new();
    for (fleet, source) in pairs {
        let Some(content) = body.content.get(&fleet) else { continue };
        let mut equal = true;
        let mut names = BTreeSet::new();
        for file in &content.files {
            let path = super::path::join(&source, &file.path);
            let bytes = site.executor.read(&path).await.unwrap_or_default();
            equal &= bytes.is_some_and(|bytes| Digest::of(&bytes).hex() == file.digest);
            if !equal {
                break;
            }
            names.extend(file.path.split('/').next().filter(|name| !name.is_empty()).map(str::to_owned));
        }
        if equal && !names.is_empty() {
            let there = site.executor.list(&source).await.map_err(error::executor)?;
            equal = there.into_iter().collect::<BTreeSet<_>>() == names;
        }
        if equal {
            same.insert((fleet, source));
        }
    }
    Ok(same)
}
