//! Revisions of the code that decides a cell's numbers: parts of its key, so that what has changed is trained anew.

use mmcollapse_record::Protocol;

use crate::{
    balancing::BALANCINGS,
    cell::LAYER_REVISION,
    config::CellConfig,
    diagnosis,
    encoders::{ENCODERS, Inputs},
    error::Result,
    fusion::FUSIONS,
    method::MethodConfig,
    reallocation::REALLOCATIONS,
    registry::find,
    substitution::SUBSTITUTIONS,
};

/// Raised when a change to the loop, the evaluation or the checkpoints may change any method's numbers.
const TRAINING_REVISION: u32 = 2; // the second has the same bits on every x86-64 processor with AVX2 and FMA

/// Raised when the same trained model gets other scores of two classes, or other measures of its representation.
const SCORES_REVISION: u32 = 2; // the second leaves out what is not defined, where the first wrote .5 or 0

/// Revisions of the loop and of the encoders of a data set.
pub(crate) fn unimodal_revision(dataset: &str) -> String {
    let mut parts = vec![format!("training/{TRAINING_REVISION}")];
    // Which encoders a cell uses is known only with the data; a revision of any of them counts that may read them. A first
    // revision is not named, so that a new encoder leaves the cells of the others as they are. A data set that is in no
    // list is somebody's own, and may have anything.
    let images = mmcollapse_data::find(dataset).map_or(true, mmcollapse_data::DatasetSource::has_images);
    let of_images =
        |inputs: Inputs| matches!(inputs, Inputs::Of(shapes) if shapes.iter().all(|shape| shape.len() == 3));
    let revised = ENCODERS
        .iter()
        .filter(|e| e.revision > 1 && (images || !of_images(e.build.reads)));
    parts.extend(revised.map(|e| format!("encoder:{}/{}", e.name, e.revision)));
    parts.join(" ")
}

/// Revisions of the loop, of the encoders of a cell's data set, of its fusion and of its balancing.
pub(crate) fn vanilla_revision(cell: &CellConfig) -> Result<String> {
    let fusion = find("fusion", FUSIONS, &cell.fusion.method)?;
    let mut parts = vec![
        unimodal_revision(&cell.dataset),
        format!("fusion:{}/{}", fusion.name, fusion.revision),
    ];
    if let Some(balancing) = &cell.balancing {
        let balancing = find("balancing", BALANCINGS, &balancing.method)?;
        parts.push(format!("balancing:{}/{}", balancing.name, balancing.revision));
    }
    Ok(parts.join(" "))
}

/// Revision of a reallocation.
pub(crate) fn reallocation_revision(reallocation: &MethodConfig) -> Result<String> {
    let own = find("reallocation", REALLOCATIONS, &reallocation.method)?;
    let mut parts = vec![format!("reallocation:{}/{}", own.name, own.revision)];
    for used in own.build.uses {
        let used = find("reallocation", REALLOCATIONS, used)?;
        parts.push(format!("reallocation:{}/{}", used.name, used.revision));
    }
    Ok(parts.join(" "))
}

/// Revisions of the loop and of every method in a cell: part of its key, so that a changed method is trained anew.
///
/// # Errors
/// An unknown method.
pub fn revision(cell: &CellConfig) -> Result<String> {
    let mut parts = vec![vanilla_revision(cell)?, reallocation_revision(&cell.reallocation)?];
    let mut add = |axis: &str, name: &str, revision: u32| parts.push(format!("{axis}:{name}/{revision}"));
    if cell.substitution.method != "auto" {
        let substitution = find("substitution", SUBSTITUTIONS, &cell.substitution.method)?;
        add("substitution", substitution.name, substitution.revision);
    }
    if cell.protocol == (Protocol::Modalities {}) {
        add("probes", "linear", diagnosis::REVISION);
    }
    if cell.protocol.kind().probes_layer() {
        add("layer", "ranks", LAYER_REVISION);
    }
    let more = matches!(
        cell.protocol,
        Protocol::Modalities {} | Protocol::Patterns {} | Protocol::Upweighted { .. }
    );
    // A data set that is in no list is somebody's own.
    let two_classes = mmcollapse_data::find(&cell.dataset).is_ok_and(mmcollapse_data::DatasetSource::two_classes);
    if more || two_classes {
        parts.push(format!("scores/{SCORES_REVISION}"));
    }
    Ok(parts.join(" "))
}
