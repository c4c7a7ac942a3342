//! The steps of a rollout: planned once, each stored before and after its effect.

use std::sync::Arc;
use std::time::Duration;

use dhow_core::fleet::DesiredHash;
use dhow_core::noun::DeploymentId;
use dhow_core::port::{Context, Lines, Phase, Place, Record, Scan, Settled, Step, StoreExt as _, Target};
use dhow_core::rollout::{Event, Owed, Release, Rollout, StepRecord, StepState};
use futures::future::join_all;
use tokio::sync::Mutex;

use super::phases::{Stop, each_alone, limited, stop_at};
use super::said::About;
use crate::engine::{EngineError, Inner};
use crate::journal::Entry;

/// How long a place may take to say what it runs.
const ANSWER: Duration = Duration::from_secs(60);
/// The same on a way back, where the others wait for it.
const ANSWER_ALONE: Duration = Duration::from_secs(20);

impl Inner {
    /// What a rollout's steps run under.
    pub(super) async fn context(
        self: &Arc<Self>,
        rollout: &Rollout,
    ) -> Result<(Release, Arc<dyn Target>, Context), EngineError> {
        let id = &rollout.deployment;
        let release = self.release(id, &rollout.hash).await?.ok_or_else(|| {
            EngineError::NotFound(format!("release {} of {id} is not stored", rollout.hash.short()))
        })?;
        let (target, context) = self.context_of(&release, rollout.number).await?;
        Ok((release, target, context))
    }

    /// What the steps of a rollout to this release run under.
    pub(crate) async fn context_of(
        self: &Arc<Self>,
        release: &Release,
        rollout: u64,
    ) -> Result<(Arc<dyn Target>, Context), EngineError> {
        let id = &release.deployment;
        let target = self.target(id.target).ok_or_else(|| {
            EngineError::Refused(format!("this dhow does not run deployments of type {}", id.target))
        })?;
        let tree = self.ports.fleet.tree(&release.commit).await.ok();
        let context = Context {
            rendered: Arc::new(release.rendered.clone()),
            hash: release.hash,
            tree,
            rollout,
            epoch: self.lease.epoch,
            bundles: Arc::clone(&self.ports.source),
            keep: self.keep(id, &self.releases(id).await?).await?,
            log: Arc::new(()),
        };
        Ok((target, context))
    }

    /// The releases that are kept: the newest healthy ones, what runs, what should, and what rollouts go to.
    async fn keep(&self, id: &DeploymentId, releases: &[Release]) -> Result<Vec<DesiredHash>, EngineError> {
        let mut healthy: Vec<&Release> = releases.iter().filter(|r| r.healthy_at_ms.is_some()).collect();
        healthy.sort_by_key(|r| std::cmp::Reverse(r.healthy_at_ms));
        let row = self.row(id).await?;
        let mut keep: Vec<DesiredHash> =
            healthy.into_iter().take(self.settings.keep_releases).map(|r| r.hash).collect();
        keep.extend(row.running.into_iter().chain(row.desired).chain(row.healthy_release));
        for debt in &row.debts {
            keep.extend(debt.runs);
            if let Owed::Undo { rollout } = debt.owes {
                let rollout: Option<Rollout> = self.ports.store.load(&Rollout::key_of(id, rollout)).await?;
                keep.extend(rollout.into_iter().flat_map(|r| r.before.into_iter().chain([r.hash])));
            }
        }
        keep.extend(self.open_rollouts(id).await?.iter().flat_map(|r| r.before.into_iter().chain([r.hash])));
        Ok(keep)
    }

    /// Forgets the releases that are not kept, and that none of the last rollouts brought.
    pub(super) async fn stage_prune(
        &self,
        id: &DeploymentId,
        also: Option<DesiredHash>,
        entry: &mut Entry,
    ) -> Result<(), EngineError> {
        let releases = self.releases(id).await?;
        let mut keep = self.keep(id, &releases).await?;
        keep.extend(also);
        let last = self.last_rollouts(id).await?;
        keep.extend(last.iter().map(|r| r.hash));
        for release in releases.iter().filter(|r| !keep.contains(&r.hash)) {
            entry.remove::<Release>(Record::key(release));
        }
        Ok(())
    }

    /// Every stored release of a deployment.
    pub(crate) async fn releases(&self, id: &DeploymentId) -> Result<Vec<Release>, EngineError> {
        let scan = Scan { prefix: format!("{id}/"), ..Default::default() };
        Ok(self.ports.store.list(scan).await?)
    }

    /// Plans a rollout for every place, and in which turns they are switched. A place that does not answer is waited for;
    /// on a way back the others go on without it.
    pub(super) async fn plan_rollout(
        self: &Arc<Self>,
        rollout: &mut Rollout,
        release: &Release,
        target: &dyn Target,
    ) -> Result<(), Stop> {
        rollout.behind.clear();
        rollout.turns = self.turns(release);
        let places = &release.rendered.places;
        let alone = each_alone(rollout);
        let planning = &*rollout;
        let looks = places.iter().map(async |place| {
            let planned = self.plan_at(planning, release, target, place);
            if !alone {
                return (place.clone(), planned.await);
            }
            let planned = tokio::time::timeout(ANSWER_ALONE, planned).await;
            (place.clone(), planned.unwrap_or_else(|_| Err(silent(place, ANSWER_ALONE))))
        });
        let mut steps = Vec::new();
        let mut failed = Vec::new();
        for (place, planned) in join_all(looks).await {
            match planned {
                Ok(planned) => steps.extend(planned),
                Err(stop) => failed.push((place, stop)),
            }
        }
        self.go_on_without(rollout, places, failed).await?;
        steps.sort_by_key(|s: &Step| s.phase);
        rollout.steps =
            steps.into_iter().map(|step| StepRecord { step, state: StepState::Planned }).collect();
        rollout.notes.clone_from(&release.rendered.notes);
        let mut entry = Entry::new();
        entry.put(rollout)?;
        self.journal.write(entry).await?;
        Ok(())
    }

    async fn plan_at(
        self: &Arc<Self>,
        rollout: &Rollout,
        release: &Release,
        target: &dyn Target,
        place: &Place,
    ) -> Result<Vec<Step>, Stop> {
        self.make_ready(rollout, place).await?;
        let rendered = &release.rendered;
        let observed = tokio::time::timeout(ANSWER, target.observe(rendered, place)).await;
        let observed =
            observed.map_err(|_| silent(place, ANSWER))?.map_err(|error| stop_at(rendered, place, error))?;
        Ok(target.plan(rendered, &release.hash, place, &observed))
    }

    /// A release's places in turns: one after another, or as many at once as the fleet's head says.
    pub(super) fn turns(&self, release: &Release) -> Vec<Vec<Place>> {
        let at_once = self.view().ok().and_then(|view| {
            let deployment = view.fleet.deployments.get(&release.deployment)?;
            usize::try_from(deployment.settings.parallel?).ok()
        });
        release.rendered.places.chunks(at_once.unwrap_or(1).max(1)).map(<[Place]>::to_vec).collect()
    }

    /// The steps of a phase at some places: side by side, each place's in their order. All come to an end, also where one
    /// fails. The answer: the places where they did not, and why.
    pub(super) async fn do_steps(
        &self,
        rollout: &mut Rollout,
        phase: Phase,
        places: &[Place],
        target: &dyn Target,
        context: &Context,
    ) -> Vec<(Place, Stop)> {
        let open = |(at, record): (usize, &StepRecord)| {
            (record.step.phase == phase && record.state != StepState::Done)
                .then(|| (record.step.place.clone(), at))
        };
        let open: Vec<(Place, usize)> = rollout.steps.iter().enumerate().filter_map(open).collect();
        let alone = each_alone(rollout);
        let shared = Mutex::new(rollout);
        let lanes = places.iter().map(|place| {
            let lane = open.iter().filter(move |(of, _)| of == place);
            let shared = &shared;
            async move {
                let steps = async {
                    for (_, at) in lane {
                        self.do_step(shared, *at, target, context).await?;
                    }
                    Ok(())
                };
                limited(alone, place, steps).await.err().map(|stop| (place.clone(), stop))
            }
        });
        join_all(lanes).await.into_iter().flatten().collect()
    }

    async fn do_step(
        &self,
        rollout: &Mutex<&mut Rollout>,
        at: usize,
        target: &dyn Target,
        context: &Context,
    ) -> Result<(), Stop> {
        let StepRecord { step, state } = rollout.lock().await.steps[at].clone();
        let wrong = |error| stop_at(&context.rendered, &step.place, error);
        let again = state == StepState::Started;
        if again && target.settle(&step, context).await.map_err(wrong)? == Settled::Done {
            return Ok(self.step_done(rollout, at).await?);
        }
        if !again {
            let mut rollout = rollout.lock().await;
            rollout.steps[at].state = StepState::Started;
            let mut entry = Entry::new();
            entry.event(started(&rollout, &step, false)).put(&**rollout)?;
            self.journal.write(entry).await?;
        }
        let about = {
            let rollout = rollout.lock().await;
            About { deployment: rollout.deployment.clone(), rollout: rollout.number, key: key(&step) }
        };
        let said = self.listener(&about);
        let log: Arc<dyn Lines> = Arc::clone(&said) as _;
        let context = Context { log, ..context.clone() };
        match self.telling(&said, &about, target.execute(&step, &context)).await {
            Ok(()) => Ok(self.step_done(rollout, at).await?),
            Err(error) => {
                let rollout = rollout.lock().await;
                let stop = wrong(error.clone());
                // What fails in the same way again is no news.
                if !again || rollout.reason.as_deref() != stop.reason() {
                    let reason = format!("{}: {error}", step.summary);
                    let mut entry = Entry::new();
                    entry.event(failed(&rollout, &step, false, reason));
                    self.journal.write(entry).await?;
                }
                Err(stop)
            }
        }
    }

    async fn step_done(&self, rollout: &Mutex<&mut Rollout>, at: usize) -> Result<(), EngineError> {
        let mut rollout = rollout.lock().await;
        rollout.steps[at].state = StepState::Done;
        let mut entry = Entry::new();
        entry.event(done(&rollout, &rollout.steps[at].step, false)).put(&**rollout)?;
        Ok(self.journal.write(entry).await?)
    }
}

fn silent(place: &Place, limit: Duration) -> Stop {
    Stop::Later(format!("{place} did not answer within {} s", limit.as_secs()))
}

/// A step's key in events: with its server, as the same step is done at each.
fn key(step: &Step) -> String {
    match &step.place {
        Place::Local => step.key.clone(),
        Place::Server(name) => format!("{}@{name}", step.key),
    }
}

/// A step is about to be done, or undone.
pub(super) fn started(rollout: &Rollout, step: &Step, undo: bool) -> Event {
    let (deployment, key) = (rollout.deployment.clone(), key(step));
    Event::StepStarted { deployment, rollout: rollout.number, key, undo }
}

/// It is.
pub(super) fn done(rollout: &Rollout, step: &Step, undo: bool) -> Event {
    let (deployment, key) = (rollout.deployment.clone(), key(step));
    Event::StepDone { deployment, rollout: rollout.number, key, undo }
}

/// It is not.
pub(super) fn failed(rollout: &Rollout, step: &Step, undo: bool, reason: String) -> Event {
    let (deployment, key) = (rollout.deployment.clone(), key(step));
    Event::StepFailed { deployment, rollout: rollout.number, key, undo, reason }
}
