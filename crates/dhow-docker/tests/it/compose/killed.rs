use std::time::Duration;

use dhow_core::port::{Place, Target as _};
use dhow_testkit::deaths;

use crate::compose::support::{Lab, get};

/// Dhow dies at any time in the switch, with the command that it runs: the next one completes it, or goes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_was_killed_at_any_time_is_completed_or_taken_back() {
    let Some(lab) = Lab::new().await else { return };
    let (one, two) = (lab.version("1").await, lab.version("2").await);
    let file = lab.compose("    volumes: [\"./data:/data\"]\n");
    let first = lab.release(&[("compose.yaml", &file)], &one).await;
    let second = lab.release(&[("compose.yaml", &file)], &two).await;
    for (number, after) in deaths(&[50, 150, 250, 350, 450, 550, 700, 900], 4).into_iter().enumerate() {
        lab.roll_out(&first).await.unwrap();
        let (target, context) = (lab.target(), &second.0);
        let steps = lab.plan(&second).await.unwrap();
        for step in steps.iter().filter(|step| !step.key.ends_with(":prune")) {
            let executed = target.execute(step, context);
            if step.key.ends_with(":switch") {
                let _killed = tokio::time::timeout(Duration::from_millis(after), executed).await;
                break;
            }
            executed.await.unwrap();
        }
        let next = lab.target();
        if number % 2 == 0 {
            for step in &steps {
                next.execute(step, context).await.unwrap();
            }
            next.verify(&context.rendered, &context.hash, &Place::Local).await.unwrap();
            assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("2"), "after {after} ms");
        } else {
            for step in steps.iter().rev() {
                next.undo(step, context).await.unwrap();
            }
            assert_eq!(get(lab.door(), "/version").await.as_deref(), Some("1"), "after {after} ms");
            assert_eq!(lab.plan(&first).await.unwrap(), [], "after {after} ms");
        }
        assert_eq!(lab.ids("web").await.len(), 1, "after {after} ms");
    }
}
