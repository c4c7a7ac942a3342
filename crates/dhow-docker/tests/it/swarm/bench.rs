use std::time::{Duration, Instant};

use dhow_core::port::{Phase, Target as _};
use dhow_testkit::{asked_rounds, rounds};

use super::lab::{Lab, get};

/// Until the new version serves, printed beside what the bare command takes. Medians. The goal is 1.2 times
/// where it is asked for many.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo xtask bench docker"]
async fn a_rollout_serves_about_as_soon_as_docker_stack_deploy_alone() {
    let Some(lab) = Lab::new().await else { return };
    // Two each a round.
    let rounds = rounds(2).div_ceil(2);
    let pins = [lab.version("1").await, lab.version("2").await];
    let file = lab.fixed("");
    let served = async |version: &str, begun: Instant| {
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        while begun.elapsed() < Duration::from_secs(30) {
            pause.tick().await;
            if get(lab.door(), "/version").await.as_deref() == Some(version) {
                return begun.elapsed();
            }
        }
        panic!("{version} does not serve");
    };
    lab.roll_out(&lab.release(&[("web-stack.yml", &file)], &pins[0]).await).await.unwrap();

    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for (version, pin) in [("2", &pins[1]), ("1", &pins[0])] {
            let begun = Instant::now();
            let release = lab.release(&[("web-stack.yml", &file)], pin).await;
            let target = lab.target();
            let steps = lab.plan(&release).await.unwrap();
            let rollout = async {
                for step in steps.iter().filter(|step| step.phase <= Phase::Switching) {
                    target.execute(step, &release).await.unwrap();
                }
            };
            let ((), took) = tokio::join!(rollout, served(version, begun));
            ours.push(took);
        }
        let folder = tempfile::tempdir().unwrap();
        for (version, pin) in [("2", &pins[1]), ("1", &pins[0])] {
            // Another environment each time, so that the stack changes though Dhow's label is gone.
            let text = file
                .replace(&format!("{}:1", pin.repository), &format!("{}@{}", pin.repository, pin.digest))
                .replace("    deploy:", &format!("    environment: {{R: '{round}'}}\n    deploy:"));
            let path = folder.path().join("bare.yml");
            std::fs::write(&path, text).unwrap();
            let arguments =
                ["stack", "deploy", "--detach=true", "--prune", "-c", path.to_str().unwrap(), &lab.stack()];
            let begun = Instant::now();
            let (_, took) = tokio::join!(lab.lines(&arguments), served(version, begun));
            bare.push(took);
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    println!("until the new version serves: dhow {ours:.2?}, docker stack deploy {bare:.2?}");
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    // A few on a machine that does other things tell little: the goal is for many, on a quiet one.
    let bound = if asked_rounds().is_some_and(|rounds| rounds >= 10) { 1.2 } else { 4.0 };
    assert!(ratio <= bound, "{ratio}");
}
