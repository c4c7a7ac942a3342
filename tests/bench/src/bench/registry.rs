//! The embedded registry beside Debian's `docker-registry`, on the same disk, with the same client.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use dhow_core::noun::Digest;
use futures::future::try_join_all;
use reqwest::{Client, RequestBuilder, StatusCode, header};
use tokio::process::{Child, Command};

use crate::lab::{Fleet, Lab, Process, Serve};
use crate::report::{Goal, Report};

/// How much is pushed and pulled.
const GIB: usize = 1 << 30;
/// How often it is pulled.
const PULLS: usize = 5;

/// A registry under measurement.
struct Registry {
    name: &'static str,
    base: String,
    token: Option<String>,
    process: Process,
}

/// Debian's, from a folder; it ends with this value.
struct Peer(Child);

/// Starts it, as its documentation says (distribution's configuration reference).
async fn peer(folder: &Path) -> Result<Option<(Peer, Registry)>> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let storage = folder.join("peer");
    let config = format!(
        "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\nstorage:\n  filesystem: {{ rootdirectory: {} }}\n\
         http: {{ addr: \"127.0.0.1:{port}\" }}\n",
        storage.display()
    );
    let file = folder.join("peer.yml");
    std::fs::write(&file, config)?;
    let mut command = Command::new("docker-registry");
    command
        .arg("serve")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let Ok(child) = command.spawn() else { return Ok(None) };
    let (base, process) = (format!("http://127.0.0.1:{port}"), Process(child.id().context("it ended")?));
    let client = Client::new();
    for _ in 0..200 {
        if client.get(format!("{base}/v2/")).send().await.is_ok() {
            return Ok(Some((Peer(child), Registry { name: "docker-registry", base, token: None, process })));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("docker-registry does not answer");
}

impl Registry {
    fn with(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.basic_auth("bench", Some(token)),
            None => request,
        }
    }

    async fn push(&self, client: &Client, repository: &str, blob: &Bytes, digest: &Digest) -> Result<()> {
        let begun =
            self.with(client.post(format!("{}/v2/{repository}/blobs/uploads/", self.base))).send().await?;
        ensure!(
            begun.status() == StatusCode::ACCEPTED,
            "{}: an upload was answered with {}",
            self.name,
            begun.status()
        );
        let location = begun.headers().get(header::LOCATION).context("no location")?.to_str()?;
        let location =
            if location.starts_with('/') { format!("{}{location}", self.base) } else { location.to_owned() };
        let sent = client
            .patch(location)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(blob.clone());
        let sent = self.with(sent).send().await?;
        ensure!(
            sent.status() == StatusCode::ACCEPTED,
            "{}: the bytes were answered with {}",
            self.name,
            sent.status()
        );
        let location = sent.headers().get(header::LOCATION).context("no location")?.to_str()?;
        let location =
            if location.starts_with('/') { format!("{}{location}", self.base) } else { location.to_owned() };
        let mark = if location.contains('?') { '&' } else { '?' };
        let ended = self.with(client.put(format!("{location}{mark}digest={digest}"))).send().await?;
        ensure!(
            ended.status() == StatusCode::CREATED,
            "{}: the end was answered with {}",
            self.name,
            ended.status()
        );
        Ok(())
    }

    async fn pull(&self, client: &Client, repository: &str, digest: &Digest, size: usize) -> Result<()> {
        let mut answer =
            self.with(client.get(format!("{}/v2/{repository}/blobs/{digest}", self.base))).send().await?;
        ensure!(
            answer.status() == StatusCode::OK,
            "{}: a pull was answered with {}",
            self.name,
            answer.status()
        );
        let mut read = 0;
        while let Some(chunk) = answer.chunk().await? {
            read += chunk.len();
        }
        ensure!(read == size, "{}: {read} of {size} bytes", self.name);
        Ok(())
    }
}

/// Bytes that no disk and no network makes smaller.
fn noise(size: usize, seed: u64) -> Bytes {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

/// Layers that lie ready, and how many clients carry them.
struct Load {
    layers: Vec<(Digest, Bytes)>,
    clients: usize,
    repository: String,
}

#[derive(Clone, Copy)]
enum Way {
    Push,
    Pull,
}

/// Carries all layers, and gives the rate in MiB/s.
async fn carry(registry: &Arc<Registry>, load: &Load, way: Way) -> Result<f64> {
    let client = Client::builder().no_proxy().build()?;
    let queue = Arc::new(tokio::sync::Mutex::new(load.layers.clone()));
    let begun = Instant::now();
    let workers = (0..load.clients).map(|_| {
        let (registry, client, queue) = (Arc::clone(registry), client.clone(), Arc::clone(&queue));
        let repository = load.repository.clone();
        tokio::spawn(async move {
            loop {
                let next = queue.lock().await.pop();
                let Some((digest, bytes)) = next else { return Ok::<(), anyhow::Error>(()) };
                match way {
                    Way::Push => registry.push(&client, &repository, &bytes, &digest).await?,
                    Way::Pull => registry.pull(&client, &repository, &digest, bytes.len()).await?,
                }
            }
        })
    });
    for done in try_join_all(workers).await? {
        done?;
    }
    let bytes: usize = load.layers.iter().map(|(_, bytes)| bytes.len()).sum();
    Ok(bytes as f64 / (1 << 20) as f64 / begun.elapsed().as_secs_f64())
}

/// The rates of each registry: of one push, and the median of some pulls, in turns.
async fn measure(registries: &[Arc<Registry>], load: &Load) -> Result<Vec<[f64; 2]>> {
    let mut pushed = Vec::new();
    for registry in registries {
        // What one has written is not on the other's account.
        rustix::fs::sync();
        pushed.push(carry(registry, load, Way::Push).await?);
    }
    rustix::fs::sync();
    let mut pulled = vec![Vec::new(); registries.len()];
    for _ in 0..PULLS {
        for (registry, rates) in registries.iter().zip(&mut pulled) {
            rates.push(carry(registry, load, Way::Pull).await?);
        }
    }
    let median = |mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    Ok(pushed.into_iter().zip(pulled.into_iter().map(median)).map(|(push, pull)| [push, pull]).collect())
}

pub async fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.write("dhow.yaml", "environments: { stage: { update: commit } }\n")?;
    fleet.push("the fleet begins")?;
    let url = format!("file://{}", fleet.folder().join("fleet.git").display());
    let serve = Serve::start(lab, &url, fleet.folder(), "").await?;
    let process = serve.process()?;
    let ours = Registry {
        name: "dhow",
        base: format!("http://{}", serve.api),
        token: Some(serve.token()?),
        process,
    };
    let mut registries = vec![Arc::new(ours)];
    let peer = peer(fleet.folder()).await?;
    registries.extend(peer.as_ref().map(|(_, registry)| {
        Arc::new(Registry {
            name: registry.name,
            base: registry.base.clone(),
            token: None,
            process: registry.process,
        })
    }));
    if peer.is_none() {
        eprintln!(
            "  there is no docker-registry here: nothing stands beside (apt-get install docker-registry)"
        );
    }
    let total = if lab.quick { GIB / 64 } else { GIB };
    for (count, clients) in [(1, 1), (20, 1), (8, 8), (24, 8)] {
        let layers = (0..count)
            .map(|number| noise(total / count, 977 * (number as u64 + 1) + count as u64 + clients as u64));
        let layers = layers.map(|bytes| (Digest::of(&bytes), bytes)).collect();
        let load = Load { layers, clients, repository: format!("bench/l{count}c{clients}") };
        let rates = measure(&registries, &load).await?;
        for (registry, rates) in registries.iter().zip(&rates) {
            for (what, rate) in ["push", "pull"].into_iter().zip(rates) {
                let name = format!("registry, {}, {what}, {count} layers, {clients} clients", registry.name);
                report.tell(name, *rate, "MiB/s");
            }
        }
        if let [ours, theirs] = rates[..] {
            for (what, (ours, theirs)) in ["push", "pull"].into_iter().zip(ours.into_iter().zip(theirs)) {
                let name = format!(
                    "registry, {what}, {count} layers, {clients} clients: as fast as docker-registry"
                );
                report.add(name, ours / theirs, "times", Some(Goal::AtLeast(1.0)));
            }
        }
    }
    let peaks: Vec<f64> = registries.iter().map(|registry| registry.process.peak()).collect::<Result<_>>()?;
    for (registry, peak) in registries.iter().zip(&peaks) {
        report.tell(format!("registry, {}, peak memory", registry.name), *peak, "MiB");
    }
    if let [ours, theirs] = peaks[..] {
        report.add("registry, memory of docker-registry's", ours / theirs, "times", Some(Goal::AtMost(1.0)));
    }
    if let Some((Peer(mut child), _)) = peer {
        child.kill().await?;
    }
    serve.stop().await
}
