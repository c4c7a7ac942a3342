//! What may happen, and random sequences of it.

use proptest::collection::vec;
use proptest::prelude::*;

/// What is said of production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gates {
    From,
    FromAndOne,
    FromAndTwo,
    FromAndSoak,
    One,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Svc {
    Shop,
    App,
}

impl Svc {
    pub const ALL: [Self; 2] = [Self::Shop, Self::App];

    pub fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::App => "app",
        }
    }

    pub fn repository(self) -> &'static str {
        match self {
            Self::Shop => "shop/web",
            Self::App => "app/api",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Env {
    Stage,
    Production,
}

impl Env {
    pub const ALL: [Self; 2] = [Self::Stage, Self::Production];

    pub fn name(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Production => "production",
        }
    }
}

/// Where a version does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Works {
    Everywhere,
    NotInProduction,
    Nowhere,
    /// Not in the last of the deployments in production.
    NotInOne,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    Moved,
    Unreachable,
    ArrivesUnanswered,
    Overtaken,
}

pub type Who = &'static str;

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The next version is published.
    Publish(Svc, Works),
    /// A person pins a published version by hand; counted from the newest.
    Pin(Who, Svc, Env, usize),
    /// A person pins a build that no policy selects.
    PinNightly(Who, Svc, Env),
    /// A person changes another file; true: what it says does not work.
    OtherFile(Who, Svc, Env, bool),
    /// A person says yes to one of the open questions.
    Approve(Who, Svc, Env, usize),
    Reject(Who, Svc, Env, usize),
    Promote(Who, Svc),
    /// A person goes back: to the release before, or to a version counted from the newest.
    RollBack(Who, Svc, Env, Option<usize>),
    Resume(Who, Svc, Env),
    Sync(Who, Svc, Env),
    Quarantine(Who, Svc, Env, usize),
    EndQuarantine(Who, Svc, Env, usize),
    /// A person removes a service from an environment, or brings it back.
    Remove(Who, Svc, Env),
    Return(Who, Svc, Env),
    /// The fleet's remote cannot be reached, or can again.
    Remote(bool),
    Registry(bool),
    /// The next push goes wrong so.
    NextPush(Push),
    /// Rollouts of the deployment do not come to an end, or do again.
    Slow(Svc, Env),
    LetGo,
    /// What goes live there fails through the front door, until all is mended.
    FrontDoor(Svc, Env),
    Mended,
    /// Somebody stops it behind our back.
    Stop(Svc, Env),
    /// A server does nothing any more: it says so, or is silent (true).
    Lose(usize, bool),
    /// Every server answers again.
    Find,
    /// Dhow dies so many batches from now, before or after it is stored.
    DieSoon(usize, bool),
    Restart,
    /// Dhow dies, and starts with an empty database.
    LoseDatabase,
    Pass(u64),
}

/// The fleet that a sequence meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub gates: Gates,
    /// `app` waits until `shop` is healthy.
    pub after: bool,
    /// One of the deployments runs on two servers.
    pub servers: bool,
}

/// A sequence, and the fleet that it meets.
#[derive(Debug, Clone)]
pub struct Case {
    pub shape: Shape,
    pub actions: Vec<Action>,
}

/// Random sequences.
pub fn cases() -> impl Strategy<Value = Case> {
    let gates = prop_oneof![
        Just(Gates::From),
        Just(Gates::FromAndOne),
        Just(Gates::FromAndTwo),
        Just(Gates::FromAndSoak),
        Just(Gates::One),
        Just(Gates::Nothing),
    ];
    let shape = (gates, prop::bool::weighted(0.3), prop::bool::weighted(0.4))
        .prop_map(|(gates, after, servers)| Shape { gates, after, servers });
    (shape, vec(scene(), 4..28)).prop_map(|(shape, scenes)| Case { shape, actions: scenes.concat() })
}

/// One thing that happens; or a few that chance alone would seldom bring together.
fn scene() -> impl Strategy<Value = Vec<Action>> {
    let svc = || prop_oneof![Just(Svc::Shop), Just(Svc::App)];
    let approver = || prop_oneof![Just("alice"), Just("bob")];
    // Whoever wrote a change says yes to it.
    let own = (approver(), svc(), prop::bool::weighted(0.5), 0..2_usize).prop_map(|(who, svc, pins, n)| {
        let env = Env::Production;
        let wrote = match pins {
            true => Action::Pin(who, svc, env, n),
            false => Action::OtherFile(who, svc, env, false),
        };
        vec![wrote, Action::Pass(20), Action::Approve(who, svc, env, n)]
    });
    // A version comes on its way, and people decide about it or go back meanwhile.
    let env = || prop_oneof![Just(Env::Stage), Just(Env::Production)];
    let meanwhile = (approver(), svc(), env(), 0..3_usize).prop_map(|(who, svc, env, what)| {
        let then = match what {
            0 => Action::Quarantine(who, svc, env, 0),
            1 => Action::RollBack(who, svc, env, None),
            _ => Action::OtherFile(who, svc, env, true),
        };
        let publish = Action::Publish(svc, Works::Everywhere);
        vec![Action::Slow(svc, env), publish, Action::Pass(10), then, Action::Pass(10), Action::LetGo]
    });
    prop_oneof![
        24 => action().prop_map(|action| vec![action]),
        1 => own,
        1 => meanwhile,
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let svc = || prop_oneof![Just(Svc::Shop), Just(Svc::App)];
    let env = || prop_oneof![1 => Just(Env::Stage), 2 => Just(Env::Production)];
    let who = || prop_oneof![Just("alice"), Just("bob"), Just("carol"), Just("dave")];
    let works = prop_oneof![
        5 => Just(Works::Everywhere),
        1 => Just(Works::NotInProduction),
        2 => Just(Works::Nowhere),
        2 => Just(Works::NotInOne),
    ];
    let push = prop_oneof![
        Just(Push::Moved),
        Just(Push::Unreachable),
        Just(Push::ArrivesUnanswered),
        Just(Push::Overtaken),
    ];
    let at = || (who(), svc(), env());
    prop_oneof![
        10 => (svc(), works).prop_map(|(svc, works)| Action::Publish(svc, works)),
        12 => (0..90_u64).prop_map(Action::Pass),
        10 => (at(), 0..2_usize).prop_map(|((who, svc, env), n)| Action::Approve(who, svc, env, n)),
        2 => (at(), 0..2_usize).prop_map(|((who, svc, env), n)| Action::Reject(who, svc, env, n)),
        4 => (at(), 0..4_usize).prop_map(|((who, svc, env), n)| Action::Pin(who, svc, env, n)),
        2 => at().prop_map(|(who, svc, env)| Action::PinNightly(who, svc, env)),
        3 => (at(), prop::bool::weighted(0.3)).prop_map(|((who, svc, env), b)| Action::OtherFile(who, svc, env, b)),
        2 => (who(), svc()).prop_map(|(who, svc)| Action::Promote(who, svc)),
        3 => (at(), prop::option::of(0..4_usize)).prop_map(|((who, svc, env), n)| Action::RollBack(who, svc, env, n)),
        3 => at().prop_map(|(who, svc, env)| Action::Resume(who, svc, env)),
        2 => at().prop_map(|(who, svc, env)| Action::Sync(who, svc, env)),
        3 => (at(), 0..3_usize).prop_map(|((who, svc, env), n)| Action::Quarantine(who, svc, env, n)),
        1 => (at(), 0..3_usize).prop_map(|((who, svc, env), n)| Action::EndQuarantine(who, svc, env, n)),
        1 => at().prop_map(|(who, svc, env)| Action::Remove(who, svc, env)),
        2 => at().prop_map(|(who, svc, env)| Action::Return(who, svc, env)),
        2 => prop::bool::weighted(0.6).prop_map(Action::Remote),
        1 => prop::bool::weighted(0.6).prop_map(Action::Registry),
        2 => push.prop_map(Action::NextPush),
        2 => (svc(), env()).prop_map(|(svc, env)| Action::Slow(svc, env)),
        2 => Just(Action::LetGo),
        2 => (svc(), env()).prop_map(|(svc, env)| Action::FrontDoor(svc, env)),
        2 => Just(Action::Mended),
        1 => (svc(), env()).prop_map(|(svc, env)| Action::Stop(svc, env)),
        3 => (1..25_usize, any::<bool>()).prop_map(|(n, before)| Action::DieSoon(n, before)),
        2 => (0..2_usize, any::<bool>()).prop_map(|(n, silent)| Action::Lose(n, silent)),
        2 => Just(Action::Find),
        1 => Just(Action::Restart),
        1 => Just(Action::LoseDatabase),
    ]
}
