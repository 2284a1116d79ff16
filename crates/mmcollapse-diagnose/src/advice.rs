//! What to try, by what was found. What each remedy did in this project's runs stands in `docs/findings.md`.

use crate::ModalityFindings;
use crate::rule::{Place, Source, Verdict, only_the_output_reads_it};
use crate::structure::Structure;

/// Effective rank below this part of the width: the fused representation has directions to spare that it does not use.
const LOW_RANK: f64 = 0.25;

/// Where results of the remedies stand.
pub(crate) const FINDINGS: &str = "docs/findings.md";

/// What to try for a modality.
pub(crate) fn of(found: &ModalityFindings, fused: Option<&Structure>, unread: bool) -> Vec<String> {
    let name = &found.name;
    match (found.verdict, found.lost_at) {
        (Verdict::Neglected, Some(Place::Encoder)) => vec![
            format!("The encoder of {name} knows less inside the model than a model of {name} alone."),
            format!(
                "Train the encoder of {name} before the rest, or distil it from the model of {name} alone (KD): both brought a modality back in {FINDINGS}."
            ),
            "Balance the modalities: modality dropout, or a slower rate for the leading one.".into(),
        ],
        (Verdict::Neglected, Some(Place::Fusion)) => {
            let mut said = vec![format!(
                "The encoder of {name} knows what the fused representation lacks: the fusion drops it."
            )];
            let rank = fused.and_then(|fused| Some((fused.effective_rank?, fused.width)));
            if let Some((rank, width)) = rank {
                said.push(if rank < LOW_RANK * width as f64 {
                    format!("Width is not what lacks (effective rank {rank:.1} of {width}): try KD from a model of {name} alone, or EBR.")
                } else {
                    format!("The fused representation uses much of its width (effective rank {rank:.1} of {width}): try a wider fusion layer.")
                });
            }
            said.push(format!(
                "Try modality dropout in training. What KD and EBR did here: {FINDINGS}."
            ));
            said
        }
        (Verdict::Neglected, Some(Place::Head)) => vec![
            format!("The fused representation holds what {name} knows; the output does not use it."),
            "Fit the head anew on the frozen fused representation, with less weight decay.".into(),
        ],
        (Verdict::Neglected, _) => vec![
            format!("The encoder of {name} knows what the output does not use."),
            format!("Write `fused` too, to learn where it is lost. Try modality dropout or KD ({FINDINGS})."),
        ],
        (Verdict::Uninformative, _) => {
            let alone = found.information.iter().any(|known| known.source == Source::Alone);
            let mut said = vec![format!("No linear probe finds the label in {name}.")];
            if unread {
                said.push(format!(
                    "The model reads what no linear probe of the encoders finds: {name} may tell the label together with another modality, or not linearly. Compare `logits.<subset>` with and without it."
                ));
            }
            if !alone {
                said.push(format!(
                    "If a model of {name} alone predicts better than chance, write `alone.{name}`: its encoder may have collapsed."
                ));
            }
            said
        }
        (Verdict::Undecided, _) => vec![
            "Give more samples: the interval of the unused share is too wide, or lies between kept and neglected."
                .into(),
        ],
        (Verdict::Kept, _) => kept(found),
    }
}

/// What a reader should know of a modality that is kept.
fn kept(found: &ModalityFindings) -> Vec<String> {
    let name = &found.name;
    let mut said = Vec::new();
    if only_the_output_reads_it(&found.tests) {
        said.push(format!(
            "No linear probe of `fused` finds what {name} knows, but the output uses it: the head is not linear, or reads more."
        ));
    }
    if found.redundant {
        said.push(format!(
            "The other encoders know what {name} knows. Whether the model reads {name} shows only in `logits.{name}`."
        ));
    }
    said
}
