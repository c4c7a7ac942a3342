//! What must outlive a crash: the Store port on SQLite
