//! How much is asked of one place at a time: a server that hangs uses up its own share, and no other's.

use dhow_core::port::Place;
use tokio::sync::OwnedSemaphorePermit;

use crate::semaphores::Semaphores;

/// Permits by place. This machine has as many as it likes: it does not hang.
#[derive(Debug)]
pub(crate) struct Permits {
    each: usize,
    places: Semaphores<Place>,
}

/// Room at some places; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(#[expect(dead_code, reason = "held until it is dropped")] Vec<OwnedSemaphorePermit>);

impl Permits {
    /// So many a server.
    pub fn new(each: usize) -> Self {
        Self { each, places: Semaphores::default() }
    }

    /// Room at all of these places; none where one of them has no more.
    pub fn take<'a>(&self, places: impl IntoIterator<Item = &'a Place>) -> Option<Permit> {
        let servers = places.into_iter().filter(|place| **place != Place::Local);
        let permits: Option<Vec<_>> =
            servers.map(|place| self.places.take(place.clone(), self.each)).collect();
        permits.map(Permit)
    }

    /// Waits for room at a place.
    pub async fn wait(&self, place: &Place) -> Permit {
        if *place == Place::Local {
            return Permit(Vec::new());
        }
        Permit(self.places.wait(place.clone(), self.each).await.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_whose_share_is_used_up_takes_none_of_another_ones() {
        let server = |name: &str| Place::Server(name.parse().unwrap());
        let (web1, web2) = (server("web1"), server("web2"));
        let permits = Permits::new(2);
        let held = [permits.take([&web1]), permits.take([&web1, &web2])];
        assert!(held.iter().all(Option::is_some));
        assert!(permits.take([&web1]).is_none());
        assert!(permits.take([&web2, &web1]).is_none());
        assert!(permits.take([&web2, &Place::Local]).is_some(), "a share was not given back");
        drop(held);
        assert!(permits.take([&web1]).is_some());
    }
}
