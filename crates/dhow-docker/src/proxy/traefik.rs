//! Traefik, by its file provider: one file a deployment, replaced by one rename, and no other file is touched.
//!
//! A change of a file cuts no connection. It is in force after Traefik's `providersThrottleDuration`, 2 s unless it is
//! set; [`Proxy::ready`] waits for it. Traefik counts no open requests of a service; the kernel does.

mod file;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dhow_core::fleet::{ProxySettings, Tls};
use dhow_core::noun::DeploymentId;
use dhow_core::port::Executor;

use super::error::ProxyError;
use super::site::{Site, Upstream, checked, mark_path, name};
use super::{Change, Proxy, live};

/// Traefik at one place.
pub(super) struct Traefik {
    settings: ProxySettings,
    executor: Arc<dyn Executor>,
}

impl Traefik {
    pub(super) fn new(settings: ProxySettings, executor: Arc<dyn Executor>) -> Self {
        Self { settings, executor }
    }

    fn folder(&self) -> Result<&str, ProxyError> {
        let missing = || ProxyError::Unable("the proxy traefik has no folder in dhow.yaml".into());
        self.settings.folder.as_deref().ok_or_else(missing)
    }

    fn path(&self, deployment: &DeploymentId) -> Result<String, ProxyError> {
        Ok(format!("{}/{}.yaml", self.folder()?, name(deployment)))
    }
}

#[async_trait]
impl Proxy for Traefik {
    async fn route(&self, deployment: &DeploymentId) -> Result<Option<Vec<Upstream>>, ProxyError> {
        let path = self.path(deployment)?;
        let Some(found) = self.executor.read(&path).await? else { return Ok(None) };
        file::upstreams(&found, &name(deployment)).map(Some).ok_or_else(|| {
            let help = "remove it, and Dhow writes it again";
            ProxyError::Unexpected(format!("{path} is not as Dhow wrote it; {help}"))
        })
    }

    async fn lacks(&self, site: &Site, upstreams: &[Upstream]) -> Result<Option<String>, ProxyError> {
        let found = self.executor.read(&self.path(&site.deployment)?).await?;
        Ok(match found {
            None => Some("its file is not in Traefik's folder".into()),
            Some(found) if found == file::text(site, &checked(upstreams)?).as_bytes() => None,
            Some(_) => Some("its file in Traefik's folder says something else".into()),
        })
    }

    async fn present(&self) -> Result<BTreeSet<String>, ProxyError> {
        let files = self.executor.list(self.folder()?).await?;
        let ours = |file: &String| {
            file.strip_suffix(".yaml").filter(|name| name.starts_with("dhow~")).map(str::to_owned)
        };
        Ok(files.iter().filter_map(ours).collect())
    }

    async fn look(&self, _site: &Site) -> Result<Vec<String>, ProxyError> {
        let folder = self.folder()?;
        let empty = self.executor.list(folder).await?.is_empty();
        let note = format!(
            "the folder {folder} is empty or not there: it must be providers.file.directory of Traefik, and watched"
        );
        Ok(empty.then_some(note).into_iter().collect())
    }

    async fn set(&self, site: &Site, upstreams: &[Upstream]) -> Result<Change, ProxyError> {
        let path = self.path(&site.deployment)?;
        let wanted = file::text(site, &checked(upstreams)?);
        let found = self.executor.read(&path).await?;
        if found.as_deref() == Some(wanted.as_bytes()) {
            return Ok(Change::None);
        }
        // Traefik may run as somebody else: what it is to read, everybody may. No password is in it.
        self.executor.write(&path, wanted.as_bytes(), 0o644).await?;
        let former = found.as_ref().and_then(|found| file::upstreams(found, &name(&site.deployment)));
        let same = former.is_some_and(|former| found == Some(file::text(site, &former).into_bytes()));
        Ok(if same { Change::Addresses } else { Change::Configuration })
    }

    async fn retain(
        &self,
        deployment: &DeploymentId,
        upstreams: &[SocketAddr],
    ) -> Result<Change, ProxyError> {
        let path = self.path(deployment)?;
        let Some(found) = self.executor.read(&path).await? else { return Ok(Change::None) };
        let Some(left) = file::retain(&found, &name(deployment), upstreams) else { return Ok(Change::None) };
        self.executor.write(&path, left.as_bytes(), 0o644).await?;
        Ok(Change::Addresses)
    }

    async fn remove(&self, deployment: &DeploymentId) -> Result<Change, ProxyError> {
        let path = self.path(deployment)?;
        if self.executor.read(&path).await?.is_none() {
            return Ok(Change::None);
        }
        self.executor.remove(&path).await?;
        Ok(Change::Configuration)
    }

    async fn ready(&self, site: &Site, upstreams: &[Upstream], limit: Duration) -> Result<(), ProxyError> {
        let mark = file::mark_of(site, &checked(upstreams)?);
        let front = self.front(site).await?;
        match live::wait(site, front, &mark_path(site, &mark), &mark, limit).await {
            Err(ProxyError::NotReady { host, limit, reason }) => {
                let folder = self.folder()?;
                let reason = format!(
                    "{reason}; is {folder} the directory of its file provider, and does the provider watch it?"
                );
                Err(ProxyError::NotReady { host, limit, reason })
            }
            other => other,
        }
    }

    async fn open(&self, _upstream: SocketAddr) -> Result<Option<u64>, ProxyError> {
        Ok(None)
    }

    async fn front(&self, site: &Site) -> Result<SocketAddr, ProxyError> {
        let port = if site.tls == Tls::Off { 80 } else { 443 };
        let front = self.settings.front.unwrap_or(SocketAddr::from(([127, 0, 0, 1], port)));
        Ok(self.executor.forward_tcp(front).await?)
    }
}

/// Reads any file as one of Dhow's.
#[cfg(feature = "fuzz")]
pub(super) fn fuzz(data: &[u8]) {
    let name = String::from("shop");
    let _ = file::upstreams(data, &name);
    if let Some(less) = file::retain(data, &name, &[]) {
        let stays = file::upstreams(less.as_bytes(), &name);
        assert!(stays.is_none_or(|stays| stays.is_empty()), "an upstream stays in {less:?}");
    }
}
