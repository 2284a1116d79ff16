//! The tables of a diagnosis, for terminal and page alike.

use crate::resample::Estimated;
use crate::rule::{Destination, LEVEL, Place, Source, Test, Verdict, counted};
use crate::{Diagnosis, ModalityFindings};

/// A table.
pub(crate) struct Sheet {
    pub title: &'static str,
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// What its columns mean.
    pub legend: &'static str,
}

/// Name of a verdict.
pub(crate) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Neglected => "NEGLECTED",
        Verdict::Kept => "kept",
        Verdict::Uninformative => "uninformative",
        Verdict::Undecided => "undecided",
    }
}

fn place(place: Option<Place>) -> &'static str {
    match place {
        Some(Place::Encoder) => "encoder",
        Some(Place::Fusion) => "fusion",
        Some(Place::Head) => "head",
        Some(Place::Model) => "encoder to output",
        None => "-",
    }
}

/// The test that says most of those that count: the one that found the neglect, else the one with the largest unused share of a source
/// that knows anything.
pub(crate) fn leading(modality: &ModalityFindings) -> Option<&Test> {
    let tests = counted(&modality.tests);
    let found = tests.clone().find(|test| test.p_adjusted <= LEVEL);
    let informative = tests
        .clone()
        .filter(|test| test.informative && test.unused.value.is_finite());
    let largest = informative.max_by(|a, b| a.unused.value.total_cmp(&b.unused.value));
    found.or(largest).or_else(|| tests.clone().next())
}

/// A pair in words.
pub(crate) fn pair(test: &Test) -> String {
    let source = match test.source {
        Source::Encoder => "encoder",
        Source::Alone => "alone",
    };
    let destination = match test.destination {
        Destination::Fused => "fused",
        Destination::Output => "output",
    };
    format!("{source} to {destination}")
}

fn nats(of: Estimated) -> String {
    format!("{:.3} [{:.3}, {:.3}]", of.value, of.low, of.high)
}

/// A share in %, with its interval. An unused share of no information is none.
pub(crate) fn percent(of: Estimated) -> String {
    if !of.value.is_finite() {
        return "-".into();
    }
    format!(
        "{:.1} [{:.1}, {:.1}]",
        100.0 * of.value,
        100.0 * of.low,
        100.0 * of.high
    )
}

fn maybe(of: Option<Estimated>) -> String {
    of.map_or("-".into(), percent)
}

fn number(of: Option<f64>, digits: usize) -> String {
    of.map_or("-".into(), |value| format!("{value:.digits$}"))
}

fn p_value(p: f64) -> String {
    if p < 0.001 {
        "<.001".into()
    } else {
        format!("{p:.3}").replacen("0.", ".", 1)
    }
}

fn texts<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).into()
}

/// All tables.
pub(crate) fn all(found: &Diagnosis) -> Vec<Sheet> {
    let mut sheets = vec![
        verdicts(found),
        tests(found),
        accuracies(found),
        contributions(found),
        structures(found),
    ];
    sheets.retain(|sheet| !sheet.rows.is_empty());
    sheets
}

fn verdicts(found: &Diagnosis) -> Sheet {
    let row = |modality: &ModalityFindings| {
        let information = modality.information.first();
        let test = leading(modality);
        let informative = modality.verdict != Verdict::Uninformative;
        vec![
            modality.name.clone(),
            verdict(modality.verdict).into(),
            place(modality.lost_at).into(),
            information.map_or("-".into(), |known| nats(known.nats)),
            test.filter(|_| informative)
                .map_or("-".into(), |test| percent(test.unused)),
            test.map_or("-".into(), |test| p_value(test.p_adjusted)),
        ]
    };
    Sheet {
        title: "Verdicts",
        header: texts(["modality", "verdict", "lost at", "information, nats", "unused, %", "p"]),
        rows: found.modalities.iter().map(row).collect(),
        legend: "information: what the encoder knows of the label. unused: share of it that the fused representation or the output \
                 lacks. p: of no more than a tenth unused, Holm over all pairs.",
    }
}

fn tests(found: &Diagnosis) -> Sheet {
    let mut rows = Vec::new();
    for modality in &found.modalities {
        for test in &modality.tests {
            let known = modality.information.iter().find(|known| known.source == test.source);
            rows.push(vec![
                modality.name.clone(),
                pair(test),
                known.map_or("-".into(), |known| nats(known.nats)),
                known.map_or("-".into(), |known| p_value(known.p)),
                nats(test.gain),
                format!("{:.3}", test.learning),
                // Of a source that knows nothing the share is noise over noise.
                maybe(test.informative.then_some(test.unused)),
                p_value(test.p_adjusted),
            ]);
        }
    }
    Sheet {
        title: "Where information is lost",
        header: texts([
            "modality",
            "pair",
            "information, nats",
            "p",
            "gain, nats",
            "learning",
            "unused, %",
            "p (Holm)",
        ]),
        rows,
        legend: "gain: what the source adds to the destination. learning: what more samples would add to the destination's probe, \
                 taken off the gain.",
    }
}

fn accuracies(found: &Diagnosis) -> Sheet {
    let mut rows = vec![vec!["commonest class".into(), percent(found.accuracy_prior)]];
    for modality in &found.modalities {
        rows.push(vec![
            format!("probe of {}'s encoder", modality.name),
            percent(modality.accuracy_encoder),
        ]);
        let more = [
            ("probe of", "alone", modality.accuracy_alone),
            ("model, given", "only", modality.accuracy_model_only),
            ("model, without", "", modality.accuracy_model_without),
        ];
        for (before, after, accuracy) in more {
            if let Some(accuracy) = accuracy {
                let name = format!("{before} {} {after}", modality.name);
                rows.push(vec![name.trim_end().into(), percent(accuracy)]);
            }
        }
    }
    rows.push(vec!["probe of all encoders".into(), percent(found.accuracy_encoders)]);
    for (name, accuracy) in [
        ("probe of fused", found.accuracy_fused),
        ("model", found.accuracy_model),
    ] {
        rows.extend(accuracy.map(|accuracy| vec![name.into(), percent(accuracy)]));
    }
    Sheet {
        title: "Accuracy",
        header: texts(["of", "%"]),
        rows,
        legend: "Linear probes are fitted to half of the samples (or those of split 0) and evaluated on the rest.",
    }
}

fn contributions(found: &Diagnosis) -> Sheet {
    let mut rows: Vec<Vec<String>> = found
        .modalities
        .iter()
        .enumerate()
        .map(|(place, modality)| {
            vec![
                modality.name.clone(),
                percent(modality.shapley),
                percent(modality.utilisation),
                percent(modality.perceptual),
                number(modality.cka, 2),
                number(modality.cosine, 2),
                number(
                    found
                        .neurons
                        .as_ref()
                        .and_then(|neurons| neurons.shares.get(place).copied()),
                    2,
                ),
            ]
        })
        .collect();
    rows.push(vec![
        "equity".into(),
        maybe(Some(found.equity)),
        "-".into(),
        "-".into(),
        "-".into(),
        "-".into(),
        found.neurons.as_ref().map_or("-".into(), |neurons| {
            format!("mixing {:.2}, pure {:.2}", neurons.mixing, neurons.pure)
        }),
    ]);
    Sheet {
        title: if found.shapley_of_model {
            "Contribution (Shapley values of the model)"
        } else {
            "Contribution (Shapley values of probes)"
        },
        header: texts([
            "modality",
            "Shapley, points",
            "utilisation, %",
            "perceptual, %",
            "CKA",
            "cosine",
            "weights",
        ]),
        rows,
        legend: "Shapley: gain in accuracy over all orders. equity: Pielou's evenness of them. utilisation, perceptual: accuracy of all \
                 encoders lost without the modality, or when it is permuted. CKA, cosine: to fused. weights: share of fusion neurons.",
    }
}

fn structures(found: &Diagnosis) -> Sheet {
    let of_modalities = found
        .modalities
        .iter()
        .map(|modality| (modality.name.as_str(), &modality.encoder));
    let all = found.fused.iter().map(|fused| ("fused", fused)).chain(of_modalities);
    let row = |(name, of): (&str, &crate::Structure)| {
        vec![
            name.to_owned(),
            of.width.to_string(),
            of.constant.to_string(),
            of.numerical_rank.to_string(),
            number(of.effective_rank, 1),
            number(of.stable_rank, 1),
            number(of.vif, 1),
            of.collinear.map_or("-".into(), |count| count.to_string()),
        ]
    };
    Sheet {
        title: "Rank and collinearity",
        header: texts([
            "of",
            "width",
            "constant",
            "rank",
            "effective",
            "stable",
            "VIF",
            "collinear",
        ]),
        rows: all.map(row).collect(),
        legend: "Of at most 2,000 evaluated samples, centred. VIF: mean over columns that are no combination of others.",
    }
}
