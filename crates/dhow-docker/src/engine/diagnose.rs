//! What a person needs to know of a container that failed.

use bollard::models::HealthStatusEnum;

use super::api::{Api, Facts};

/// Lines of a log that are told.
const LINES: usize = 20;

/// Why a container does not do what it should; `None` where it does.
pub(crate) fn ails(facts: &Facts, one_shot: bool) -> Option<String> {
    let code = facts.exit_code.map(|code| format!(" with code {code}")).unwrap_or_default();
    let memory = if facts.oom_killed { ", out of memory (its limit is too low, or it leaks)" } else { "" };
    if facts.restarting {
        return Some(format!("keeps restarting, it ended{code}{memory}"));
    }
    if one_shot && facts.exited {
        return (facts.exit_code != Some(0)).then(|| format!("ended{code}{memory}"));
    }
    if !facts.running {
        let error = if facts.error.is_empty() { String::new() } else { format!(": {}", facts.error) };
        return Some(format!("does not run, it ended{code}{memory}{error}"));
    }
    (facts.health == Some(HealthStatusEnum::UNHEALTHY)).then(|| {
        let output = match facts.health_output.is_empty() {
            true => "its check says nothing".to_owned(),
            false => format!("its check says: {}", facts.health_output),
        };
        format!("is unhealthy, {output}")
    })
}

/// The same with the last lines of its log.
pub(crate) async fn told(api: &Api, facts: &Facts, why: &str) -> String {
    let log = api.log(&facts.id, LINES).await;
    let log = match log.is_empty() {
        true => "its log is empty".to_owned(),
        false => format!("the last lines of its log:\n{}", log.join("\n")),
    };
    format!("{} ({}) {why}; {log}", facts.service, facts.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ails_a_container_is_told() {
        let ended = Facts { exited: true, exit_code: Some(137), oom_killed: true, ..Facts::default() };
        let told = ails(&ended, false).unwrap();
        assert!(told.contains("137") && told.contains("out of memory"), "{told}");
        let done = Facts { exited: true, exit_code: Some(0), ..Facts::default() };
        assert_eq!(ails(&done, true), None);
        assert!(ails(&done, false).is_some());
        let sick = Facts {
            running: true,
            health: Some(HealthStatusEnum::UNHEALTHY),
            health_output: "status 500".into(),
            ..Facts::default()
        };
        assert!(ails(&sick, false).unwrap().contains("status 500"));
    }
}
