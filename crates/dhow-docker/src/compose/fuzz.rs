//! What `docker compose config`, `df` and an `.env` file say.

use std::collections::BTreeMap;

use super::disk::Disk;
use super::model::{self, Model};
use crate::files::variables::Variables;

pub(crate) fn answer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = Disk::read("/", &text).map(|disk| disk.nearly_full(&super::DiskLimits::default()));
    let variables = Variables::of(&text);
    let _ = variables.fill(&text);
    let plain = text.replace('$', "");
    assert_eq!(variables.fill(&plain), plain, "nothing is named in it");
    assert_eq!(model::unescaped(&model::escaped(&text)), text);
    let Ok(model) = Model::of(data) else { return };
    for section in ["volumes", "networks", "configs", "secrets"] {
        let _ = model.names(section);
    }
    for (name, service) in model.services() {
        let _ = (model::replicas(service), model::exclusive(service), model::may_end(service));
        let _ = (model::waited_for(&model, name), model::wanted(service, &BTreeMap::new()));
        assert_eq!(model::parts(service), model::parts(&service.clone()));
    }
}
