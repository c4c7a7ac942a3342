//! One place where failures become the three kinds that the engine acts on, each with its own words.

use std::collections::BTreeMap;

use dhow_core::port::{ExecutorError, Output, TargetError};
use dhow_core::yaml::{self, Node};

/// What the place itself said.
pub(crate) fn executor(error: ExecutorError) -> TargetError {
    match error {
        ExecutorError::Fenced { seen, ours } => TargetError::Fenced { seen, ours },
        ExecutorError::Refused(message) => TargetError::Blocked(match full_disk(&message) {
            true => full(&message),
            false => message,
        }),
        ExecutorError::Unreachable { .. } | ExecutorError::TimedOut { .. } | ExecutorError::Broken { .. } => {
            TargetError::Passing(error.to_string())
        }
    }
}

/// What the Engine API said.
pub(crate) fn api(error: &bollard::errors::Error) -> TargetError {
    let text = with_causes(error);
    let lower = text.to_lowercase();
    if lower.contains("is too old") || lower.contains("is too new") {
        return TargetError::Blocked(format!(
            "dhow and this Docker Engine speak no common API version ({text}); update the Docker Engine, or dhow"
        ));
    }
    if let Some(known) = socket(&lower) {
        return TargetError::Blocked(known);
    }
    TargetError::Passing(format!("the Docker Engine did not answer as it should: {text}"))
}

/// The words of an error and of all that caused it: the client's own say only where it failed.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

/// What a command of Docker said that ended with another code than 0.
pub(crate) fn docker(what: &str, output: &Output) -> TargetError {
    let said = said(output);
    let lower = said.to_lowercase();
    if let Some(blocked) = tools(&lower).or_else(|| socket(&lower)) {
        return TargetError::Blocked(blocked);
    }
    if full_disk(&said) {
        return TargetError::Blocked(full(&said));
    }
    if lower.contains("port is already allocated") || lower.contains("address already in use") {
        return TargetError::Blocked(format!(
            "{what}: a port is taken already: {said}; stop what listens there, or give another port in the Compose file"
        ));
    }
    if lower.contains("container name") && lower.contains("is already in use") {
        return TargetError::Blocked(format!(
            "{what}: a container of somebody else has the name that `container_name` asks for: {said}; remove that \
             container, or take container_name out"
        ));
    }
    if ["address pool", "cannot allocate memory", "iptables", "too many open files"]
        .iter()
        .any(|s| lower.contains(s))
    {
        return TargetError::Blocked(format!("{what}: the server cannot take more: {said}"));
    }
    if let Some(known) = registry(what, &said, &lower) {
        return known;
    }
    if ["no such image", "exec format error", "pull access denied", "invalid compose project", "unhealthy"]
        .iter()
        .any(|sign| lower.contains(sign))
        || lower.contains("executable file not found")
        || lower.contains("didn't complete successfully")
    {
        return TargetError::Failed(format!("{what}: {said}"));
    }
    let passing =
        ["timeout", "connection refused", "connection reset", "temporary failure", "i/o timeout", "eof"];
    match passing.iter().any(|sign| lower.contains(sign)) {
        true => TargetError::Passing(format!("{what}: {said}")),
        false => TargetError::Failed(format!("{what}: {said}")),
    }
}

/// What `docker compose config` or `docker stack config` said about files that were sent to `base`: told by their place in the fleet.
///
/// `inputs` are the texts by their paths in the fleet, `files` those that were named to the `tool`.
pub(crate) fn config(
    inputs: &BTreeMap<String, String>,
    files: &[String],
    tool: &str,
    base: &str,
    output: &Output,
) -> TargetError {
    let said = said(output).replace(&format!("{base}/"), "");
    let lower = said.to_lowercase();
    if let Some(blocked) = tools(&lower).or_else(|| socket(&lower)) {
        return TargetError::Blocked(blocked);
    }
    if lower.contains("no such file or directory") {
        return TargetError::Passing(format!("{tool} did not find the files that were sent: {said}"));
    }
    let at = place(inputs, &said).unwrap_or_else(|| files.join(", "));
    let said = said.strip_prefix("validating ").unwrap_or(&said);
    TargetError::Failed(format!("{at}: {tool} does not take this file: {said}"))
}

/// File, line and column of what Compose names as `services.web.ports`.
fn place(inputs: &BTreeMap<String, String>, said: &str) -> Option<String> {
    let named = said.split(|c: char| c.is_whitespace() || "'\":,".contains(c)).find(|word| {
        ["services.", "networks.", "volumes.", "secrets.", "configs."].iter().any(|s| word.starts_with(s))
    })?;
    // Compose quotes the key that it does not know, Docker does not.
    let unknown = said.split("property ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let quoted = said.split('\'').nth(1).or(unknown);
    let mut best: Option<(usize, String)> = None;
    for (file, text) in inputs {
        let parsed = yaml::parse(file, text.as_bytes());
        for document in &parsed.documents {
            let (mut node, mut at, mut depth) = (document, None, 0);
            for part in named.trim_end_matches('.').split('.').chain(quoted) {
                let (part, index) = part.split_once('[').unwrap_or((part, ""));
                let Some((key, value)) = node.entries().iter().find(|(key, _)| key.text == part) else {
                    break;
                };
                let index = index.trim_end_matches(']').parse::<usize>().ok();
                let item: Option<&Node> = index.and_then(|index| value.items().get(index));
                (node, at, depth) =
                    (item.unwrap_or(value), Some(item.map_or(key.at, |item| item.at)), depth + 1);
            }
            if let Some(at) = at.filter(|_| best.as_ref().is_none_or(|(known, _)| depth > *known)) {
                best = Some((depth, format!("{file}:{}:{}", at.line, at.column)));
            }
        }
    }
    best.map(|(_, at)| at)
}

fn tools(lower: &str) -> Option<String> {
    let missing = lower.contains("unknown flag: --ansi")
        || lower.contains("'compose' is not a docker command")
        || lower.contains("unknown command: docker compose")
        || lower.contains("unknown shorthand flag: 'p' in -p")
        || lower.contains("unknown flag: --project")
        || lower.contains("docker: command not found");
    missing.then(|| {
        "`docker compose` version 2 is not there (docker-compose version 1 is too old); install the package \
         docker-compose-plugin"
            .to_owned()
    })
}

fn socket(lower: &str) -> Option<String> {
    let at_connect = ["socket", "client error (connect)"].iter().any(|sign| lower.contains(sign));
    if lower.contains("permission denied") && at_connect || lower.contains("connect: permission denied") {
        return Some(
            "this user may not use the Docker Engine: no permission on its socket; add the user to the group docker \
             there (`usermod -aG docker USER`) and log in again"
                .to_owned(),
        );
    }
    let down = ["cannot connect to the docker daemon", "socket not found", "client error (connect)"]
        .iter()
        .any(|sign| lower.contains(sign));
    down.then(|| {
        "the Docker Engine does not run there, or listens elsewhere; start it (`systemctl start docker`)"
            .to_owned()
    })
}

/// What Docker says of a registry that is overloaded or broken, or of a page or other content in its place. It is no word
/// about the image.
const UNWELL: [&str; 12] = [
    "toomanyrequests",
    "too many requests",
    "unexpected http status",
    "unexpected status",
    "internal server error",
    "bad gateway",
    "service unavailable",
    "invalid character",
    "missing signature key",
    "verification failed for digest",
    "no such host",
    "network is unreachable",
];

fn registry(what: &str, said: &str, lower: &str) -> Option<TargetError> {
    let denied = ["unauthorized", "authentication required", "no basic auth", "denied: requested access"];
    if denied.iter().any(|sign| lower.contains(sign)) {
        return Some(TargetError::Blocked(format!(
            "{what}: the registry does not let us in, the login is missing or has expired: {said}; renew the \
             credentials of this registry in dhow's configuration"
        )));
    }
    let missing = ["manifest unknown", "not found: manifest", "repository name not known", "name unknown"];
    let missing = missing.iter().any(|sign| lower.contains(sign))
        || lower.contains("not found") && what.contains("pull");
    if missing {
        return Some(TargetError::Failed(format!("{what}: the registry does not have this image: {said}")));
    }
    let unwell = what.starts_with("pull ") && UNWELL.iter().any(|sign| lower.contains(sign));
    unwell.then(|| {
        TargetError::Passing(format!(
            "{what}: the registry, or what stands before it, did not answer as it should: {said}; it is tried again"
        ))
    })
}

fn full_disk(text: &str) -> bool {
    let lower = text.to_lowercase();
    lower.contains("no space left on device") || lower.contains("disk quota exceeded")
}

fn full(said: &str) -> String {
    format!(
        "the disk there is full: {said}; make room (`docker system df` shows what takes it), and it goes on by itself within a minute"
    )
}

/// The last lines of what it complained about; what it wrote, where it did not.
fn said(output: &Output) -> String {
    let text = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_progress(line)).collect();
    let last = lines.get(lines.len().saturating_sub(6)..).unwrap_or_default().join("; ");
    match (last.is_empty(), output.code) {
        (false, _) => last.chars().take(2_000).collect(),
        (true, Some(code)) => format!("it ended with code {code} and said nothing"),
        (true, None) => "it was ended by a signal".to_owned(),
    }
}

/// ` Container stage_shop-web-1  Creating`.
fn is_progress(line: &str) -> bool {
    let known = ["Container ", "Network ", "Volume "].iter().any(|kind| line.starts_with(kind));
    known && line.split_whitespace().count() <= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(stderr: &str) -> Output {
        Output { code: Some(1), stdout: Vec::new(), stderr: stderr.as_bytes().to_vec() }
    }

    #[test]
    fn each_failure_has_its_kind_and_its_advice() {
        let blocked = [
            ("docker: 'compose' is not a docker command.", "docker-compose-plugin"),
            ("unknown flag: --ansi", "docker-compose-plugin"),
            ("unknown shorthand flag: 'p' in -p", "docker-compose-plugin"),
            ("permission denied while trying to connect to the Docker daemon socket", "group docker"),
            ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "start it"),
            ("Bind for 127.0.0.1:80 failed: port is already allocated", "taken already"),
            ("write /x: no space left on device", "disk there is full"),
            ("Conflict. The container name \"/db\" is already in use by container \"1\"", "container_name"),
            ("could not find an available, non-overlapping IPv4 address pool", "cannot take more"),
            ("Error response from daemon: unauthorized: authentication required", "renew the credentials"),
        ];
        for (said, advice) in blocked {
            let TargetError::Blocked(told) = docker("pull x", &failed(said)) else { panic!("{said}") };
            assert!(told.contains(advice), "{told}");
        }
        let error = docker("pull x", &failed("Error: manifest unknown: manifest unknown"));
        assert!(matches!(error, TargetError::Failed(told) if told.contains("does not have this image")));
        let passing = [
            "dial tcp 1.2.3.4:443: i/o timeout",
            "Error response from daemon: received unexpected HTTP status: 500 Internal Server Error",
            "Error response from daemon: toomanyrequests: You have reached your pull rate limit",
            "error parsing HTTP 200 response body: invalid character '<' looking for beginning of value: \"<html>\"",
            "filesystem layer verification failed for digest sha256:0",
            "manifest verification failed for digest sha256:0",
            "unexpected EOF",
        ];
        for said in passing {
            let error = docker("pull x", &failed(said));
            assert!(matches!(error, TargetError::Passing(_)), "{said}: {error:?}");
        }
    }

    #[test]
    fn an_engine_of_another_age_is_told() {
        let said = "client version 1.22 is too old. Minimum supported API version is 1.44";
        let error =
            bollard::errors::Error::DockerResponseServerError { status_code: 400, message: said.into() };
        let TargetError::Blocked(told) = api(&error) else { panic!() };
        assert!(told.contains("update the Docker Engine, or dhow"), "{told}");
    }

    #[test]
    fn a_compose_error_is_told_at_its_place_in_the_fleet() {
        let inputs = BTreeMap::from([(
            "s/compose.yaml".to_owned(),
            "services:\n  web:\n    image: x\n    foo: 1\n".to_owned(),
        )]);
        let files = ["s/compose.yaml".to_owned()];
        let said = "validating /r/files/s/compose.yaml: services.web additional properties 'foo' not allowed";
        let TargetError::Failed(told) = config(&inputs, &files, "Compose", "/r/files", &failed(said)) else {
            panic!()
        };
        assert!(told.starts_with("s/compose.yaml:4:5: "), "{told}");
        assert!(!told.contains("/r/files"), "{told}");
    }
}
