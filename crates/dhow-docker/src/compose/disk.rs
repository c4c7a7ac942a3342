//! The disk of a place: a nearly full one is pruned harder, and a pull never fills it.

use std::collections::BTreeMap;

use dhow_core::port::{Command, Context, Place, Stream, TargetError};

use super::api::Api;
use super::body::Body;
use super::site::Site;
use super::{ComposeTarget, Options};

const GIB: u64 = 1 << 30;

/// When the disk that a place's images are on counts as nearly full, and what a pull needs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimits {
    /// Percent in use from which on it is nearly full.
    pub used_percent: u64,
    /// Bytes free below which it is nearly full.
    pub free: u64,
    /// Bytes that must be free before images are pulled: how large they are is not known before.
    pub pull: u64,
}

impl Default for DiskLimits {
    fn default() -> Self {
        Self { used_percent: 90, free: 2 * GIB, pull: GIB }
    }
}

/// How full a disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    /// The folder that was asked about.
    at: String,
    free: u64,
    used_percent: u64,
}

impl Disk {
    /// `df -Pk`: filesystem, blocks, used, available, use, mount point.
    pub(super) fn read(at: &str, said: &str) -> Option<Self> {
        let words: Vec<&str> = said.lines().last()?.split_whitespace().collect();
        let free = words.get(3)?.parse::<u64>().ok()?.checked_mul(1 << 10)?;
        Some(Self { at: at.to_owned(), free, used_percent: words.get(4)?.strip_suffix('%')?.parse().ok()? })
    }

    /// Why it is nearly full; none where it is not.
    pub(super) fn nearly_full(&self, limits: &DiskLimits) -> Option<String> {
        let full = self.used_percent >= limits.used_percent || self.free < limits.free;
        full.then(|| format!("the disk is nearly full: {self}"))
    }

    /// Why nothing may be pulled; none where there is room.
    pub(super) fn no_room(&self, limits: &DiskLimits) -> Option<String> {
        (self.free < limits.pull).then(|| {
            format!("the disk is too full for a pull, which needs {} free: {self}", gib(limits.pull))
        })
    }
}

impl std::fmt::Display for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} free at {}, {} % in use", gib(self.free), self.at, self.used_percent)
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB as f64)
}

/// How full the disk is that the engine keeps its images on; none where the place cannot tell.
pub(super) async fn disk(site: &Site, api: &Api) -> Option<Disk> {
    let root = api.docker().info().await.ok().and_then(|info| info.docker_root_dir);
    // An engine may keep its images where this user sees nothing: then the disk of our own folder stands for it.
    for at in root.into_iter().chain([parent(&site.root).to_owned()]) {
        let Ok(output) = site.run(&Command::new(["df", "-Pk", "--", at.as_str()])).await else { continue };
        let read = Disk::read(&at, &String::from_utf8_lossy(&output.stdout)).filter(|_| output.ok());
        if read.is_some() {
            return read;
        }
    }
    None
}

/// The folder of all deployments, which is there before the deployment's own.
fn parent(root: &str) -> &str {
    root.split("/compose/").next().unwrap_or(root)
}

impl ComposeTarget {
    /// Why the disk there is nearly full, and why nothing may be pulled, for the plan.
    pub(super) async fn fullness(
        options: &Options,
        site: &Site,
        api: &Api,
    ) -> (Option<String>, Option<String>) {
        let disk = disk(site, api).await;
        let told = |why: fn(&Disk, &DiskLimits) -> Option<String>| why(disk.as_ref()?, &options.disk);
        (told(Disk::nearly_full), told(Disk::no_room))
    }

    /// Sees that a pull does not fill the disk. Where it would, our own old releases go first, all but the one before.
    ///
    /// # Errors
    /// `Blocked`: there is not enough room even so.
    pub(super) async fn has_room(
        &self,
        site: &Site,
        api: &Api,
        body: &Body,
        images: &BTreeMap<String, Option<String>>,
        context: &Context,
    ) -> Result<(), TargetError> {
        let mut missing = false;
        for image in images.keys() {
            missing = missing || api.image(image).await?.is_none();
        }
        let full = async || disk(site, api).await.and_then(|disk| disk.no_room(&self.options.disk));
        let Some(told) = full().await.filter(|_| missing) else { return Ok(()) };
        context.log.line(Stream::Err, &format!("{told}; old releases are removed"));
        // What is removed is removed without a lock: nobody who was taken over may.
        site.enter(context.into()).await?;
        self.prune(site, body, context, true).await?;
        let Some(told) = full().await else { return Ok(()) };
        let place = match site.place() {
            Place::Local => "this machine".to_owned(),
            Place::Server(server) => server.to_string(),
        };
        Err(TargetError::Blocked(format!(
            "{place}: {told}; nothing was pulled and what runs goes on. Make room there (`docker system df` shows what \
             takes it, `docker image prune` removes images without a name), and it goes on by itself within a minute"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(free_kib: u64, used: &str) -> Disk {
        let said = format!(
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 1 1 {free_kib} {used} /"
        );
        Disk::read("/var/lib/docker", &said).unwrap()
    }

    #[test]
    fn a_disk_is_nearly_full_by_percent_or_by_what_is_free() {
        let limits = DiskLimits::default();
        assert_eq!(disk(100 << 20, "50%").nearly_full(&limits), None);
        for full in [disk(100 << 20, "90%"), disk(2_000_000, "10%")] {
            assert!(full.nearly_full(&limits).unwrap().contains("free at /var/lib/docker"), "{full}");
        }
        assert_eq!(disk(2_000_000, "99%").no_room(&limits), None);
        let told = disk(500_000, "99%").no_room(&limits).unwrap();
        assert!(told.contains("needs 1.0 GiB") && told.contains("0.5 GiB free"), "{told}");
    }

    #[test]
    fn an_answer_that_is_none_of_df_says_nothing() {
        for odd in
            ["", "df: /x: No such file or directory", "a b c d e f", "/dev/vda 1 1 99999999999999999999 1% /"]
        {
            assert_eq!(Disk::read("/x", odd), None, "{odd}");
        }
    }
}
