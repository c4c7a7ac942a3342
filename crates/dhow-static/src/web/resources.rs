use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dhow_file::Buffers;
use tokio::sync::Semaphore;

/// Files up to this size are kept in memory, and read whole.
pub(super) const SMALL: u64 = 64 << 10;

/// Bytes of small files that are kept of all live releases together, and of one.
const TOTAL: usize = 64 << 20;
const PER_RELEASE: usize = 8 << 20;
/// Big files that stay open, unless it is said otherwise.
const FILES: usize = 256;

/// What all live releases of a process share: the memory for small files, the big files that stay open, the buffers in
/// which they are read, and who may compress.
#[derive(Debug)]
pub struct Resources {
    total: usize,
    per_release: usize,
    used: AtomicUsize,
    most_files: usize,
    files: AtomicUsize,
    pub(super) buffers: Buffers,
    /// Compression beyond this many at once is left out: the file is then sent as it is.
    pub(super) compressors: Arc<Semaphore>,
}

impl Default for Resources {
    fn default() -> Self {
        Self::new(FILES)
    }
}

impl Resources {
    /// So many big files that were asked for stay open, a quarter of them of one release, and 64 MiB of small ones stay in
    /// memory, 8 MiB of one release.
    pub fn new(files: usize) -> Self {
        Self::with(TOTAL, PER_RELEASE, files)
    }

    fn with(total: usize, per_release: usize, most_files: usize) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let compressors = Arc::new(Semaphore::new(threads));
        let (used, files, buffers) = (AtomicUsize::new(0), AtomicUsize::new(0), Buffers::default());
        Self { total, per_release, used, most_files, files, buffers, compressors }
    }

    /// The bytes that are held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// One release's share. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) resources: Arc<Resources>,
    held: AtomicUsize,
    files: AtomicUsize,
}

impl Share {
    pub(super) fn new(resources: Arc<Resources>) -> Self {
        Self { resources, held: AtomicUsize::new(0), files: AtomicUsize::new(0) }
    }

    /// Whether this many bytes more may be kept; they are then counted.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let Resources { total, per_release, used, .. } = &*self.resources;
        add_to_both((&self.held, *per_release), (used, *total), bytes)
    }

    /// Gives back what was reserved and not used.
    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.resources.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether one file more may stay open; it is then counted.
    pub(super) fn reserve_file(&self) -> bool {
        let Resources { most_files, files, .. } = &*self.resources;
        add_to_both((&self.files, most_files.div_ceil(4)), (files, *most_files), 1)
    }

    /// Gives back the place of a file that was closed.
    pub(super) fn release_file(&self) {
        self.files.fetch_sub(1, Ordering::Relaxed);
        self.resources.files.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.resources.used.fetch_sub(*self.held.get_mut(), Ordering::Relaxed);
        self.resources.files.fetch_sub(*self.files.get_mut(), Ordering::Relaxed);
    }
}

/// Adds to a release's counter and to that of all, or to none of them where one is at its limit.
fn add_to_both(own: (&AtomicUsize, usize), all: (&AtomicUsize, usize), count: usize) -> bool {
    if !add(own.0, count, own.1) {
        return false;
    }
    let granted = add(all.0, count, all.1);
    if !granted {
        own.0.fetch_sub(count, Ordering::Relaxed);
    }
    granted
}

fn add(counter: &AtomicUsize, bytes: usize, limit: usize) -> bool {
    let grow = |now: usize| now.checked_add(bytes).filter(|sum| *sum <= limit);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_by_release_and_in_total_and_comes_back() {
        let resources = Arc::new(Resources::with(100, 60, 0));
        let (a, b) = (Share::new(resources.clone()), Share::new(resources.clone()));
        assert!(a.reserve(60) && !a.reserve(1));
        assert!(b.reserve(40) && !b.reserve(1));
        drop(a);
        assert_eq!(resources.used(), 40);
        assert!(b.reserve(20));
    }

    #[test]
    fn open_files_are_bounded_by_release_and_in_total_and_come_back() {
        let resources = Arc::new(Resources::new(8));
        let shares: Vec<Share> = (0..5).map(|_| Share::new(resources.clone())).collect();
        let kept = |share: &Share| (0..100).filter(|_| share.reserve_file()).count();
        assert_eq!(shares.iter().map(kept).collect::<Vec<_>>(), [2, 2, 2, 2, 0]);
        shares[0].release_file();
        assert_eq!(kept(&shares[4]), 1);
        drop(shares);
        assert_eq!(kept(&Share::new(resources)), 2);
    }
}
