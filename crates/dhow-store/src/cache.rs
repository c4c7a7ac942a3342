//! What was read, for as long as nobody writes it.
//!
//! One process has the database (the state directory's lock), and all its writes come through here: what is kept is
//! always what is stored. A read from the database changes threads twice; most of what a pass with nothing to do reads
//! was read in the pass before.
//!
//! A row that is being written is in no entry, from before its write is queued until it is on disk, also where the asker
//! went away meanwhile: its [`Writing`] travels with the job.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dhow_core::port::{Batch, Row, Scan, Table};
use indexmap::{Equivalent, IndexMap};

/// Bytes of rows and keys that are kept: those of a fleet of some thousand deployments.
const LIMIT: usize = 48 << 20;
/// Larger answers are not kept: those that read a whole table.
const LARGEST: usize = 64 << 10;
/// What an entry takes beside its texts.
const OVERHEAD: usize = 160;

/// How the rows of a place are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    Scan { open_only: bool, descending: bool, limit: Option<usize> },
}

/// What is asked for: the row of a key, or rows whose keys start with it.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    table: Table,
    key: Box<str>,
    kind: Kind,
}

impl Query {
    /// One row.
    pub fn get(table: Table, key: &str) -> Self {
        Self { table, key: key.into(), kind: Kind::Get }
    }

    /// Rows; `None` for questions that are asked once.
    pub fn scan(table: Table, scan: &Scan) -> Option<Self> {
        let kind = Kind::Scan { open_only: scan.open_only, descending: scan.descending, limit: scan.limit };
        scan.after.is_none().then(|| Self { table, key: scan.prefix.as_str().into(), kind })
    }
}

/// An answer.
pub(crate) type Rows = Arc<[Row]>;

/// A key, or what keys start with, in a table.
type Place = (Table, Box<str>);

/// A place that is looked for: its key is not copied.
#[derive(Hash)]
struct At<'a>(Table, &'a str);

impl Equivalent<Place> for At<'_> {
    fn equivalent(&self, place: &Place) -> bool {
        self.0 == place.0 && *self.1 == *place.1
    }
}

#[derive(Debug)]
enum Entry {
    /// Somebody reads it; the number says who.
    Reading(u64),
    Kept(Rows),
}

#[derive(Debug, Default)]
struct Inner {
    entries: IndexMap<Place, Vec<(Kind, Entry)>>,
    /// Rows that are being written, and by how many batches.
    written: BTreeMap<(Table, String), usize>,
    bytes: usize,
    reads: u64,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    inner: Arc<Mutex<Inner>>,
    limit: usize,
}

/// What came of looking here first.
#[derive(Debug)]
pub(crate) enum Looked {
    /// These.
    Found(Rows),
    /// The database must be asked; the answer may be kept under this number, where there is one.
    Ask(Option<u64>),
}

/// Rows of a batch that is being written; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Writing {
    cache: Cache,
    rows: Vec<(Table, String)>,
}

impl Default for Cache {
    fn default() -> Self {
        Self { inner: Arc::default(), limit: LIMIT }
    }
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for an answer, and notes that it is being read where there is none.
    pub fn look(&self, query: &Query) -> Looked {
        let mut inner = self.lock();
        if let Some(kinds) = inner.entries.get(&At(query.table, &query.key))
            && let Some((_, Entry::Kept(rows))) = kinds.iter().find(|(kind, _)| *kind == query.kind)
        {
            return Looked::Found(Arc::clone(rows));
        }
        if inner.is_written(query) {
            return Looked::Ask(None);
        }
        inner.reads += 1;
        let number = inner.reads;
        inner.set((query.table, query.key.clone()), query.kind, Entry::Reading(number));
        Looked::Ask(Some(number))
    }

    /// Keeps an answer, unless one of its rows was written since it was asked for.
    pub fn keep(&self, query: Query, number: Option<u64>, rows: &Rows) {
        let Some(number) = number else { return };
        let mut inner = self.lock();
        let place = (query.table, query.key);
        let reads = |kinds: &Vec<(Kind, Entry)>| {
            kinds.iter().any(|(kind, entry)| {
                *kind == query.kind && matches!(entry, Entry::Reading(reader) if *reader == number)
            })
        };
        if !inner.entries.get(&place).is_some_and(reads) {
            return;
        }
        match size_of(rows) <= LARGEST {
            true => inner.set(place, query.kind, Entry::Kept(Arc::clone(rows))),
            false => inner.forget(&At(place.0, &place.1)),
        }
        while inner.bytes > self.limit && !inner.entries.is_empty() {
            let any = rand::random_range(0..inner.entries.len());
            let place = inner.entries.get_index(any).map(|(place, _)| place.clone());
            place.iter().for_each(|(table, key)| inner.forget(&At(*table, key)));
        }
    }

    /// A batch is about to be written: nothing of it is kept until the answer is dropped.
    pub fn write(&self, batch: &Batch) -> Writing {
        let mut inner = self.lock();
        let rows: Vec<(Table, String)> = batch.puts.iter().map(|put| (put.table, put.key.clone())).collect();
        for (table, key) in &rows {
            // Whatever starts so was asked with one of the key's prefixes, the whole key and none included.
            for end in (0..=key.len()).filter(|end| key.is_char_boundary(*end)) {
                inner.forget(&At(*table, &key[..end]));
            }
            *inner.written.entry((*table, key.clone())).or_default() += 1;
        }
        Writing { cache: self.clone(), rows }
    }
}

impl Inner {
    fn is_written(&self, query: &Query) -> bool {
        let from = (query.table, query.key.to_string());
        match query.kind {
            Kind::Get => self.written.contains_key(&from),
            Kind::Scan { .. } => self
                .written
                .range(from..)
                .next()
                .is_some_and(|((table, key), _)| *table == query.table && key.starts_with(&*query.key)),
        }
    }

    fn set(&mut self, place: Place, kind: Kind, entry: Entry) {
        let added = entry_size(&place, &entry);
        let at = place.clone();
        let kinds = self.entries.entry(place).or_default();
        let before = kinds.iter().position(|(of, _)| *of == kind).map(|found| kinds.swap_remove(found));
        kinds.push((kind, entry));
        self.bytes += added;
        if let Some((_, before)) = before {
            self.bytes -= entry_size(&at, &before);
        }
    }

    fn forget(&mut self, at: &At<'_>) {
        if let Some((_, place, kinds)) = self.entries.swap_remove_full(at) {
            self.bytes -= kinds.iter().map(|(_, entry)| entry_size(&place, entry)).sum::<usize>();
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut inner = self.cache.lock();
        for row in self.rows.drain(..) {
            if let Some(count) = inner.written.get_mut(&row) {
                *count -= 1;
                if *count == 0 {
                    inner.written.remove(&row);
                }
            }
        }
    }
}

fn size_of(rows: &Rows) -> usize {
    rows.iter().map(|row| row.key.len() + row.body.len() + std::mem::size_of::<Row>()).sum()
}

fn entry_size(place: &Place, entry: &Entry) -> usize {
    OVERHEAD
        + place.1.len()
        + match entry {
            Entry::Reading(_) => 0,
            Entry::Kept(rows) => size_of(rows),
        }
}

#[cfg(test)]
mod tests {
    use dhow_core::port::{Expect, Put};

    use super::*;

    const TABLE: Table = Table::Rollouts;

    fn rows(keys: &[&str]) -> Rows {
        let row = |key: &&str| Row { key: (*key).to_owned(), revision: 1, open: false, body: "{}".into() };
        keys.iter().map(row).collect()
    }

    fn batch(key: &str) -> Batch {
        let put = Put { table: TABLE, key: key.into(), expect: Expect::Any, open: false, body: None };
        Batch { puts: vec![put], events: Vec::new() }
    }

    fn below(prefix: &str) -> Query {
        Query::scan(TABLE, &Scan { prefix: prefix.into(), ..Scan::default() }).unwrap()
    }

    /// Reads as the store does; true: it was kept here.
    fn read(cache: &Cache, query: &Query, answer: &Rows) -> bool {
        match cache.look(query) {
            Looked::Found(found) => {
                assert_eq!(found, *answer);
                true
            }
            Looked::Ask(number) => {
                cache.keep(query.clone(), number, answer);
                false
            }
        }
    }

    #[test]
    fn what_was_read_is_kept_until_it_is_written() {
        let cache = Cache::default();
        let (one, all, other) = (Query::get(TABLE, "a/1"), below("a/"), Query::get(TABLE, "b/1"));
        for query in [&one, &all, &other] {
            assert!(!read(&cache, query, &rows(&["a/1"])));
            assert!(read(&cache, query, &rows(&["a/1"])));
        }
        drop(cache.write(&batch("a/1")));
        assert!(!read(&cache, &one, &rows(&[])), "the row was written");
        assert!(!read(&cache, &all, &rows(&[])), "a row of the list was written");
        assert!(read(&cache, &other, &rows(&["a/1"])), "it was not written");
        // A row that was not there is in the list of those that are.
        drop(cache.write(&batch("a/2")));
        assert!(!read(&cache, &all, &rows(&["a/2"])));
    }

    #[test]
    fn what_is_read_while_it_is_written_is_not_kept() {
        let cache = Cache::default();
        for query in [Query::get(TABLE, "a/1"), below("a/"), below("")] {
            let Looked::Ask(before) = cache.look(&query) else { panic!("{query:?} is kept") };
            let writing = cache.write(&batch("a/1"));
            cache.keep(query.clone(), before, &rows(&[]));
            let Looked::Ask(amid) = cache.look(&query) else { panic!("{query:?} is old") };
            drop(writing);
            cache.keep(query.clone(), amid, &rows(&[]));
            assert!(!read(&cache, &query, &rows(&["a/1"])), "{query:?} is old");
            assert!(read(&cache, &query, &rows(&["a/1"])));
        }
    }

    #[test]
    fn two_questions_about_one_place_have_an_answer_each() {
        let cache = Cache::default();
        let newest = Scan { prefix: "a/".into(), descending: true, limit: Some(1), ..Scan::default() };
        let newest = Query::scan(TABLE, &newest).unwrap();
        read(&cache, &below("a/"), &rows(&["a/1", "a/2"]));
        read(&cache, &newest, &rows(&["a/2"]));
        assert!(read(&cache, &below("a/"), &rows(&["a/1", "a/2"])));
        assert!(read(&cache, &newest, &rows(&["a/2"])));
    }

    #[test]
    fn it_takes_no_more_than_its_share_and_counts_what_it_gives_back() {
        let cache = Cache { limit: 10 * (OVERHEAD + 100), ..Cache::default() };
        for number in 0..100 {
            let key = format!("a/{number}");
            read(&cache, &Query::get(TABLE, &key), &rows(&[&key]));
            assert!(cache.lock().bytes <= cache.limit);
        }
        assert!(cache.lock().entries.len() > 3);
        for number in 0..100 {
            drop(cache.write(&batch(&format!("a/{number}"))));
        }
        let inner = cache.lock();
        assert_eq!((inner.bytes, inner.entries.len(), inner.written.len()), (0, 0, 0));
    }
}
