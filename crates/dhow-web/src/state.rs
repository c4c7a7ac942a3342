use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::token::Tokens;

/// Most connections that follow events at once.
const FOLLOWERS: usize = 256;
/// Most commands inside at once.
const COMMANDS: usize = 16;

/// What the routes work with.
#[derive(Clone)]
pub struct AppState {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) tokens: Tokens,
    pub(crate) shutdown: CancellationToken,
    pub(crate) seats: Arc<Semaphore>,
    pub(crate) commands: Arc<Semaphore>,
}

impl AppState {
    /// The engine, the tokens, and the word to stop: when `shutdown` is cancelled, connections that follow events end.
    pub fn new(control: Arc<dyn Control>, tokens: Tokens, shutdown: CancellationToken) -> Self {
        Self {
            control,
            tokens,
            shutdown,
            seats: Arc::new(Semaphore::new(FOLLOWERS)),
            commands: Arc::new(Semaphore::new(COMMANDS)),
        }
    }
}
