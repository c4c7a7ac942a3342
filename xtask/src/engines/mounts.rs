//! What a test host has for itself, though it shares the machine's programs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::host::Host;

/// Folders that are a host's own, with their modes. Nothing else may be written to on a host.
const OWN: [(&str, u32); 7] = [
    ("run", 0o755),
    ("srv", 0o755),
    ("opt", 0o755),
    ("home", 0o755),
    ("root", 0o700),
    ("tmp", 0o1777),
    ("var", 0o755),
];

/// Folders that must stand in those.
const INNER: [(&str, u32); 7] = [
    ("run/sshd", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
    ("var/cache", 0o755),
    ("etc", 0o755),
    ("mnt", 0o755),
];

/// People with an account on every host, beside root: whether they may use Docker.
const PEOPLE: [(&str, u32, bool); 2] = [("deploy", 1901, true), ("guest", 1902, false)];

/// Where Docker looks for its plugins in a home.
const PLUGIN: &str = ".docker/cli-plugins/docker-compose";

/// Makes a host's own files below `fs`.
pub fn make(fs: &Path, plugin: Option<&Path>) -> anyhow::Result<()> {
    for (folder, mode) in OWN.iter().chain(&INNER) {
        folder_with(&fs.join(folder), *mode)?;
    }
    if fs::symlink_metadata(fs.join("var/run")).is_err() {
        std::os::unix::fs::symlink("/run", fs.join("var/run")).context("cannot link var/run")?;
    }
    accounts(fs)?;
    for (name, id, _) in PEOPLE {
        let home = fs.join("home").join(name);
        folder_with(&home, 0o755)?;
        if plugin.is_some() {
            mount_point(&home.join(PLUGIN))?;
        }
        for path in [home.clone(), home.join(".docker")].iter().filter(|path| path.exists()) {
            chown(path, Some(id), Some(id))
                .with_context(|| format!("cannot give {} away", path.display()))?;
        }
    }
    if plugin.is_some() {
        mount_point(&fs.join("root").join(PLUGIN))?;
    }
    Ok(())
}

/// Mounts them in the running host. What lies below one of the folders is mounted before the folder hides it.
pub fn mount(host: &Host, fs: &Path, plugin: Option<&Path>) -> anyhow::Result<()> {
    for home in ["root", "home/deploy", "home/guest"] {
        if let Some(plugin) = plugin {
            bind(host, plugin, &fs.join(home).join(PLUGIN))?;
        }
    }
    for file in ["etc/passwd", "etc/group"] {
        bind(host, &fs.join(file), &Path::new("/").join(file))?;
    }
    let hides_state = |folder: &str| fs.starts_with(Path::new("/").join(folder));
    let (last, first): (Vec<_>, Vec<_>) =
        OWN.iter().map(|(folder, _)| *folder).partition(|folder| hides_state(folder));
    for folder in first.into_iter().chain(last) {
        bind(host, &fs.join(folder), &Path::new("/").join(folder))?;
    }
    Ok(())
}

/// Folders that Docker writes to wherever its own are: an engine on the machine's own network gets others there, and
/// does not see the machine's containerd, which it would take up.
const SHIELDED: [&str; 2] = ["/run/docker", "/run/containerd"];

/// Shields the machine and its engine, if it has one, from an engine of ours beside it.
pub fn shield(host: &Host) -> anyhow::Result<()> {
    for path in SHIELDED.map(Path::new) {
        let own = host.fs().join(path.file_name().unwrap_or_default());
        folder_with(&own, 0o700)?;
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        bind(host, &own, path)?;
    }
    // It would warn at every container that the machine does not forward, though it needs no forwarding.
    let one = host.fs().join("one");
    fs::write(&one, "1\n").with_context(|| format!("cannot write {}", one.display()))?;
    bind(host, &one, Path::new("/proc/sys/net/ipv4/ip_forward"))
}

/// Removes the folders that were shielded, if nobody else uses them.
pub fn unshield() {
    for path in SHIELDED {
        // Not empty: the machine's own engine is at home there.
        let _ = fs::remove_dir(path);
    }
}

/// Shows one path in place of another, in this host only.
pub fn bind(host: &Host, from: &Path, to: &Path) -> anyhow::Result<()> {
    // Busybox's keeps no table of mounts on the machine.
    crate::process::run(host.command("busybox")?.args(["mount", "-o", "rbind"]).args([from, to]))
}

/// The machine's accounts and ours. Nobody has a password.
fn accounts(fs: &Path) -> anyhow::Result<()> {
    let read = |file: &str| fs::read_to_string(file).with_context(|| format!("cannot read {file}"));
    // A locked root could not log in, with a key neither.
    let mut passwd = read("/etc/passwd")?.replacen("root:x:", "root:*:", 1);
    let mut group = with_docker(&read("/etc/group")?);
    for (name, id, docker) in PEOPLE {
        passwd.push_str(&format!("{name}:*:{id}:{id}::/home/{name}:/bin/sh\n"));
        group.push_str(&format!("{name}:x:{id}:\n"));
        if docker {
            group = join(&group, "docker", name);
        }
    }
    for (file, text) in [("etc/passwd", passwd), ("etc/group", group)] {
        fs::write(fs.join(file), text).with_context(|| format!("cannot write {file} of a host"))?;
    }
    Ok(())
}

/// The groups, with Docker's, whose members may use its socket.
fn with_docker(group: &str) -> String {
    let mut group = group.trim_end().to_owned() + "\n";
    if !group.lines().any(|line| line.starts_with("docker:")) {
        group.push_str("docker:x:1900:\n");
    }
    group
}

/// Adds a member to a group.
fn join(groups: &str, group: &str, member: &str) -> String {
    let joined = |line: &str| match line.strip_prefix(group).and_then(|rest| rest.strip_prefix(':')) {
        Some(_) if line.ends_with(':') => format!("{line}{member}\n"),
        Some(_) => format!("{line},{member}\n"),
        None => format!("{line}\n"),
    };
    groups.lines().map(joined).collect()
}

fn folder_with(path: &Path, mode: u32) -> anyhow::Result<()> {
    let made =
        fs::create_dir_all(path).and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)));
    made.with_context(|| format!("cannot make {}", path.display()))
}

/// An empty file for a file to be mounted on.
fn mount_point(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().map(PathBuf::from).unwrap_or_default();
    let made = fs::create_dir_all(folder).and_then(|()| fs::File::create(path).map(drop));
    made.with_context(|| format!("cannot make {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_in_the_group_may_use_docker() {
        let groups = with_docker("root:x:0:\ndocker:x:99:alice\n");
        assert_eq!(join(&groups, "docker", "deploy"), "root:x:0:\ndocker:x:99:alice,deploy\n");
        assert_eq!(join(&with_docker("root:x:0:"), "docker", "deploy"), "root:x:0:\ndocker:x:1900:deploy\n");
    }
}
