//! What `docker stack config` says.

use super::model::{self, Model};

pub(crate) fn answer(data: &[u8]) {
    let Ok(model) = Model::of(data) else { return };
    for (_, service) in model.services() {
        let _ = (model::mode(service), model::replicas(service), model::gap(service));
        let _ = (model::ingress(service), model::parts(service));
        assert_eq!(model::hash(service), model::hash(&service.clone()));
    }
}
