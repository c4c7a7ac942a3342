//! The static web server beside Debian's nginx, under `wrk`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};

use crate::lab::{Fleet, Lab, Process, Serve};
use crate::report::{Goal, Report};

/// The files, by their sizes.
const FILES: [(&str, usize); 2] = [("small.html", 1_000), ("large.bin", 1_000_000)];

/// nginx on a folder, with a worker a processor, as Debian configures it.
async fn nginx(folder: &Path, files: &Path) -> Result<Option<(Child, String)>> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let at = folder.join("nginx");
    std::fs::create_dir_all(&at)?;
    let config = format!(
        "daemon off; worker_processes auto; pid {0}/pid; error_log {0}/error.log; events {{ worker_connections 768; }}\n\
         http {{ sendfile on; tcp_nopush on; access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; \
         fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s; \
         server {{ listen 127.0.0.1:{port}; root {1}; }} }}\n",
        at.display(),
        files.display()
    );
    let file = at.join("nginx.conf");
    std::fs::write(&file, config)?;
    let mut command = Command::new("/usr/sbin/nginx");
    command
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let Ok(child) = command.spawn() else { return Ok(None) };
    let address = format!("127.0.0.1:{port}");
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(&address).await.is_ok() {
            return Ok(Some((child, address)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("nginx does not answer");
}

/// Requests a second that `wrk` counts.
async fn wrk(lab: &Lab, address: &str, path: &str, host: &str) -> Result<f64> {
    let seconds = format!("{}s", lab.count(10, 1));
    let mut command = Command::new("wrk");
    command.args(["-t", "1", "-c", "32", "-d", &seconds, "-H", &format!("Host: {host}")]);
    let output = command.arg(format!("http://{address}/{path}")).output().await.context("there is no wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") {
        bail!("{address} did not answer with the file: {text}");
    }
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(rate.with_context(|| format!("wrk said: {text}"))?.trim().parse()?)
}

pub async fn run(lab: &Lab, report: &mut Report) -> Result<()> {
    let fleet = Fleet::new()?;
    fleet.write("dhow.yaml", "environments: { stage: { update: commit } }\n")?;
    for (name, size) in FILES {
        let text: String = "0123456789abcdef\n".chars().cycle().take(size).collect();
        fleet.write(&format!("services/files/static_file/stage/{name}"), &text)?;
    }
    fleet.push("the fleet begins")?;
    let url = format!("file://{}", fleet.folder().join("fleet.git").display());
    let serve = Serve::start(lab, &url, fleet.folder(), "").await?;
    crate::lab::Events::follow(&serve.api, &serve.token()?, 0).await?.verified(1).await?;
    let files = fleet.folder().join("work/services/files/static_file/stage");
    let beside = nginx(fleet.folder(), &files).await?;
    if beside.is_none() {
        eprintln!("  there is no nginx here: nothing stands beside (apt-get install nginx-light wrk)");
    }
    for (name, size) in FILES {
        let ours = wrk(lab, &serve.sites, name, "files.stage.localhost").await?;
        report.tell(format!("web, dhow, {size} bytes"), ours, "req/s");
        let Some((_, address)) = &beside else { continue };
        let theirs = wrk(lab, address, name, "localhost").await?;
        report.tell(format!("web, nginx, {size} bytes"), theirs, "req/s");
        let what = format!("web, {size} bytes: as fast as nginx");
        report.add(what, ours / theirs, "times", Some(Goal::AtLeast(0.8)));
    }
    report.tell("web, peak memory", serve.process()?.peak()?, "MiB");
    if let Some((mut child, _)) = beside {
        Process(child.id().context("it ended")?).signal(rustix::process::Signal::TERM)?;
        child.wait().await?;
    }
    serve.stop().await
}
