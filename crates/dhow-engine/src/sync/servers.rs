//! How servers are reached: what the fleet last said of each is kept, also of those that it does not have any more. What
//! ran there has to be taken away.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use dhow_core::fleet::Server;
use dhow_core::noun::ServerName;
use dhow_core::port::StoreExt as _;
use dhow_core::rollout::KnownServers;

use crate::engine::{EngineError, Inner};
use crate::journal::Entry;
use crate::view::View;

impl Inner {
    /// Reads what is stored.
    pub(super) async fn load_servers(&self) -> Result<(), EngineError> {
        let known: Option<KnownServers> = self.ports.store.load(KnownServers::KEY).await?;
        self.set_servers(known.unwrap_or_default().servers);
        Ok(())
    }

    /// Stores what a view says of servers, before anything follows from it. Nothing is concluded from a broken root.
    pub(super) async fn remember_servers(&self, view: &View) -> Result<(), EngineError> {
        if view.fleet.broken_root {
            return Ok(());
        }
        let mut servers = self.known_servers();
        servers.extend(view.fleet.servers.clone());
        self.store_servers(servers).await
    }

    /// Forgets how a server is reached that the fleet does not have any more.
    pub(crate) async fn forget_connection(&self, server: &ServerName) -> Result<(), EngineError> {
        let is_there = |view: &View| view.fleet.broken_root || view.fleet.servers.contains_key(server);
        if self.view().is_ok_and(|view| is_there(&view)) {
            return Ok(());
        }
        let mut servers = self.known_servers();
        servers.remove(server);
        self.store_servers(servers).await
    }

    async fn store_servers(&self, servers: BTreeMap<ServerName, Server>) -> Result<(), EngineError> {
        if servers == self.known_servers() {
            return Ok(());
        }
        let mut entry = Entry::new();
        entry.put(&KnownServers { servers: servers.clone() })?;
        self.journal.write(entry).await?;
        self.set_servers(servers);
        Ok(())
    }

    fn known_servers(&self) -> BTreeMap<ServerName, Server> {
        self.servers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_servers(&self, servers: BTreeMap<ServerName, Server>) {
        *self.servers.write().unwrap_or_else(PoisonError::into_inner) = servers;
    }
}
