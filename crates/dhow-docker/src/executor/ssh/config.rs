//! The configuration that `ssh` is given: all of it, so that nothing of the machine's own changes what Dhow does.

use std::fmt::Write as _;
use std::path::Path;

use super::SshSettings;
use super::login::Login;

/// The server's name in the configuration.
pub(super) const TARGET: &str = "dhow-server";
/// The jump host's name in it.
pub(super) const JUMP: &str = "dhow-jump";

const ALL: &str = "Host *
  BatchMode yes
  StrictHostKeyChecking yes
  UpdateHostKeys no
  CheckHostIP no
  GlobalKnownHostsFile /dev/null
  ConnectTimeout 10
  ServerAliveInterval 5
  ServerAliveCountMax 3
  TCPKeepAlive yes
  ControlPersist no
  ForwardAgent no
  ForwardX11 no
  RequestTTY no
  EscapeChar none
  PermitLocalCommand no
  ExitOnForwardFailure yes
  StreamLocalBindUnlink yes
  StreamLocalBindMask 0177
  LogLevel ERROR
";

/// A path as a value, or why it cannot be one.
pub(super) fn path(path: &Path) -> Result<String, String> {
    let text =
        path.to_str().filter(|text| !text.contains(['"', '\\']) && !text.chars().any(char::is_control));
    let text =
        text.ok_or_else(|| format!("the path {} cannot stand in SSH's configuration", path.display()))?;
    Ok(format!("\"{}\"", text.replace('%', "%%").replace("${", "$ {")))
}

/// The whole file. `folder` holds the script that is asked for host keys, and what it was shown.
pub(super) fn text(settings: &SshSettings, folder: &Path) -> Result<String, String> {
    let mut text = host(TARGET, &settings.login, settings, folder)?;
    if let Some(jump) = &settings.jump {
        let _ = writeln!(text, "  ProxyJump {JUMP}");
        text.push_str(&host(JUMP, jump, settings, folder)?);
    }
    text.push_str(ALL);
    Ok(text)
}

fn host(name: &str, login: &Login, settings: &SshSettings, folder: &Path) -> Result<String, String> {
    let mut text = format!("Host {name}\n");
    let _ = writeln!(text, "  HostName {}\n  User {}\n  Port {}", login.host, login.user, login.port);
    if let Some(identity) = &login.identity {
        let _ =
            writeln!(text, "  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none", path(identity)?);
    }
    let known = match &login.fingerprint {
        Some(_) => Path::new("/dev/null"),
        None => &settings.known_hosts,
    };
    let _ = writeln!(text, "  UserKnownHostsFile {}", path(known)?);
    let wanted = login.fingerprint.as_deref().unwrap_or("-");
    let (script, note) = (path(&folder.join("host-key"))?, path(&shown(folder, name))?);
    let _ = writeln!(text, "  KnownHostsCommand /bin/sh {script} {wanted} {note} %I %f %H %t %K");
    Ok(text)
}

/// Where the host key is noted that a host showed.
pub(super) fn shown(folder: &Path, name: &str) -> std::path::PathBuf {
    folder.join(format!("{name}.key"))
}
