use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::port::{
    Batch, Committed, EventQuery, Lease, Row, Scan, Store, StoreError, StoredEvent, Table,
};
use dhow_testkit::MemoryStore;
use tokio::sync::Notify;

/// When the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The batch of this number, from 1, is not stored.
    Before(usize),
    /// It is stored, and nobody learns of it.
    After(usize),
}

/// A store in memory whose process dies at a batch: from then on nothing answers.
pub struct Fuse {
    store: Mutex<Arc<MemoryStore>>,
    batches: AtomicUsize,
    cut: Mutex<Option<Cut>>,
    dead: AtomicBool,
    died: Notify,
}

impl Fuse {
    pub fn new(store: MemoryStore) -> Self {
        Self {
            store: Mutex::new(Arc::new(store)),
            batches: AtomicUsize::new(0),
            cut: Mutex::new(None),
            dead: AtomicBool::new(false),
            died: Notify::new(),
        }
    }

    /// The process dies there.
    pub fn cut_at(&self, cut: Cut) {
        *self.cut.lock().unwrap() = Some(cut);
    }

    /// How many batches were asked for.
    pub fn batches(&self) -> usize {
        self.batches.load(Ordering::SeqCst)
    }

    /// Returns when the process dies.
    pub async fn dies(&self) {
        self.died.notified().await;
    }

    /// What a new process finds.
    pub fn revive(&self) {
        let mut store = self.store.lock().unwrap();
        let found = Arc::new(store.after_crash());
        *store = found;
        self.dead.store(false, Ordering::SeqCst);
    }

    /// The store behind, which always answers.
    pub fn inner(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.store.lock().unwrap())
    }

    async fn alive(&self) -> Arc<MemoryStore> {
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner()
    }

    async fn die(&self) -> ! {
        self.dead.store(true, Ordering::SeqCst);
        *self.cut.lock().unwrap() = None;
        self.died.notify_one();
        loop {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Store for Fuse {
    async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let store = self.alive().await;
        let number = self.batches.fetch_add(1, Ordering::SeqCst) + 1;
        let cut = *self.cut.lock().unwrap();
        if cut == Some(Cut::Before(number)) {
            self.die().await;
        }
        let committed = store.commit(batch).await;
        if cut == Some(Cut::After(number)) {
            self.die().await;
        }
        committed
    }

    async fn get(&self, table: Table, key: &str) -> Result<Option<Row>, StoreError> {
        self.alive().await.get(table, key).await
    }

    async fn scan(&self, table: Table, scan: Scan) -> Result<Vec<Row>, StoreError> {
        self.alive().await.scan(table, scan).await
    }

    async fn events(&self, query: EventQuery) -> Result<Vec<StoredEvent>, StoreError> {
        self.alive().await.events(query).await
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        self.alive().await.last_event().await
    }

    async fn acquire(&self, name: &str, holder: &str, time: Duration) -> Result<Lease, StoreError> {
        self.alive().await.acquire(name, holder, time).await
    }

    async fn renew(&self, lease: &Lease, time: Duration) -> Result<(), StoreError> {
        self.alive().await.renew(lease, time).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.alive().await.release(lease).await
    }
}
