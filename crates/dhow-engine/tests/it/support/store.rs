use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::port::{
    Batch, Committed, EventQuery, Lease, Row, Scan, Store, StoreError, StoredEvent, Table,
};
use dhow_testkit::MemoryStore;
use tokio::sync::Notify;

/// So many batches are no voyage: somebody goes round in a circle.
const MOST: usize = 10_000;

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
    /// What each batch said.
    batches: Mutex<Vec<String>>,
    cut: Mutex<Option<Cut>>,
    dead: AtomicBool,
    died: Notify,
}

impl Fuse {
    pub fn new(store: MemoryStore) -> Self {
        Self {
            store: Mutex::new(Arc::new(store)),
            batches: Mutex::default(),
            cut: Mutex::new(None),
            dead: AtomicBool::new(false),
            died: Notify::new(),
        }
    }

    /// The process dies there.
    pub fn cut_at(&self, cut: Cut) {
        *self.cut.lock().unwrap() = Some(cut);
    }

    /// What each batch that was asked for said, in a word or two: the first is number 1.
    pub fn batches(&self) -> Vec<String> {
        self.batches.lock().unwrap().clone()
    }

    /// Notes a batch, and gives its number.
    fn count(&self, batch: &Batch) -> usize {
        let facts = batch.events.iter().map(|e| {
            let word = |field: &str| e.body.get(field).and_then(|v| v.as_str()).unwrap_or_default();
            let server = word("key").split_once('@').map_or("", |(_, server)| server);
            let step = format!("{} {server}", word("key").split(':').next().unwrap_or_default());
            let to = if e.kind == "rollout_moved" { word("to") } else { "" };
            format!("{} {step} {to}", e.kind)
        });
        let rows = batch.puts.iter().map(|p| p.table.as_str().to_owned());
        let said = if batch.events.is_empty() { rows.collect() } else { facts.collect::<Vec<_>>() };
        let mut batches = self.batches.lock().unwrap();
        batches.push(said.join(", "));
        // Waiting takes no time here: what goes round in a circle would do so for ever.
        assert!(batches.len() < MOST, "it never rests; at last: {:?}", &batches[MOST - 20..MOST - 1]);
        batches.len()
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
        let number = self.count(&batch);
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
