//! From the old upstreams of a site to its new ones, without a gap.

use std::net::SocketAddr;
use std::time::Duration;

use dhow_core::port::Executor;

use super::error::ProxyError;
use super::site::{Site, Upstream, checked};
use super::{Change, Proxy, admit};

/// A switch of one site at one proxy.
#[derive(Clone, Copy)]
pub struct Switch<'a> {
    /// The proxy.
    pub proxy: &'a dyn Proxy,
    /// Its place.
    pub executor: &'a dyn Executor,
    /// The site.
    pub site: &'a Site,
    /// What serves until now; empty: nothing.
    pub old: &'a [SocketAddr],
    /// What is to serve.
    pub new: &'a [SocketAddr],
}

impl Switch<'_> {
    /// Looks whether the proxy will take it and whether the new upstreams take connections. Changes nothing. Gives what
    /// people should know of the proxy.
    pub async fn prepare(&self) -> Result<Vec<String>, ProxyError> {
        admit(self.executor, self.new).await?;
        self.proxy.look(self.site).await
    }

    /// The new upstreams are put beside the old ones, and then these are taken out; after each step the proxy's front door
    /// is waited for, at most `limit`. Requests that are open go on. A crash leaves the old ones, both, or the new ones,
    /// and the next call goes on from there; once it is done, no call brings the old ones back.
    pub async fn switch(&self, limit: Duration) -> Result<Change, ProxyError> {
        let new = equals(self.new);
        let sorted = checked(&new)?;
        let mut change = Change::None;
        if self.proxy.route(&self.site.deployment).await?.as_deref() != Some(&sorted[..])
            && !self.old.is_empty()
        {
            let mut both = equals(self.old);
            both.extend(new.iter().filter(|upstream| !self.old.contains(&upstream.address)));
            change = self.to(&both, limit).await?;
        }
        Ok(change.max(self.to(&new, limit).await?))
    }

    /// Back to the old upstreams; with none, visitors read that the site is worked on. Repeatable, whatever was done.
    pub async fn undo(&self, limit: Duration) -> Result<Change, ProxyError> {
        self.to(&equals(self.old), limit).await
    }

    async fn to(&self, upstreams: &[Upstream], limit: Duration) -> Result<Change, ProxyError> {
        let change = self.proxy.set(self.site, upstreams).await?;
        self.proxy.ready(self.site, upstreams, limit).await?;
        Ok(change)
    }
}

fn equals(addresses: &[SocketAddr]) -> Vec<Upstream> {
    addresses.iter().copied().map(Upstream::new).collect()
}
